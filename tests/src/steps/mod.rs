//! Measured steps of real servers and measured kernels, and what is fitted to them.

pub mod data;
pub mod sheet;

//! Measured steps of real servers and measured kernels, and what is fitted to them.

pub mod data;
pub mod fit;
pub mod kernels;
pub mod search;
pub mod sheet;
pub mod write;

//! What tests and developer commands share: the golden suite.

pub mod golden;

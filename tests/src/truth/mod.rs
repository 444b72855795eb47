//! How far the simulator is from what is true, table by table.
//!
//! Most tables are a CSV file of what real software gave; a module computes the same and reports a row per entry.

pub mod anatomy;
pub mod calibration;
pub mod capacity;
pub mod configs;
pub mod kv_cache;
pub mod memory;
pub mod quantised;
pub mod report;
pub mod steps;
pub mod table;
pub mod throughput;

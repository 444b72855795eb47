//! The lab: what the first visit does not load. A second module with its own workers, mounted into the page's tabs.
//!
//! It knows the page only by its `bridge`, and the page knows it only by what `web/src/bin/lab.rs` exports.
//! Each tab is a folder: [`workload`], [`run`], [`calibrate`]. What a tab computes for the screen stands in a `model` that
//! needs no browser and is tested natively.

pub mod calibrate;
pub mod run;
pub mod workload;

#[cfg(target_arch = "wasm32")]
pub mod bars;
#[cfg(target_arch = "wasm32")]
pub mod bridge;
#[cfg(target_arch = "wasm32")]
pub mod crew;
#[cfg(target_arch = "wasm32")]
pub mod fields;
#[cfg(target_arch = "wasm32")]
pub mod intake;
#[cfg(target_arch = "wasm32")]
pub mod rows;
#[cfg(target_arch = "wasm32")]
pub mod state;
#[cfg(target_arch = "wasm32")]
pub mod traces;

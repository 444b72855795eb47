//! The Plimsoll page: one scenario in, a live capacity curve out.
//!
//! [`state`] holds the scenario, its links and its history; [`worker`] has simulations done; [`view_model`] turns
//! results into words, series and tables; [`charts`] draws them.
//! These know no framework and are tested natively.
//! What needs the browser (the page's controller, components and panels) is compiled for it alone.

pub mod charts;
pub mod commands;
pub mod lab;
pub mod logs;
pub mod state;
pub mod view_model;
pub mod worker;

#[cfg(target_arch = "wasm32")]
pub mod app;
#[cfg(target_arch = "wasm32")]
pub mod components;
#[cfg(target_arch = "wasm32")]
pub mod controller;
#[cfg(target_arch = "wasm32")]
pub mod page;
#[cfg(target_arch = "wasm32")]
pub mod panels;

//! The tab that shows one run: its replicas over time, every request's life, every decision.

pub mod series;
pub mod timeline;

#[cfg(target_arch = "wasm32")]
mod canvas;
#[cfg(target_arch = "wasm32")]
mod decisions;
#[cfg(target_arch = "wasm32")]
mod replicas;
#[cfg(target_arch = "wasm32")]
mod view;
#[cfg(target_arch = "wasm32")]
pub use view::RunView;

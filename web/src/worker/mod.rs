//! The page's side of the workers: one client per worker, a pool of them, and the browser's part.
//!
//! [`client`] and [`pool`] are plain state machines over a [`client::Port`], tested natively with a fake one;
//! only `browser` touches real workers.

pub mod client;
pub mod driver;
pub mod pool;
pub mod wire;

#[cfg(target_arch = "wasm32")]
pub mod browser;

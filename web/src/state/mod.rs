//! What the page holds: one scenario, the view on it, and how both are kept in links and storage.

pub mod fields;
pub mod history;
pub mod queue;

#[cfg(target_arch = "wasm32")]
pub mod storage;

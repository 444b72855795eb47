//! Charts: figures as plain data for Plotly, and the browser's part that draws them.

pub mod figure;

#[cfg(target_arch = "wasm32")]
pub mod plotly;

//! Charts: figures as plain data for Plotly, and the browser's part that draws them.

pub mod figure;
pub mod marks;

#[cfg(target_arch = "wasm32")]
pub mod plotly;

//! The few drawn signs; each is decoration beside or inside something that has a name.

use leptos::prelude::*;

/// A sign, drawn in the color of the text around it.
#[component]
pub fn Icon(
    /// Outline in a box of 16 by 16.
    path: &'static str,
) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
            <path d=path fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
        </svg>
    }
}

/// An arrow that turns back.
pub const UNDO: &str = "M6 3 2.5 6.5 6 10M2.5 6.5H10a3.5 3.5 0 0 1 0 7H7";
/// An arrow that turns forward.
pub const REDO: &str = "M10 3l3.5 3.5L10 10M13.5 6.5H6a3.5 3.5 0 0 0 0 7h3";
/// Two links of a chain.
pub const LINK: &str =
    "M6.5 9.5l3-3M7 4.5l1.2-1.2a3 3 0 0 1 4.3 4.3L11.3 8.8M9 11.5l-1.2 1.2a3 3 0 0 1-4.3-4.3L4.7 7.2";
/// A half-filled disc.
pub const THEME: &str = "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12M8 5h4.9M8 8h6M8 11h4.9";
/// A sheet with an arrow up.
pub const OPEN: &str = "M8 10V3M5 5.5 8 2.5l3 3M3 9.5V13h10V9.5";
/// A keyboard.
pub const KEYS: &str = "M1.5 4h13v8h-13zM4 6.7h.01M6.7 6.7h.01M9.3 6.7h.01M12 6.7h.01M5 9.5h6";
/// A small cross.
pub const CLOSE: &str = "M4 4l8 8M12 4l-8 8";
/// Rows and columns.
pub const TABLE: &str = "M2 3h12v10H2zM2 6.3h12M2 9.6h12M6.5 3v10";
/// A line that rises.
pub const CHART: &str = "M2 2.5v11h12M4.5 10.5l3-3 2 2 4-5.5";

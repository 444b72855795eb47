//! The button of a chart that shows its table instead, and the chart again.

use super::icon::{CHART, Icon, TABLE};
use leptos::prelude::*;

/// Switches between a chart and its table.
#[component]
pub fn TableSwitch(
    /// Whether the table is shown.
    is_table: RwSignal<bool>,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class="quiet"
            aria-pressed=move || is_table.get().to_string()
            on:click=move |_| is_table.update(|is_table| *is_table = !*is_table)
        >
            {move || if is_table.get() {
                view! { <Icon path=CHART /> "Chart" }.into_any()
            } else {
                view! { <Icon path=TABLE /> "Table" }.into_any()
            }}
        </button>
    }
}

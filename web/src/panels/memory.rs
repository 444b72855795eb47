//! The memory ledger.

use crate::components::shares::{Bar, Shares, Stack};
use crate::page::page;
use leptos::prelude::*;
use plimsoll_protocol::LedgerItem;

/// Colors of the parts, in their order.
const COLORS: [&str; 8] = [
    "var(--line-0)",
    "var(--line-1)",
    "var(--line-2)",
    "var(--line-3)",
    "var(--line-4)",
    "var(--line-5)",
    "var(--line-6)",
    "var(--line-7)",
];

/// Where the accelerators' memory goes.
#[component]
pub fn MemoryPanel() -> impl IntoView {
    let page = page();
    let view = Memo::new(move |_| page.shown.with(|shown| shown.as_ref()?.basics.ledger.clone()));
    let bars = |items: Vec<LedgerItem>| -> Vec<Bar> {
        let colors = COLORS.into_iter().cycle();
        let bar = |(item, color): (LedgerItem, _)| Bar {
            label: item.label,
            text: item.value,
            note: item.equation,
            ratio: item.ratio,
            color: Some(color),
        };
        items.into_iter().zip(colors).map(bar).collect()
    };
    view! {
        <div class="tables">
            {move || match view.get() {
                Some(view) => {
                    let parts = bars(view.parts);
                    view! {
                        <div>
                            <Stack bars=parts.clone() />
                            <Shares caption=Signal::stored(view.whole) bars=Signal::stored(parts) />
                        </div>
                        <div>
                            <Shares caption=Signal::stored("What its KV cache holds".to_owned()) bars=Signal::stored(bars(view.facts)) />
                            <p class="help">{view.source}</p>
                        </div>
                    }.into_any()
                }
                None => view! {
                    <p class="help">"Too little is known of this deployment's memory: an accelerator and a model architecture are needed."</p>
                }.into_any(),
            }}
        </div>
    }
}

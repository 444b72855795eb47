//! The memory ledger.

use crate::components::shares::{Bar, Shares};
use crate::page::page;
use crate::view_model::ledger::{Entry, ledger};
use leptos::prelude::*;

/// Where the accelerators' memory goes.
#[component]
pub fn MemoryPanel() -> impl IntoView {
    let page = page();
    let view = Memo::new(move |_| {
        page.shown.with(|shown| {
            let basics = &shown.as_ref()?.basics;
            basics.ledger.as_ref().map(|memory| ledger(memory, basics.settings.block_size))
        })
    });
    let bars = |entries: &[Entry]| -> Vec<Bar> {
        entries
            .iter()
            .map(|entry| Bar { label: entry.label.to_owned(), text: entry.value.clone(), ratio: entry.ratio })
            .collect()
    };
    view! {
        <div class="tables">
            {move || match view.get() {
                Some(view) => view! {
                    <Shares caption=Signal::stored("Memory of one replica".to_owned()) bars=Signal::stored(bars(&view.parts)) />
                    <div>
                        <Shares caption=Signal::stored("What its KV cache holds".to_owned()) bars=Signal::stored(bars(&view.facts)) />
                        <p class="help">{view.source}</p>
                    </div>
                }.into_any(),
                None => view! {
                    <p class="help">"Too little is known of this deployment's memory: an accelerator and a model architecture are needed."</p>
                }.into_any(),
            }}
        </div>
    }
}

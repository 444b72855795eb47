//! What the time goes to, what stops admission, and what each lever would bring.

use crate::components::shares::{Bar, Shares};
use crate::page::page;
use crate::view_model::bottleneck::{Share, bottleneck};
use crate::view_model::format;
use leptos::prelude::*;

/// Both tables of the bottleneck and the levers.
#[component]
pub fn BottleneckPanel() -> impl IntoView {
    let page = page();
    let found = Memo::new(move |_| {
        page.shown.with(|shown| shown.as_ref().and_then(|shown| bottleneck(&shown.curve, &shown.basics.settings)))
    });
    let rate =
        move || found.with(|found| found.as_ref().map_or_else(String::new, |found| format::rate(found.request_rate)));
    let bars = |shares: &[Share]| -> Vec<Bar> {
        shares
            .iter()
            .map(|share| Bar {
                label: share.label.clone(),
                text: share.text.clone(),
                ratio: Some(share.ratio),
                note: String::new(),
                color: None,
            })
            .collect()
    };
    let levers = move || {
        found.with(|found| {
            found.as_ref().map_or_else(Vec::new, |found| {
                let bar = |(label, text): &(String, String)| Bar {
                    label: label.clone(),
                    text: text.clone(),
                    ratio: None,
                    note: String::new(),
                    color: None,
                };
                found.levers.iter().map(bar).collect()
            })
        })
    };
    view! {
        <div class="tables">
            <Shares
                caption=Signal::derive(move || format!("Where the time goes at {} req/s, by terms of the latency model", rate()))
                bars=Signal::derive(move || found.with(|found| found.as_ref().map_or_else(Vec::new, |found| bars(&found.time_shares))))
            />
            <Shares
                caption=Signal::derive(move || format!("What stopped admission at {} req/s, share of steps", rate()))
                bars=Signal::derive(move || found.with(|found| found.as_ref().map_or_else(Vec::new, |found| bars(&found.limiters))))
            />
            <Shares
                caption=Signal::stored("Capacity with one limit relaxed".to_owned())
                bars=Signal::derive(levers)
            />
            {move || levers().is_empty().then(|| view! { <p class="help">"The levers follow when the full curve stands."</p> })}
        </div>
    }
}

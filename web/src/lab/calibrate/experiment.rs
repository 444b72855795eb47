//! A published experiment: what is known of it, what is taken for granted, and what no search can find.

use super::state::{Calibrate, Phase};
use crate::components::problems::sentence;
use leptos::prelude::*;

/// What is to be said of the experiment that is open.
#[component]
pub fn ExperimentCard() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let list = |title: &'static str, texts: Vec<String>| {
        (!texts.is_empty()).then(|| view! {
            <div>
                <h3>{title}</h3>
                <ul class="said">{texts.into_iter().map(|text| view! { <li>{sentence(&text)}</li> }).collect_view()}</ul>
            </div>
        })
    };
    move || {
        calibrate.experiment.get().map(|opened| {
            view! {
                <section class="panel" aria-labelledby="experiment-title" data-testid="calibrate-experiment-card">
                    <h2 id="experiment-title">"What this experiment can tell"</h2>
                    {list("Recorded", opened.records)}
                    {list("Taken for granted", opened.assumptions)}
                    {list("What these latencies cannot tell", opened.not_identifiable)}
                    <p class="help" hidden=move || calibrate.phase.get() != Phase::Idle>
                    "The result below is that of the published start. Fit searches around it."
                </p>
                </section>
            }
        })
    }
}

//! A fit that was opened: what it is, before it is put into the curve.

use super::reading::FitFile;
use super::result::CoefficientTable;
use super::state::Calibrate;
use super::words;
use crate::components::icon::{CLOSE, Icon};
use crate::components::problems::sentence;
use leptos::prelude::*;

/// The fit of a file, if one was opened.
#[component]
pub fn FitCard() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    move || calibrate.fit_file.get().map(|file| view! { <Card file=file /> })
}

#[component]
fn Card(file: FitFile) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let FitFile { name, opened, .. } = file;
    let title = name.clone();
    let range = opened.calibrated_on.range();
    let errors = words::errors_of_file(&opened.trained_on);
    let guesses = opened.guesses.join(", ");
    let about = words::fit_of(&opened);
    let coefficients = if opened.intervals.is_empty() {
        view! { <CoefficientTable fit=opened.fit /> }.into_any()
    } else {
        view! {
            <p class="help">{words::identifiability(&opened.intervals)}</p>
            <CoefficientTable fit=opened.fit intervals=Signal::stored(opened.intervals) />
        }
        .into_any()
    };
    view! {
        <section class="panel" aria-labelledby="fit-file-title" data-testid="calibrate-fit-file">
            <header>
                <h2 id="fit-file-title">{title}</h2>
                <button type="button" class="quiet" aria-label=format!("Close {name}") on:click=move |_| calibrate.fit_file.set(None)>
                    <Icon path=CLOSE />
                </button>
            </header>
            <p>{about}</p>
            {(!range.is_empty()).then(|| view! { <p class="help">{format!("It stands for {range}.")}</p> })}
            {(!errors.is_empty()).then(|| view! { <p class="help">{errors}</p> })}
            {(!guesses.is_empty()).then(|| view! { <p class="help">{sentence(&format!("Guessed of the server: {guesses}"))}</p> })}
            <details>
                <summary>"Coefficients"</summary>
                {coefficients}
            </details>
            <div class="actions">
                <button type="button" class="primary" data-testid="calibrate-apply-file" on:click=move |_| calibrate.apply_file()>
                    "Apply to the curve"
                </button>
                <span class="help">"Puts this model of the server, and the server, into the scenario. Workload and SLO stay."</span>
            </div>
        </section>
    }
}

//! The tab that turns logs of a deployment into coefficients of its step time.

use leptos::prelude::*;

/// How coefficients are fitted to logs.
#[component]
pub fn CalibrateView() -> impl IntoView {
    view! {
        <section class="tables" aria-label="Calibrate">
            <p>
                "A deployment's own logs give its own coefficients. On the command line, "
                <code>"plimsoll calibrate"</code>
                " fits a step-time model to what a benchmark client wrote, and "
                <code>"plimsoll evaluate"</code>
                " says how far off it is on other runs."
            </p>
        </section>
    }
}

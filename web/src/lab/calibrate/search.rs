//! How the fit goes, and the buttons that begin and end it.

use super::options::Options;
use super::state::{Calibrate, Phase, Use};
use crate::view_model::format;
use leptos::prelude::*;

/// How the fit goes, and the buttons that begin and end it.
#[component]
pub fn Search() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let num_fitted = Memo::new(move |_| calibrate.chosen([Use::Fit]).len());
    let is_fitting = Memo::new(move |_| calibrate.phase.get() == Phase::Fitting);
    let can_go_on = Memo::new(move |_| {
        matches!(calibrate.phase.get(), Phase::Complete | Phase::Stopped)
            && calibrate.fit.with(Option::is_some)
            && calibrate.has_loss_of_fit()
    });
    let status = move || {
        let (done, total) = calibrate.progress.get();
        let loss = calibrate.best.with(|best| best.last().map(|(_, loss)| format::number(*loss, 4)));
        let loss = loss.map(|loss| format!(", best loss {loss}")).unwrap_or_default();
        let took = calibrate.took.get().map(|took| format!(" in {} s", format::number(took / 1e3, 2)));
        let count = format::grouped(done as f64);
        match calibrate.phase.get() {
            Phase::Idle => String::new(),
            Phase::Fitting => format!("{count} of {} evaluations{loss}", format::grouped(total as f64)),
            Phase::Complete => format!("Done: {count} evaluations{}{loss}", took.unwrap_or_default()),
            Phase::Stopped => format!("Stopped after {count} evaluations{loss}; the best so far is kept"),
        }
    };
    view! {
        <section class="panel search" aria-labelledby="calibrate-fit">
            <h2 id="calibrate-fit">"Fit"</h2>
            <div class="actions">
                <button
                    type="button"
                    class="primary"
                    data-testid="calibrate-fit"
                    hidden=move || is_fitting.get()
                    disabled=move || num_fitted.get() == 0
                    on:click=move |_| calibrate.begin()
                >
                    {move || match num_fitted.get() {
                        1 => "Fit 1 run".to_owned(),
                        count => format!("Fit {count} runs"),
                    }}
                </button>
                <button type="button" data-testid="calibrate-stop" hidden=move || !is_fitting.get() on:click=move |_| calibrate.stop()>
                    "Stop"
                </button>
                <button
                    type="button"
                    data-testid="calibrate-go-on"
                    hidden=move || is_fitting.get() || !can_go_on.get()
                    disabled=move || num_fitted.get() == 0
                    on:click=move |_| calibrate.go_on()
                >
                    "Continue from the best"
                </button>
                <progress
                    hidden=move || !is_fitting.get()
                    max=move || calibrate.progress.get().1 as f64
                    prop:value=move || calibrate.progress.get().0 as f64
                    aria-label="Evaluations done"
                ></progress>
                <span class="help" role="status" data-testid="calibrate-status">{status}</span>
            </div>
            <Options />
        </section>
    }
}

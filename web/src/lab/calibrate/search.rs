//! How the fit goes, and the buttons that begin and end it.

use super::state::{Calibrate, Phase, Use};
use super::words;
use crate::lab::fields::NumberField;
use crate::view_model::format::{self, Unit};
use leptos::prelude::*;
use plimsoll_core::calibrate::{FitSettings, FittedModel, Objective};

/// What can be minimized: id and name.
const OBJECTIVES: [(Objective, &str, &str); 3] = [
    (Objective::LogRatio, "log-ratio", "log-ratio: robust, requests and runs"),
    (Objective::Mape, "mape", "mape: mean absolute percentage error"),
    (Objective::Mse, "mse", "mse: mean squared error"),
];
/// Largest seed: what a number field holds exactly.
const MAX_SEED: f64 = 9e15;

/// How the fit goes, and the buttons that begin and end it.
#[component]
pub fn Search() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let num_fitted = Memo::new(move |_| calibrate.chosen([Use::Fit]).len());
    let is_fitting = Memo::new(move |_| calibrate.phase.get() == Phase::Fitting);
    let can_go_on = Memo::new(move |_| {
        matches!(calibrate.phase.get(), Phase::Complete | Phase::Stopped) && calibrate.fit.with(Option::is_some)
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

/// What the search may be told; nobody has to.
#[component]
fn Options() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let settings = calibrate.settings;
    let model = Memo::new(move |_| settings.with(|settings| settings.model));
    let objective = Memo::new(move |_| settings.with(|settings| settings.objective));
    view! {
        <details class="options" data-testid="calibrate-options">
            <summary>"Options"</summary>
            <div class="choices">
                <div class="control">
                    <label for="calibrate-model">"Step-time model"</label>
                    <select
                        id="calibrate-model"
                        on:change=move |event| {
                            let chosen = FittedModel::of_name(&event_target_value(&event)).unwrap_or_default();
                            settings.update(|settings| settings.model = chosen);
                        }
                    >
                        {FittedModel::ALL.map(|own| view! {
                            <option value=own.name() selected=move || model.get() == own>{words::model(own)}</option>
                        })}
                    </select>
                    <p class="help">"The last two need the architecture and the data sheet."</p>
                </div>
                <div class="control">
                    <label for="calibrate-objective">"Objective"</label>
                    <select
                        id="calibrate-objective"
                        on:change=move |event| {
                            let id = event_target_value(&event);
                            if let Some((objective, ..)) = OBJECTIVES.iter().find(|(_, known, _)| *known == id) {
                                settings.update(|settings| settings.objective = *objective);
                            }
                        }
                    >
                        {OBJECTIVES.map(|(own, id, label)| view! {
                            <option value=id selected=move || objective.get() == own>{label}</option>
                        })}
                    </select>
                    <p class="help">"What is minimized."</p>
                </div>
                <NumberField
                    label="Evaluations"
                    id="calibrate-budget"
                    unit=Unit::Count
                    range=[50.0, 1e6]
                    is_whole=true
                    value=Signal::derive(move || settings.with(|settings| settings.budget as f64))
                    on_change=move |count| settings.update(|settings| {
                        settings.budget = count.map_or_else(|| FitSettings::default().budget, |count| count as u64);
                    })
                    note=Signal::stored("Replays of all fitted runs with other coefficients.".to_owned())
                />
                <NumberField
                    label="Seed of the search"
                    id="calibrate-seed"
                    unit=Unit::None
                    range=[0.0, MAX_SEED]
                    is_whole=true
                    value=Signal::derive(move || settings.with(|settings| settings.seed as f64))
                    on_change=move |seed| settings.update(|settings| {
                        settings.seed = seed.map_or_else(|| FitSettings::default().seed, |seed| seed as u64);
                    })
                    note=Signal::stored("The same seed gives the same fit.".to_owned())
                />
            </div>
        </details>
    }
}

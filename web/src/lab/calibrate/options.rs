//! What a fit may be told: the flags of the command line, with its names and bounds.

use super::state::Calibrate;
use crate::lab::fields::{MAX_SEED, NumberField};
use crate::view_model::format::Unit;
use leptos::prelude::*;
use plimsoll_core::calibrate::{FitSettings, FittedModel, Objective, Optimizer, Overload, Weights};

/// Name and field of each weight, in the order of [`Weights`].
const WEIGHTS: [(&str, &str); 3] = [
    ("Weight of TTFT", "calibrate-weight-ttft"),
    ("Weight of TPOT", "calibrate-weight-tpot"),
    ("Weight of E2E", "calibrate-weight-e2e"),
];

/// What the search may be told; nobody has to.
#[component]
pub fn Options() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let settings = calibrate.settings;
    let optimizer = Memo::new(move |_| settings.with(|settings| settings.optimizer));
    let has_weights = Memo::new(move |_| settings.with(|settings| settings.objective == Objective::LogRatio));
    view! {
        <details class="options" data-testid="calibrate-options">
            <summary>"Options"</summary>
            <h3>"What is fitted"</h3>
            <div class="choices">
                {choice(
                    ("calibrate-model", "Step-time model"),
                    FittedModel::ALL.map(|model| (model, model.name(), model.label().to_owned())),
                    Memo::new(move |_| settings.with(|settings| settings.model)),
                    move |model| settings.update(|settings| settings.model = model),
                    "The last two need the architecture and the data sheet.",
                )}
                {choice(
                    ("calibrate-overload", "Requests sent in an overload"),
                    Overload::ALL.map(|overload| (overload, overload.name(), overload.label().to_owned())),
                    Memo::new(move |_| settings.with(|settings| settings.overload)),
                    move |overload| settings.update(|settings| settings.overload = overload),
                    "Where more came than ended, latencies tell the backlog more than the step.",
                )}
                <NumberField
                    label="End of each run kept aside"
                    id="calibrate-aside"
                    unit=Unit::Percent
                    range=[0.0, FitSettings::MAX_VALIDATE_LAST]
                    value=Signal::derive(move || settings.with(|settings| settings.validate_last))
                    on_change=move |share| settings.update(|settings| settings.validate_last = share.unwrap_or_default())
                    note=Signal::stored("Of its time. Requests sent there are not fitted and judge the fit.".to_owned())
                />
            </div>
            <h3>"What counts"</h3>
            <div class="choices">
                {choice(
                    ("calibrate-objective", "Objective"),
                    Objective::ALL.map(|objective| (objective, objective.name(), named(objective.name(), objective.label()))),
                    Memo::new(move |_| settings.with(|settings| settings.objective)),
                    move |objective| settings.update(|settings| settings.objective = objective),
                    "The loss that is minimized: how far simulated latencies are from measured ones.",
                )}
                <div class="weights" hidden=move || !has_weights.get()>
                    {WEIGHTS.into_iter().enumerate().map(|(at, (label, id))| view! { <WeightField at=at label=label id=id /> }).collect_view()}
                    <p class="help">"Times what each usually counts; 0 leaves a metric out, but not all three."</p>
                </div>
            </div>
            <h3>"How it is searched"</h3>
            <div class="choices">
                {choice(
                    ("calibrate-optimizer", "Optimizer"),
                    Optimizer::ALL.map(|optimizer| (optimizer, optimizer.name(), named(optimizer.name(), optimizer.label()))),
                    optimizer,
                    move |chosen| settings.update(|settings| {
                        // A number of evaluations that somebody gave is kept.
                        if settings.budget == settings.optimizer.usual_budget() {
                            settings.budget = chosen.usual_budget();
                        }
                        settings.optimizer = chosen;
                    }),
                    "The same seed gives the same fit, with any number of workers.",
                )}
                <NumberField
                    label="Evaluations"
                    id="calibrate-budget"
                    unit=Unit::Count
                    range=[1.0, FitSettings::MAX_BUDGET as f64]
                    is_whole=true
                    value=Signal::derive(move || settings.with(|settings| settings.budget as f64))
                    on_change=move |count| settings.update(|settings| {
                        settings.budget = count.map_or_else(|| settings.optimizer.usual_budget(), |count| count as u64);
                    })
                    note=Signal::stored("Replays of all fitted runs, each with other coefficients.".to_owned())
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
                    note=Signal::stored("Fits of several seeds show what the search leaves to chance.".to_owned())
                />
            </div>
        </details>
    }
}

fn named(name: &str, label: &str) -> String {
    format!("{name}: {label}")
}

/// A list of values by the names they have on the command line.
fn choice<T: Copy + PartialEq + Send + Sync + 'static, const N: usize>(
    (id, label): (&'static str, &'static str),
    all: [(T, &'static str, String); N],
    value: Memo<T>,
    on_choose: impl Fn(T) + 'static,
    note: &'static str,
) -> impl IntoView {
    let known = all.clone().map(|(own, name, _)| (own, name));
    let note_id = format!("{id}-note");
    view! {
        <div class="control">
            <label for=id>{label}</label>
            <select
                id=id
                aria-describedby=note_id.clone()
                on:change=move |event| {
                    let chosen = event_target_value(&event);
                    if let Some((own, _)) = known.iter().find(|(_, name)| *name == chosen) {
                        on_choose(*own);
                    }
                }
            >
                {all.map(|(own, name, text)| view! { <option value=name selected=move || value.get() == own>{text}</option> })}
            </select>
            <p id=note_id class="help">{note}</p>
        </div>
    }
}

#[component]
fn WeightField(
    /// Which of the weights.
    at: usize,
    label: &'static str,
    id: &'static str,
) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let settings = calibrate.settings;
    let value = move || settings.with(|settings| settings.weights.values().get(at).copied().unwrap_or(1.0));
    let put = move |weight: Option<f64>| {
        settings.update(|settings| {
            let mut values = settings.weights.values();
            if let Some(value) = values.get_mut(at) {
                *value = weight.unwrap_or(1.0);
            }
            // Without any weight there is nothing to search for; the field returns to what it was.
            let weights = Weights::of_values(values);
            if weights.is_usable() {
                settings.weights = weights;
            }
        });
    };
    view! {
        <NumberField
            label=label
            id=id
            unit=Unit::None
            range=[0.0, Weights::MAX]
            value=Signal::derive(value)
            on_change=put
            note=Signal::stored(String::new())
        />
    }
}

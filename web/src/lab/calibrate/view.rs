//! The calibration tab on the screen.

use super::files::Files;
use super::result::Outcome;
use super::server::ServerFacts;
use super::state::{Calibrate, Phase, Use};
use super::words;
use crate::components::problems::Problems;
use crate::components::segmented::{Segment, Segmented};
use crate::lab::fields::NumberField;
use crate::lab::state::lab;
use crate::view_model::format::{self, Unit};
use leptos::prelude::*;
use plimsoll_core::calibrate::{FitSettings, FittedModel};
use plimsoll_protocol::view::Tab;
use web_sys::{File, HtmlInputElement};

/// What may be dropped: the tool, what it writes, and what of it can be fitted.
const FORMATS: [(&str, &str); 9] = [
    ("vllm bench serve", "JSON of --save-detailed, or several lines of --append-result"),
    ("GuideLLM", "benchmarks.json, old and new"),
    ("BLIS", "trace CSV with its header YAML and chunk times"),
    ("LLMServingSim", "requests.jsonl with its meta.json"),
    ("LMBench", "summary CSV"),
    ("inference-perf", "per_request_lifecycle_metrics.json"),
    ("vLLM", "its standard output and /metrics say what the server was"),
    ("study", "a study.json saved here is opened again"),
    ("other reports", "console blocks and stage reports are summed up; they hold no single requests to fit"),
];

/// How coefficients are fitted to logs.
#[component]
pub fn CalibrateView() -> impl IntoView {
    let lab = lab();
    let calibrate = Calibrate::new();
    provide_context(calibrate);
    // Files dropped anywhere on the page while this tab is open, once there are workers to read them.
    Effect::new(move |_| {
        let is_mine = lab.is_open(Tab::Calibrate) && lab.crew.with(Option::is_some);
        if is_mine && lab.files.with(|files| !files.is_empty()) {
            open(calibrate, lab.files.get_untracked());
            lab.files.set(Vec::new());
        }
    });
    let has_files = Memo::new(move |_| calibrate.files.with(|files| !files.is_empty()));
    let has_result = Memo::new(move |_| calibrate.fit.with(Option::is_some) || calibrate.phase.get() == Phase::Fitting);
    view! {
        {move || if has_files.get() {
            view! {
                <Files />
                <ServerFacts />
                <Search />
            }.into_any()
        } else {
            view! { <Welcome /> }.into_any()
        }}
        <div class="calibrate-problems" role="alert">
            <Problems id="calibrate-problems".into() problems=calibrate.problems />
        </div>
        {move || has_result.get().then(|| view! { <Outcome /> })}
    }
}

/// Hands files over.
fn open(calibrate: Calibrate, files: Vec<File>) {
    for file in files {
        calibrate.open(file.name(), file.into());
    }
}

/// What the tab is for, while there is nothing in it.
#[component]
fn Welcome() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    view! {
        <section class="welcome" aria-labelledby="calibrate-title">
            <h2 id="calibrate-title">"Make the simulator that of your own server"</h2>
            <p>
                "Drop the logs of a load test anywhere on this page. Plimsoll replays them, searches the step times with which "
                "the simulated server answers as yours did, and puts these into the curve. The files are read in this tab and "
                "go nowhere; prompts and answers in them are skipped."
            </p>
            <div class="actions">
                <OpenButton label="Open logs …" />
                <button type="button" on:click=move |_| calibrate.open_example() data-testid="calibrate-example">
                    "Try the example"
                </button>
            </div>
            <p class="help">
                "The example is 300 requests to Llama-3.1-8B on one RTX PRO 6000, measured by the LLMServingSim project (MIT license)."
            </p>
            <dl class="formats">
                {FORMATS.iter().map(|(name, what)| view! { <div><dt>{*name}</dt><dd>{*what}</dd></div> }).collect_view()}
            </dl>
            <p class="help">
                "Two or three runs at different loads tell more than one long run. Formats are recognized by content, whatever the file is called."
            </p>
        </section>
    }
}

/// A button that opens files.
#[component]
pub fn OpenButton(label: &'static str) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    view! {
        <label class="button">
            {label}
            <input
                type="file"
                class="visually-hidden"
                multiple=true
                data-testid="calibrate-open"
                on:change=move |event| {
                    let input: HtmlInputElement = event_target(&event);
                    if let Some(files) = input.files() {
                        open(calibrate, (0..files.length()).filter_map(|index| files.get(index)).collect());
                    }
                    // So that the same file can be opened again.
                    input.set_value("");
                }
            />
        </label>
    }
}

/// How the fit goes, and the buttons that begin and end it.
#[component]
fn Search() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let settings = calibrate.settings;
    let segment = |model: FittedModel| Segment {
        id: model.name().into(),
        label: words::model(model).into(),
        obstacle: String::new(),
    };
    let models = FittedModel::ALL.map(segment).to_vec();
    let model = Signal::derive(move || settings.with(|settings| settings.model.name().to_owned()));
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
            <div class="choices">
                <Segmented
                    name="fitted-model"
                    legend="Step-time model"
                    segments=Signal::stored(models)
                    value=model
                    on_choose=move |id: String| settings.update(|settings| {
                        settings.model = FittedModel::of_name(&id).unwrap_or_default();
                    })
                />
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
            </div>
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
        </section>
    }
}

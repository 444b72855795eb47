//! The calibration tab on the screen.

use super::config::ConfigCard;
use super::experiment::ExperimentCard;
use super::files::Files;
use super::fit_card::FitCard;
use super::result::Outcome;
use super::search::Search;
use super::server::ServerFacts;
use super::state::{Calibrate, Phase};
use crate::components::problems::Problems;
use crate::lab::fields::FolderButton;
use crate::lab::intake::Given;
use crate::lab::state::lab;
use leptos::prelude::*;
use plimsoll_protocol::view::Tab;
use web_sys::HtmlInputElement;

/// What may be dropped: the tool, what it writes, and what of it can be fitted.
const FORMATS: [(&str, &str); 10] = [
    ("vllm bench serve", "JSON of --save-detailed, or several lines of --append-result"),
    ("GuideLLM", "benchmarks.json, old and new"),
    ("BLIS", "trace CSV with its header YAML and chunk times"),
    ("LLMServingSim", "requests.jsonl with its meta.json"),
    ("LMBench", "summary CSV"),
    ("inference-perf", "per_request_lifecycle_metrics.json"),
    ("vLLM", "its standard output and /metrics say what the server was"),
    ("study, fit", "a study.json and a fit.yaml saved here or by the command line are opened again"),
    ("optimizer of 2025", "its YAML: bounds, scaling, error function, seed, and which runs to fit"),
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
        if let Some(given) = lab.take_files(Tab::Calibrate) {
            calibrate.take(given);
        }
    });
    let has_files = Memo::new(move |_| calibrate.files.with(|files| !files.is_empty()));
    let has_result = Memo::new(move |_| calibrate.fit.with(Option::is_some) || calibrate.phase.get() == Phase::Fitting);
    view! {
        <FitCard />
        <ConfigCard />
        {move || if has_files.get() {
            view! {
                <Files />
                <ExperimentCard />
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
                <FolderButton label="Open a folder …" id="calibrate-folder" />
                <button type="button" on:click=move |_| calibrate.open_example() data-testid="calibrate-example">
                    "Try the example"
                </button>
                <button type="button" on:click=move |_| calibrate.open_experiment("experiment-01") data-testid="calibrate-experiment">
                    "Try with experiment 01"
                </button>
            </div>
            <p class="help">
                "The example is 300 requests to Llama-3.1-8B on one RTX PRO 6000, measured by the LLMServingSim project (MIT license). Experiment 01 is the optimizer study of 2025: 100 latencies, 19 parameters, and what they cannot tell."
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
                        let files = (0..files.length()).filter_map(|index| files.get(index)).collect();
                        calibrate.take(Given { files, is_folder: false });
                    }
                    // So that the same file can be opened again.
                    input.set_value("");
                }
            />
        </label>
    }
}

//! The files that were given, what they hold and what is done with it.

use super::state::{Calibrate, FileStage, LogFile, Use};
use super::view::OpenButton;
use super::words;
use crate::components::icon::{CLOSE, Icon};
use crate::components::problems::sentence;
use crate::view_model::format;
use leptos::prelude::*;
use plimsoll_core::diagnostic::{Diagnostic, Severity};
use plimsoll_protocol::lab::{LogSummary, RunSummary};

/// Problems of a file that are shown at once.
const MAX_PROBLEMS: usize = 6;

/// Every file with its runs.
#[component]
pub fn Files() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let has_many = Memo::new(move |_| {
        calibrate.uses.with(|uses| uses.values().filter(|found| **found != Use::Ignore).count() > 1)
    });
    view! {
        <section class="panel logs" aria-labelledby="calibrate-logs">
            <header>
                <h2 id="calibrate-logs">"Logs"</h2>
                <OpenButton label="Add logs …" />
            </header>
            <ul class="files" data-testid="calibrate-files">
                {move || calibrate.files.get().into_iter().map(|file| view! { <FileCard file=file /> }).collect_view()}
            </ul>
            <p class="help" data-testid="calibrate-passed-over" hidden=move || calibrate.passed_over.with(Vec::is_empty)>
                {move || calibrate.passed_over.with(|names| words::passed_over(names))}
            </p>
            <p class="help" hidden=move || !has_many.get()>
                "A run that is kept aside is not fitted; it tells how well the fit predicts what it has not seen."
            </p>
        </section>
    }
}

#[component]
fn FileCard(file: LogFile) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let LogFile { log, name, size, stage, .. } = file;
    let title = name.clone();
    let body = match stage {
        FileStage::Reading(done) => view! {
            <p class="reading">
                <progress max=size prop:value=done aria-label=format!("Reading {name}")></progress>
                <span>{format!("{} of {}", format::bytes(done), format::bytes(size))}</span>
            </p>
        }
        .into_any(),
        FileStage::Failed(problems) => view! { <FileProblems problems=problems /> }.into_any(),
        FileStage::Read(summary) => view! { <Contents summary=summary /> }.into_any(),
    };
    view! {
        <li class="file" data-testid="calibrate-file">
            <div class="name">
                <strong>{title}</strong>
                <button type="button" class="quiet" aria-label=format!("Remove {name}") on:click=move |_| calibrate.remove(log)>
                    <Icon path=CLOSE />
                </button>
            </div>
            {body}
        </li>
    }
}

#[component]
fn Contents(summary: LogSummary) -> impl IntoView {
    let is_empty = summary.runs.is_empty();
    let is_refused = summary.diagnostics.iter().any(|found| found.severity == Severity::Error);
    let facts = summary.server.as_ref().map(|server| {
        let stated = [
            server.model.clone(),
            server.accelerator.clone(),
            server.engine_version.clone(),
            server.tensor_parallel_size.map(|size| format!("tensor_parallel_size {size}")),
            server.max_num_seqs.map(|count| format!("max_num_seqs {count}")),
            server.max_num_batched_tokens.map(|count| format!("max_num_batched_tokens {count}")),
            server.num_gpu_blocks.map(|count| format!("{count} KV blocks")),
        ];
        let stated: Vec<String> = stated.into_iter().flatten().collect();
        format!(
            "Describes the server: {}.",
            if stated.is_empty() { "nothing that is used".into() } else { stated.join(", ") }
        )
    });
    let chunks = (is_empty && summary.has_gaps).then_some("Holds the chunk times of another log's requests.");
    let nothing = (is_empty && facts.is_none() && chunks.is_none() && !is_refused).then_some("Holds no runs.");
    view! {
        {facts.map(|facts| view! { <p>{facts}</p> })}
        {chunks.map(|text| view! { <p>{text}</p> })}
        {nothing.map(|text| view! { <p>{text}</p> })}
        {(!is_empty).then(|| view! {
            <ul class="runs">{summary.runs.into_iter().map(|run| view! { <RunLine run=run /> }).collect_view()}</ul>
        })}
        <FileProblems problems=summary.diagnostics />
    }
}

#[component]
fn RunLine(run: RunSummary) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let id = run.id;
    let present = move || calibrate.uses.with(|uses| uses.get(&id).copied().unwrap_or(Use::Ignore));
    let choice = move |wanted: Use, value: &'static str, label: &'static str| {
        view! { <option value=value selected=move || present() == wanted>{label}</option> }
    };
    let select_id = format!("use-{}-{}", id.log, id.run);
    let control = run.obstacle.is_empty().then(|| {
        view! {
            <label class="visually-hidden" for=select_id.clone()>{format!("What is done with {}", run.name)}</label>
            <select
                id=select_id.clone()
                data-testid="calibrate-use"
                on:change=move |event| {
                    let chosen = match event_target_value(&event).as_str() {
                        "fit" => Use::Fit,
                        "aside" => Use::KeepAside,
                        _ => Use::Ignore,
                    };
                    calibrate.uses.update(|uses| { uses.insert(id, chosen); });
                }
            >
                {choice(Use::Fit, "fit", "fit")}
                {choice(Use::KeepAside, "aside", "keep aside")}
                {choice(Use::Ignore, "ignore", "leave out")}
            </select>
        }
    });
    let lines = [words::lengths(&run), words::load(&run), words::latencies(&run)];
    let small = lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" · ");
    view! {
        <li class="run">
            <div>
                <p>{run.format.clone()} ": " {words::size(&run)}</p>
                <p class="help">{small}</p>
                {run.overload.iter().map(|window| view! { <p class="help">{sentence(&window.words())}</p> }).collect_view()}
                {(!words::arrivals(&run).is_empty()).then(|| view! { <p class="help">{words::arrivals(&run)}</p> })}
                {(!run.obstacle.is_empty()).then(|| view! { <p class="problem warning">{format!("Not fitted: {}.", run.obstacle)}</p> })}
            </div>
            {control}
        </li>
    }
}

/// What is wrong with a file, each with its place.
#[component]
fn FileProblems(problems: Vec<Diagnostic>) -> impl IntoView {
    let num_more = problems.len().saturating_sub(MAX_PROBLEMS);
    let is_error = problems.iter().any(|found| found.severity == Severity::Error);
    view! {
        <div class="problems" data-testid="calibrate-file-problems">
            {(is_error).then(|| view! { <p class="problem error"><strong>"Nothing of this file is used."</strong></p> })}
            {problems.into_iter().take(MAX_PROBLEMS).map(|found| {
                let class = match found.severity {
                    Severity::Error => "problem error",
                    Severity::Warning => "problem warning",
                    // Worth knowing, nothing to mend.
                    Severity::Note => return view! { <p class="help">{sentence(&found.message)}</p> }.into_any(),
                };
                view! {
                    <p class=class>
                        {(!found.path.is_empty()).then(|| view! { <code>{found.path.clone()}</code> " " })}
                        {sentence(&found.message)}
                        {(!found.hint.is_empty()).then(|| format!(" {}", sentence(&found.hint)))}
                    </p>
                }
                .into_any()
            }).collect_view()}
            {(num_more > 0).then(|| view! { <p class="help">{format!("and {num_more} more")}</p> })}
        </div>
    }
}

//! The dialog for a `vllm serve` line: where it is pasted, what is wrong with it, and what became of it.
//!
//! A line may hold secrets: its text is forgotten as soon as it is understood or the dialog closes.

use crate::components::breakable::breakable;
use crate::components::problems::sentence;
use crate::page::{Dialog, Page, Pasted, page};
use crate::view_model::serve_line::{Setting, Understood, place};
use leptos::prelude::*;
use plimsoll_core::diagnostic::{Diagnostic, Severity};

/// The form, or what came of it.
#[component]
pub fn ServeLineDialog() -> impl IntoView {
    let page = page();
    let text = RwSignal::new(String::new());
    Effect::new(move |_| {
        let is_open = page.dialog.get() == Some(Dialog::ServeLine);
        if !is_open || page.pasted.with(|pasted| matches!(pasted, Pasted::Taken(_))) {
            text.set(String::new());
        }
        if !is_open && page.pasted.with_untracked(|pasted| *pasted != Pasted::Nothing) {
            page.pasted.set(Pasted::Nothing);
        }
    });
    let taken = Memo::new(move |_| {
        page.pasted.with(|pasted| match pasted {
            Pasted::Taken(understood) => Some(understood.clone()),
            _ => None,
        })
    });
    view! {
        {move || match taken.get() {
            Some(understood) => result(page, understood).into_any(),
            None => view! { <Form page=page text=text /> }.into_any(),
        }}
    }
}

#[component]
fn Form(page: Page, text: RwSignal<String>) -> impl IntoView {
    let is_reading = Memo::new(move |_| page.pasted.with(|pasted| *pasted == Pasted::Reading));
    let problems = Memo::new(move |_| {
        page.pasted.with(|pasted| match pasted {
            // What is worth knowing can wait until the line is understood.
            Pasted::Refused(problems) => {
                problems.iter().filter(|problem| problem.severity != Severity::Note).cloned().collect()
            }
            _ => Vec::new(),
        })
    });
    let send = move || {
        let line = text.get_untracked();
        if !line.trim().is_empty() && !is_reading.get_untracked() {
            page.paste_serve_line(line);
        }
    };
    view! {
        <form method="dialog" on:submit=move |event| { event.prevent_default(); send(); }>
            <p class="help">
                "As a shell, a script, a Dockerfile or a container's args start the server. It is read in this tab; keys and tokens in it are dropped."
            </p>
            <div class="control">
                <label for="serve-line-text">"vllm serve line"</label>
                <textarea
                    id="serve-line-text"
                    rows="8"
                    spellcheck="false"
                    autocomplete="off"
                    autocapitalize="off"
                    required=true
                    placeholder="vllm serve meta-llama/Llama-3.1-8B-Instruct --max-num-seqs 512"
                    aria-describedby="serve-line-problems"
                    aria-invalid=move || (!problems.with(Vec::is_empty)).then_some("true")
                    prop:value=text
                    on:input=move |event| text.set(event_target_value(&event))
                ></textarea>
            </div>
            <div id="serve-line-problems" role="alert">{move || list(problems.get())}</div>
            <div class="row end">
                <button type="submit" class="primary" disabled=is_reading>
                    {move || if is_reading.get() { "Reading …" } else { "Use this server" }}
                </button>
            </div>
        </form>
    }
}

/// What was understood, with the way back.
fn result(page: Page, understood: Understood) -> impl IntoView {
    let Understood { summary, settings, warnings, notes } = understood;
    let close = move || page.dialog.set(None);
    // Where nothing has changed there is no step to take back.
    let is_changed = settings.iter().any(|setting| !setting.before.is_empty());
    view! {
        <div role="status" data-testid="serve-line-result">
            <p>{summary}</p>
            <ul class="decided">{settings.into_iter().map(row).collect_view()}</ul>
            {list(warnings)}
            {notes
                .into_iter()
                .map(|note| view! { <p class="help remark">{said(&note)}</p> })
                .collect_view()}
            <div class="row end">
                {is_changed.then(|| view! { <button type="button" on:click=move |_| { close(); page.undo(); }>"Undo"</button> })}
                <button type="button" class="primary" autofocus=true on:click=move |_| close()>"Done"</button>
            </div>
        </div>
    }
}

fn row(setting: Setting) -> impl IntoView {
    let Setting { name, before, after, reason } = setting;
    let is_same = before.is_empty();
    view! {
        <li>
            <code>{breakable(&name)}</code>
            <span class="change">
                {(!is_same).then(|| view! { <s>{before}</s> " → " })}
                <strong>{after}</strong>
                {is_same.then_some(", as before")}
            </span>
            <span class="decider">{reason}</span>
        </li>
    }
}

fn list(problems: Vec<Diagnostic>) -> impl IntoView {
    problems
        .into_iter()
        .map(|problem| {
            let is_error = problem.severity == Severity::Error;
            let class = if is_error { "problem error" } else { "problem warning" };
            view! { <p class=class>{place(&problem)} {said(&problem)}</p> }
        })
        .collect_view()
}

/// What is wrong and what to do, as sentences.
fn said(problem: &Diagnostic) -> String {
    let message = sentence(&problem.message);
    if problem.hint.is_empty() { message } else { format!("{message} {}", sentence(&problem.hint)) }
}

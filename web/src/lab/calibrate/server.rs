//! What is known of the server: logged, given, or guessed and marked as a guess.

use super::state::Calibrate;
use crate::components::problems::Problems;
use leptos::prelude::*;
use plimsoll_core::measurement::MeasuredDeployment;
use plimsoll_protocol::lab::{Fact, Origin};

/// Label of each fact.
const LABELS: [(&str, &str); 6] = [
    ("model", "Model"),
    ("accelerator", "Accelerator"),
    ("tensor_parallel_size", "tensor_parallel_size"),
    ("max_num_seqs", "max_num_seqs"),
    ("max_num_batched_tokens", "max_num_batched_tokens"),
    ("num_gpu_blocks", "KV blocks"),
];

/// Largest number of a setting.
const MAX_NUMBER: u32 = 1_000_000_000;

/// A field for each fact.
#[component]
pub fn ServerFacts() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let fields = Memo::new(move |_| {
        calibrate.server.with(|server| {
            server.iter().flat_map(|server| server.facts.iter().map(|fact| fact.field.clone())).collect::<Vec<_>>()
        })
    });
    let problems = Signal::derive(move || {
        calibrate.server.with(|server| server.as_ref().map(|server| server.diagnostics.clone()).unwrap_or_default())
    });
    let list = move |pick: fn(&plimsoll_protocol::lab::Server) -> &Vec<String>| {
        calibrate.server.with(|server| {
            let names = server.iter().flat_map(|server| pick(server).clone());
            names.map(|name| view! { <option value=name></option> }).collect_view()
        })
    };
    view! {
        <section class="panel server" aria-labelledby="calibrate-server" hidden=move || fields.with(Vec::is_empty)>
            <h2 id="calibrate-server">"Server"</h2>
            <p class="help">"What no log says is guessed; say it where you know better. An emptied field is a guess again."</p>
            <datalist id="calibrate-models">{move || list(|server| &server.models)}</datalist>
            <datalist id="calibrate-accelerators">{move || list(|server| &server.accelerators)}</datalist>
            <div class="facts">
                <For each=move || fields.get() key=Clone::clone let:field>
                    <FactField field=field />
                </For>
            </div>
            <Problems id="calibrate-server-problems".into() problems=problems />
        </section>
    }
}

#[component]
fn FactField(field: String) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let refusal: RwSignal<Option<&'static str>> = RwSignal::new(None);
    let name = field.clone();
    let fact: Memo<Option<Fact>> = Memo::new(move |_| {
        calibrate.server.with(|server| server.as_ref()?.facts.iter().find(|fact| fact.field == name).cloned())
    });
    let label = LABELS.iter().find(|(known, _)| *known == field).map_or("", |(_, label)| *label);
    let id = format!("server-{field}");
    let list = match field.as_str() {
        "model" => "calibrate-models",
        "accelerator" => "calibrate-accelerators",
        _ => "",
    };
    let is_text = !list.is_empty();
    let origin = move || {
        fact.with(|fact| match fact.as_ref().map(|fact| (fact.origin, fact.value.is_empty())) {
            Some((Origin::Given, _)) => "said by you",
            Some((Origin::Logged, _)) => "from the logs",
            Some((Origin::Configured, _)) => "from the configuration",
            Some((Origin::Guessed, false)) => "guess",
            Some((Origin::Guessed, true)) => "not known",
            None => "",
        })
    };
    let placeholder = if field == "num_gpu_blocks" { "taken as never full" } else { "not known" };
    let key = field.clone();
    let note_id = format!("{id}-note");
    view! {
        <div class="control fact" class:invalid=move || refusal.get().is_some() data-origin=origin>
            <label for=id.clone()>{label}</label>
            <input
                id=id.clone()
                type="text"
                list=list
                autocomplete="off"
                spellcheck="false"
                inputmode=if is_text { "text" } else { "numeric" }
                placeholder=placeholder
                aria-describedby=note_id.clone()
                aria-invalid=move || refusal.get().is_some().to_string()
                prop:value=move || fact.with(|fact| fact.as_ref().map(|fact| fact.value.clone()).unwrap_or_default())
                on:change=move |event| {
                    let text = event_target_value(&event);
                    let given = calibrate.given;
                    match put(&mut given.get_untracked(), &key, text.trim()) {
                        Ok(changed) => { refusal.set(None); given.set(changed); }
                        Err(reason) => refusal.set(Some(reason)),
                    }
                }
            />
            <p id=note_id class="help">
                {move || refusal.get().map_or_else(
                    || view! { <span class="origin">{origin}</span> }.into_any(),
                    |reason| view! { <span class="problem error">{reason}</span> }.into_any(),
                )}
            </p>
        </div>
    }
}

/// What the user says of the server, with one fact changed; an empty text takes it back.
fn put(given: &mut MeasuredDeployment, field: &str, text: &str) -> Result<MeasuredDeployment, &'static str> {
    let words = (!text.is_empty()).then(|| text.to_owned());
    let number = match text.replace([',', ' '], "").parse::<u32>() {
        Ok(number) if (1..=MAX_NUMBER).contains(&number) => Ok(Some(number)),
        _ if text.is_empty() => Ok(None),
        _ => Err("Give a whole number of at least 1."),
    };
    match field {
        "model" => given.model = words,
        "accelerator" => given.accelerator = words,
        "tensor_parallel_size" => given.tensor_parallel_size = number?,
        "max_num_seqs" => given.max_num_seqs = number?,
        "max_num_batched_tokens" => given.max_num_batched_tokens = number?,
        "num_gpu_blocks" => given.num_gpu_blocks = number?,
        _ => {}
    }
    Ok(given.clone())
}

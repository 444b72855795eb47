//! A configuration of the 2025 optimizer: what it sets, and the way back.

use super::reading::ConfigFile;
use super::state::Calibrate;
use super::words;
use crate::components::icon::{CLOSE, Icon};
use crate::components::problems::{Problems, placed};
use crate::view_model::format;
use leptos::prelude::*;
use plimsoll_core::calibrate::FittedModel;
use plimsoll_protocol::lab::OpenedConfig;

/// The configuration, if one was opened.
#[component]
pub fn ConfigCard() -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    move || calibrate.config.get().map(|file| view! { <Card file=file /> })
}

#[component]
fn Card(file: ConfigFile) -> impl IntoView {
    let calibrate: Calibrate = expect_context();
    let ConfigFile { name, opened, num_runs, .. } = file;
    let title = name.clone();
    let runs = words::config_runs(&opened, num_runs);
    let settings = words::config_settings(&opened);
    let remarks = placed(opened.remarks.clone());
    let model = opened.settings.model;
    view! {
        <section class="panel" aria-labelledby="config-title" data-testid="calibrate-config">
            <header>
                <h2 id="config-title">{title}</h2>
                <button type="button" class="quiet" aria-label=format!("Close {name}") on:click=move |_| calibrate.config.set(None)>
                    <Icon path=CLOSE />
                </button>
            </header>
            <p>"Settings of the optimizer of 2025. They are now in Options, where they can be changed."</p>
            <ul class="said">{settings.into_iter().map(|text| view! { <li>{text}</li> }).collect_view()}</ul>
            {runs.map(|text| view! { <p>{text}</p> })}
            <Problems id="config-problems".into() problems=Signal::stored(remarks) />
            {opened.model.is_some().then(|| view! {
                <details>
                    <summary>"Bounds of the coefficients"</summary>
                    <Bounds opened=opened model=model />
                </details>
            })}
        </section>
    }
}

#[component]
fn Bounds(opened: OpenedConfig, model: FittedModel) -> impl IntoView {
    let row = move |name: String, value: String| {
        view! {
            <tr>
                <th scope="row">{words::symbol(&name)}</th>
                <td>{model.meaning(&name)}</td>
                <td>{value}</td>
            </tr>
        }
    };
    let shown = move |name: &str, value: f64| format::number(value * model.unit(name).0, 4);
    let searched = opened.searched.into_iter().map(move |(name, [low, high])| {
        let text = format!("{} – {} {}", shown(&name, low), shown(&name, high), model.unit(&name).1);
        row(name, text)
    });
    let fixed = opened.fixed.into_iter().map(move |(name, value)| {
        let text = format!("{} {}, fixed", shown(&name, value), model.unit(&name).1);
        row(name, text)
    });
    view! {
        <div class="table whole" tabindex="0" role="region" aria-label="Table: bounds of the coefficients">
            <table>
                <thead><tr><th scope="col">"name"</th><th scope="col">"what it is"</th><th scope="col">"searched"</th></tr></thead>
                <tbody>{searched.collect_view()} {fixed.collect_view()}</tbody>
            </table>
        </div>
    }
}

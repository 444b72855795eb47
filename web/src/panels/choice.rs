//! A choice of the scenario: as radio buttons, as a list to search, as a menu.

use crate::components::combobox::{Combobox, Entry};
use crate::components::problems::Problems;
use crate::components::segmented::{Segment, Segmented};
use crate::page::{Page, page};
use leptos::prelude::*;
use plimsoll_core::scenario::Choice;

/// What is chosen at a field.
fn chosen(page: Page, path: &'static str) -> Memo<String> {
    Memo::new(move |_| page.desk.with(|desk| desk.choice(path).to_owned()))
}

/// A few choices side by side.
#[component]
pub fn ChoiceControl(
    /// Path of the field.
    path: &'static str,
    /// Name of the group, unique on the page.
    name: &'static str,
    /// What is chosen, in words.
    legend: &'static str,
) -> impl IntoView {
    let page = page();
    let segment = |choice: &Choice| Segment {
        id: choice.id.clone(),
        label: choice.label.clone(),
        obstacle: if choice.is_available { String::new() } else { choice.reason.clone() },
    };
    let segments = Memo::new(move |_| page.desk.with(|desk| desk.offers(path).iter().map(segment).collect::<Vec<_>>()));
    view! {
        <Segmented
            name=name
            legend=legend
            segments=segments
            value=chosen(page, path)
            on_choose=move |id| page.choose(path, &id)
        />
    }
}

/// A list to search, asked for when it opens.
#[component]
pub fn ListControl(
    /// Path of the field.
    path: &'static str,
    /// Id of the field, unique on the page.
    id: &'static str,
    /// Label.
    label: &'static str,
    /// One line of help.
    help: &'static str,
) -> impl IntoView {
    let page = page();
    let entry = |choice: &Choice| Entry {
        id: choice.id.clone(),
        label: choice.label.clone(),
        is_available: choice.is_available,
        reason: choice.reason.clone(),
    };
    let entries = Signal::derive(move || {
        page.choices
            .with(|(listed, choices)| if listed == path { choices.iter().map(entry).collect() } else { Vec::new() })
    });
    view! {
        <Combobox
            id=id
            label=label
            help=help
            value=chosen(page, path)
            entries=entries
            on_open=move || page.list(path)
            on_choose=move |id| page.choose(path, &id)
        />
        <Problems id=format!("{id}-problems") problems=Signal::derive(move || page.problems(path)) />
    }
}

/// A menu of a few fixed choices: value and text.
#[component]
pub fn SelectControl(
    /// Path of the field.
    path: &'static str,
    /// Id of the field, unique on the page.
    id: &'static str,
    /// Label.
    label: &'static str,
    /// One line of help.
    help: &'static str,
    /// The choices.
    options: &'static [(&'static str, &'static str)],
) -> impl IntoView {
    let page = page();
    let value = chosen(page, path);
    // What came with a file or a link need not be on offer.
    let other = move || Some(value.get()).filter(|value| options.iter().all(|(id, _)| id != value));
    view! {
        <div class="control">
            <label for=id>{label}</label>
            <select id=id prop:value=value on:change=move |event| page.choose(path, &event_target_value(&event))>
                {options
                    .iter()
                    .map(|(id, label)| view! { <option value=*id selected=move || value.with(|value| value == id)>{*label}</option> })
                    .collect_view()}
                {move || other().map(|id| view! { <option value=id.clone() selected=true>{id.clone()}</option> })}
            </select>
            <p class="help">{help}</p>
            <Problems id=format!("{id}-problems") problems=Signal::derive(move || page.problems(path)) />
        </div>
    }
}

//! Number fields of the lab's own, which belong to no scenario.

use super::intake;
use super::state::{RateOrigin, lab};
use crate::components::problems::sentence;
use crate::view_model::format::{self, Unit};
use leptos::html;
use leptos::prelude::*;
use web_sys::HtmlInputElement;

/// Largest seed: what a number field holds exactly.
pub const MAX_SEED: f64 = 9e15;

/// A number with its unit; what cannot be read stays in the field and is explained.
#[component]
pub fn NumberField(
    /// Name of the control.
    label: &'static str,
    /// Id of the field.
    id: &'static str,
    /// Unit of the number.
    unit: Unit,
    /// Least and greatest value.
    range: [f64; 2],
    /// Whether only whole numbers make sense.
    #[prop(optional)]
    is_whole: bool,
    /// The number in force; NaN if it is not known yet.
    #[prop(into)]
    value: Signal<f64>,
    /// Takes a number, or none for an emptied field.
    on_change: impl Fn(Option<f64>) + Copy + Send + Sync + 'static,
    /// What there is to say of the number.
    #[prop(into)]
    note: Signal<String>,
) -> impl IntoView {
    let draft: RwSignal<Option<String>> = RwSignal::new(None);
    let refusal: RwSignal<Option<String>> = RwSignal::new(None);
    let read = move |text: &str| -> Result<Option<f64>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let value = format::parse(text, unit)?;
        let value = if is_whole { value.round() } else { value };
        let [low, high] = range;
        if (low..=high).contains(&value) {
            return Ok(Some(value));
        }
        Err(format!("must be from {} to {}", format::field_text(low, unit), format::field_text(high, unit)))
    };
    let shown = move |value: f64| match is_whole {
        // Every digit of a seed counts.
        true if value >= 1e4 => format::grouped(value),
        _ => format::field_text(rounded(value), unit),
    };
    let (help_id, problem_id) = (format!("{id}-note"), format!("{id}-problem"));
    let described_by = format!("{help_id} {problem_id}");
    view! {
        <div class="control number stacked" class:invalid=move || refusal.with(Option::is_some)>
            <label for=id>{label}</label>
            <span class="with-unit">
                <input
                    id=id
                    type="text"
                    inputmode="decimal"
                    autocomplete="off"
                    aria-describedby=described_by
                    aria-invalid=move || refusal.with(Option::is_some).to_string()
                    prop:value=move || draft.get().unwrap_or_else(|| {
                        Some(value.get()).filter(|value| value.is_finite()).map_or_else(String::new, shown)
                    })
                    on:input=move |event| {
                        let text = event_target_value(&event);
                        match read(&text) {
                            Ok(new) => { refusal.set(None); on_change(new); }
                            Err(reason) => refusal.set(Some(reason)),
                        }
                        draft.set(Some(text));
                    }
                    // What is being typed must not change under the fingers when the number does.
                    on:focus=move |event| draft.set(Some(event_target_value(&event)))
                    on:blur=move |_| {
                        // A field that goes away while it is typed in says so after its state has gone.
                        if refusal.try_with_untracked(Option::is_none).unwrap_or_default() {
                            draft.try_set(None);
                        }
                    }
                />
                <span class="unit">{unit.symbol()}</span>
            </span>
            <p id=help_id class="help">{move || note.get()}</p>
            <p id=problem_id class="problem error" hidden=move || refusal.with(Option::is_none)>
                {move || refusal.get().map(|reason| sentence(&reason))}
            </p>
        </div>
    }
}

/// Six digits: all that somebody types, and nothing of what a multiplication leaves behind.
fn rounded(value: f64) -> f64 {
    plimsoll_json::decimal::read(&format!("{value:.5e}")).unwrap_or(value)
}

/// The rate at which runs are looked at, the same in every tab of the lab.
#[component]
pub fn RateField(
    /// Id of the field.
    id: &'static str,
) -> impl IntoView {
    let lab = lab();
    let note = Signal::derive(move || {
        match lab.request_rate().map(|(_, origin)| origin) {
            Some(RateOrigin::Chosen) => "Offered to the whole cluster. Empty: 0.8 of the capacity.",
            Some(RateOrigin::Capacity) => "Offered to the whole cluster: 0.8 of the capacity.",
            Some(RateOrigin::Saturation) => {
                "Offered to the whole cluster: 0.8 of the saturation, because no rate keeps the SLO."
            }
            Some(RateOrigin::Unknown) => "Offered to the whole cluster; no capacity is known.",
            None => "Offered to the whole cluster; the capacity is being searched for.",
        }
        .to_owned()
    });
    view! {
        <NumberField
            label="Request rate"
            id=id
            unit=Unit::PerSecond
            range=[0.001, 1e6]
            value=Signal::derive(move || lab.request_rate().map_or(f64::NAN, |(rate, _)| rate))
            on_change=move |rate| lab.rate.set(rate)
            note=note
        />
    }
}

/// A button that opens a folder.
#[component]
pub fn FolderButton(
    /// What it says.
    label: &'static str,
    /// Id for tests.
    id: &'static str,
) -> impl IntoView {
    let lab = lab();
    let input: NodeRef<html::Input> = NodeRef::new();
    Effect::new(move |_| {
        // An attribute that the view's elements do not know.
        let _ = input.get().map(|input| input.set_attribute("webkitdirectory", ""));
    });
    view! {
        <label class="button">
            {label}
            <input
                node_ref=input
                type="file"
                class="visually-hidden"
                multiple=true
                data-testid=id
                on:change=move |event| {
                    let input: HtmlInputElement = event_target(&event);
                    if let Some(files) = input.files() {
                        intake::take(lab, js_sys::Array::from(&files).to_vec());
                    }
                    // So that the same folder can be opened again.
                    input.set_value("");
                }
            />
        </label>
    }
}

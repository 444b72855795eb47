//! A number of the scenario: slider and field in one, with help and problems.

use crate::components::problems::Problems;
use crate::page::page;
use crate::state::fields::Field;
use crate::view_model::format;
use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use plimsoll_json::decimal;

/// Slider and field of one number.
#[component]
pub fn NumberControl(
    /// Which number.
    field: Field,
) -> impl IntoView {
    let page = page();
    let value = Memo::new(move |_| {
        let echo = page.echo.get().filter(|(path, _)| *path == field.path);
        echo.map_or_else(|| page.desk.with(|desk| desk.number(field.path)), |(_, value)| value)
    });
    // What an empty field stands for, once the scenario is resolved.
    let default = Memo::new(move |_| {
        page.desk.with(|desk| {
            let default = desk.default_of(field.path)?;
            Some((decimal::read(&default.value)?, default.source.clone()))
        })
    });
    let in_force = move || value.get().or_else(|| default.get().map(|(value, _)| value));
    let placeholder = move || match default.get() {
        Some((value, _)) => format::field_text(value, field.unit),
        None => field.when_empty.unwrap_or_default().to_owned(),
    };
    let whose = move || value.get().is_none().then(|| default.get().map(|(_, source)| source)).flatten();
    // Text that is no number stays in the field and is explained; the scenario keeps its last good value.
    let draft: RwSignal<Option<String>> = RwSignal::new(None);
    let refusal: RwSignal<Option<String>> = RwSignal::new(None);
    let text = move || {
        draft
            .get()
            .unwrap_or_else(|| value.get().map_or_else(String::new, |value| format::field_text(value, field.unit)))
    };
    let set = move |new: Option<f64>| page.set_number(field.path, new);
    let read = move |text: &str| -> Result<Option<f64>, String> {
        if text.trim().is_empty() && field.when_empty.is_some() {
            return Ok(None);
        }
        format::parse(text, field.unit)
            .and_then(|value| if value < 0.0 { Err("cannot be negative".to_owned()) } else { Ok(Some(value)) })
    };
    let on_input = move |text: String| {
        match read(&text) {
            Ok(new) => {
                refusal.set(None);
                set(new);
            }
            Err(reason) => refusal.set(Some(reason)),
        }
        draft.set(Some(text));
    };
    let on_key = move |event: KeyboardEvent| {
        // Left and right move the caret in the field, but not the slider's value by a useful step.
        let is_slider = event_target::<web_sys::HtmlInputElement>(&event).type_() == "range";
        let direction = match event.key().as_str() {
            "ArrowUp" => 1.0,
            "ArrowDown" => -1.0,
            "ArrowRight" if is_slider => 1.0,
            "ArrowLeft" if is_slider => -1.0,
            _ => return,
        };
        event.prevent_default();
        let steps = if event.shift_key() { direction * 10.0 } else { direction };
        if let Some(present) = leptos::prelude::untrack(in_force) {
            draft.set(None);
            refusal.set(None);
            set(Some(field.stepped(present, steps)));
        }
    };
    let id = field.path.replace(['.', '_'], "-");
    let (help_id, problems_id) = (format!("{id}-help"), format!("{id}-problems"));
    let described_by = format!("{help_id} {problems_id}");
    let problems = Signal::derive(move || page.problems(field.path));
    let remark = move || refusal.get().or_else(|| value.get().and_then(|value| field.remark(value)));
    let has_problem = move || refusal.with(Option::is_some) || problems.with(|problems| !problems.is_empty());
    view! {
        <div class="control number" class:invalid=has_problem>
            <label for=id.clone()>{field.label}</label>
            <span class="with-unit">
                <input
                    id=id.clone()
                    type="text"
                    inputmode="decimal"
                    autocomplete="off"
                    spellcheck="false"
                    placeholder=placeholder
                    aria-describedby=described_by
                    aria-invalid=move || has_problem().to_string()
                    prop:value=text
                    on:input=move |event| on_input(event_target_value(&event))
                    on:keydown=on_key
                    on:change=move |_| {
                        if refusal.with_untracked(Option::is_none) {
                            draft.set(None);
                        }
                        page.settle();
                    }
                />
                <span class="unit">{field.unit.symbol()}</span>
            </span>
            <input
                type="range"
                min="0"
                max="1000"
                step="1"
                data-testid=format!("slider-{id}")
                aria-label=format!("{} slider", field.label)
                aria-valuetext=move || in_force().map_or_else(
                    || field.when_empty.unwrap_or_default().to_owned(),
                    |value| format!("{} {}", format::field_text(value, field.unit), field.unit.symbol()),
                )
                prop:value=move || in_force().map_or(0.0, |value| field.to_slider(value)).to_string()
                on:input=move |event| {
                    if let Some(position) = decimal::read(&event_target_value(&event)) {
                        draft.set(None);
                        refusal.set(None);
                        set(Some(field.from_slider(position)));
                    }
                }
                on:keydown=on_key
                on:change=move |_| page.settle()
            />
            <p id=help_id class="help">{field.help}{move || whose().map(|whose| format!(" Now: {whose}."))}</p>
            {move || remark().map(|remark| view! { <p class="problem warning">{crate::components::problems::sentence(&remark)}</p> })}
            <Problems id=problems_id problems=problems />
        </div>
    }
}

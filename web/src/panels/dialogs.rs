//! Dialogs: paste a `config.json` or a `vllm serve` line, define an accelerator, list the shortcuts.

mod serve_line;

use crate::commands::Command;
use crate::components::dialog::ModalDialog;
use crate::page::{Dialog, Page, Step, page};
use crate::view_model::format::{self, Unit};
use leptos::prelude::*;
use plimsoll_protocol::{AcceleratorSheet, Edit};
use serve_line::ServeLineDialog;
use wasm_bindgen::JsValue;
use web_sys::Blob;

/// All dialogs.
#[component]
pub fn Dialogs() -> impl IntoView {
    let page = page();
    let close = move || page.dialog.set(None);
    let is = move |dialog: Dialog| Signal::derive(move || page.dialog.get() == Some(dialog));
    view! {
        <ModalDialog title="Paste a model's config.json" is_open=is(Dialog::Config) on_close=close>
            <ConfigForm page=page />
        </ModalDialog>
        <ModalDialog title="Paste a vllm serve line" is_open=is(Dialog::ServeLine) on_close=close>
            <ServeLineDialog />
        </ModalDialog>
        <ModalDialog title="Define an accelerator" is_open=is(Dialog::Accelerator) on_close=close>
            <AcceleratorForm page=page />
        </ModalDialog>
        <ModalDialog title="Keyboard shortcuts" is_open=is(Dialog::Shortcuts) on_close=close>
            <dl class="shortcuts">
                {Command::ALL
                    .into_iter()
                    .filter(|command| !command.shortcuts().is_empty())
                    .map(|command| {
                        let keys = command.shortcuts().iter().map(|shortcut| view! { <kbd>{shortcut.text()}</kbd> " " }).collect_view();
                        view! { <dt>{keys}</dt><dd>{command.label()}</dd> }
                    })
                    .collect_view()}
                <dt><kbd>"↑"</kbd> " " <kbd>"↓"</kbd></dt><dd>"In a number field: one step; with Shift ten"</dd>
            </dl>
        </ModalDialog>
    }
}

#[component]
fn ConfigForm(page: Page) -> impl IntoView {
    let name = RwSignal::new(String::new());
    let text = RwSignal::new(String::new());
    let quantization = RwSignal::new(String::new());
    let send = move || {
        let (name, mut text) = (name.get_untracked(), text.get_untracked());
        let word = quantization.get_untracked().replace(['"', '\\'], "");
        if !word.trim().is_empty() {
            // The reader's form for a config with something beside it.
            text = format!(r#"{{"quantization":"{word}","config.json":{text}}}"#);
        }
        let name = if name.trim().is_empty() { "config.json".to_owned() } else { name.trim().to_owned() };
        if let Ok(blob) = Blob::new_with_str_sequence(&js_sys::Array::of1(&JsValue::from_str(&text))) {
            page.with_controller(|controller| controller.read_file(page, &name, &blob));
        }
        page.dialog.set(None);
    };
    view! {
        <form method="dialog" on:submit=move |event| { event.prevent_default(); send(); }>
            <p class="help">"The file that lies beside a model's weights. It is read in this tab. The whole folder can be dropped, too."</p>
            <div class="control">
                <label for="config-name">"Name of the model"</label>
                <input id="config-name" type="text" placeholder="my/model-fp8" prop:value=name on:input=move |event| name.set(event_target_value(&event)) />
                <p class="help">"A name that ends in -fp8 or w4a16 says how the weights are quantized if the file does not."</p>
            </div>
            <div class="control">
                <label for="config-quantization">"Quantization"</label>
                <input id="config-quantization" type="text" placeholder="fp8, int4, awq, nvfp4, mxfp4, …" prop:value=quantization on:input=move |event| quantization.set(event_target_value(&event)) />
                <p class="help">"How the weights are stored, where that is not as the file says or it does not say it."</p>
            </div>
            <div class="control">
                <label for="config-text">"config.json"</label>
                <textarea id="config-text" rows="10" spellcheck="false" required=true prop:value=text on:input=move |event| text.set(event_target_value(&event))></textarea>
            </div>
            <div class="row end"><button type="submit" class="primary">"Use this model"</button></div>
        </form>
    }
}

/// The fields of the accelerator form, in the order of [`AcceleratorSheet::figures`]: id, label, unit, help, what a common card has.
const ACCELERATOR_FIELDS: [(&str, &str, Unit, &str, f64); 5] = [
    ("own-tflops", "Dense BF16 peak", Unit::Tflops, "Of the data sheet, without sparsity.", 989.0),
    ("own-bandwidth", "Memory bandwidth", Unit::TerabytesPerSecond, "Of the data sheet.", 3.35),
    ("own-memory", "Memory", Unit::Gib, "Of one accelerator.", 80.0),
    ("own-mfu-prefill", "Compute efficiency, prefill", Unit::Percent, "Share of the peak reached on prompts.", 0.45),
    ("own-mfu-decode", "Compute efficiency, decode", Unit::Percent, "Share of the peak reached on output tokens.", 0.3),
];

#[component]
fn AcceleratorForm(page: Page) -> impl IntoView {
    let name = RwSignal::new("own accelerator".to_owned());
    let texts: [RwSignal<String>; 5] =
        ACCELERATOR_FIELDS.map(|(_, _, unit, _, value)| RwSignal::new(format::field_text(value, unit)));
    let value = move |index: usize| -> Result<f64, String> {
        let (Some(text), Some((_, _, unit, _, _))) = (texts.get(index), ACCELERATOR_FIELDS.get(index)) else {
            return Err("is missing".into());
        };
        let value = format::parse(&text.get(), *unit)?;
        if value > 0.0 { Ok(value) } else { Err("must be above zero".into()) }
    };
    // Starts from the accelerator in force, so that one figure can be varied.
    Effect::new(move |_| {
        if page.dialog.get() != Some(Dialog::Accelerator) {
            return;
        }
        let present = page.desk.with_untracked(|desk| desk.accelerator.clone());
        if let Some(AcceleratorSheet { id, figures }) = present {
            name.set(if id.starts_with("own ") { id } else { format!("own {id}") });
            for ((signal, (_, _, unit, _, _)), value) in texts.iter().zip(ACCELERATOR_FIELDS).zip(figures) {
                signal.set(format::field_text(value, unit));
            }
        }
    });
    let send = move || {
        let values: Result<Vec<f64>, String> = (0..texts.len()).map(value).collect();
        let Some(figures) = values.ok().and_then(|values| values.try_into().ok()) else { return };
        let id = name.get_untracked();
        let id = if id.trim().is_empty() { "own accelerator".into() } else { id.trim().to_owned() };
        let edit = Edit::Accelerator { sheet: AcceleratorSheet { id, figures } };
        page.edit("deployment.accelerator", Step::Deliberate, edit);
        page.dialog.set(None);
    };
    view! {
        <form method="dialog" on:submit=move |event| { event.prevent_default(); send(); }>
            <div class="control">
                <label for="own-name">"Name"</label>
                <input id="own-name" type="text" prop:value=name on:input=move |event| name.set(event_target_value(&event)) />
            </div>
            {ACCELERATOR_FIELDS
                .into_iter()
                .zip(texts)
                .enumerate()
                .map(|(index, ((id, label, unit, help, _), text))| view! {
                    <div class="control number" class:invalid=move || value(index).is_err()>
                        <label for=id>{label}</label>
                        <span class="with-unit">
                            <input id=id type="text" inputmode="decimal" prop:value=text on:input=move |event| text.set(event_target_value(&event)) />
                            <span class="unit">{unit.symbol()}</span>
                        </span>
                        <p class="help">{help}</p>
                        {move || value(index).err().map(|reason| view! { <p class="problem error">{crate::components::problems::sentence(&reason)}</p> })}
                    </div>
                })
                .collect_view()}
            <p class="help">"Predictions for it are marked as extrapolated: nobody has measured it here."</p>
            <div class="row end"><button type="submit" class="primary">"Use this accelerator"</button></div>
        </form>
    }
}

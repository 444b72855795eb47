//! What can be done with a fit: put into the curve, saved as a file; and the example that can be opened.

use super::state::Calibrate;
use js_sys::Array;
use leptos::prelude::*;
use plimsoll_protocol::lab::{CalibrateOutcome, CalibrateSpec, StudySpec};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

/// Measurements that may be passed on; see example/README.md.
const EXAMPLE: &[(&str, &str)] =
    &[("requests.jsonl", include_str!("example/requests.jsonl")), ("meta.json", include_str!("example/meta.json"))];

impl Calibrate {
    /// Puts the fit into the page's scenario and shows its curve.
    pub fn apply(&self) {
        let calibrate = *self;
        let Some(fit) = self.fit_spec() else { return };
        let scenario = self.lab.scene.with_untracked(|scene| scene.scenario.clone());
        self.ask_logs(CalibrateSpec::Apply { scenario, fit }, move |outcome| {
            if let CalibrateOutcome::Text(text) = outcome {
                calibrate.show_curve(&text, "The curve is now that of the calibrated model.");
            }
        });
    }

    /// Puts the fit of a file into the page's scenario and shows its curve.
    pub fn apply_file(&self) {
        let calibrate = *self;
        let Some(fit) = self.fit_file.get_untracked() else { return };
        let scenario = self.lab.scene.with_untracked(|scene| scene.scenario.clone());
        let spec = CalibrateSpec::ApplyFile { name: fit.name.clone(), scenario };
        self.ask_logs_with(spec, Some(&fit.file), move |outcome| {
            if let CalibrateOutcome::Text(text) = outcome {
                calibrate.show_curve(&text, &format!("The curve is now that of {}.", fit.name));
            }
        });
    }

    fn show_curve(&self, scenario: &str, message: &str) {
        self.lab.page(|page| {
            page.apply("", scenario, message);
            page.show("curves");
        });
    }

    /// Saves the fit as the command line reads it, with the intervals once they are measured.
    pub fn download_fit(&self) {
        let calibrate = *self;
        let Some(fit) = self.fit_spec() else { return };
        let intervals = self.intervals.get_untracked();
        self.ask_logs(CalibrateSpec::FitFile { fit, intervals }, move |outcome| {
            if let CalibrateOutcome::Text(text) = outcome {
                calibrate.save("fit.yaml", "application/yaml", &text);
            }
        });
    }

    /// Saves the study.
    pub fn download_study(&self) {
        let calibrate = *self;
        let Some(fit) = self.fit_spec() else { return };
        let trials = self.earlier.with_value(|(_, trials)| trials.clone());
        let (config, file) = self.config_file();
        let spec = StudySpec { fit, settings: self.used_settings(), config, trials };
        self.ask_logs_with(CalibrateSpec::StudyFile(Box::new(spec)), file.as_ref(), move |outcome| {
            if let CalibrateOutcome::Text(text) = outcome {
                calibrate.save("study.json", "application/json", &text);
            }
        });
    }

    fn save(&self, name: &str, kind: &str, text: &str) {
        if save(name, kind, text).is_none() {
            self.lab.page(|page| page.say("The browser does not save files from this page."));
        }
    }

    /// Opens the example, as if its files had been dropped.
    pub fn open_example(&self) {
        for (name, text) in EXAMPLE {
            if let Some(file) = blob(text, "application/json") {
                self.open((*name).to_owned(), file, false);
            }
        }
    }
}

fn blob(text: &str, kind: &str) -> Option<Blob> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &options).ok()
}

/// Gives the user a file.
fn save(name: &str, kind: &str, text: &str) -> Option<()> {
    let address = Url::create_object_url_with_blob(&blob(text, kind)?).ok()?;
    let document = web_sys::window()?.document()?;
    let link: HtmlAnchorElement = document.create_element("a").ok()?.dyn_into().ok()?;
    link.set_href(&address);
    link.set_download(name);
    link.click();
    Url::revoke_object_url(&address).ok()
}

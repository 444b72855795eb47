//! Coefficient tables of one's own, in the form of the reference's `defaults.yaml`.

use crate::place::{Place, find_key};
use crate::value::from_yaml;
use plimsoll_core::catalog::{Catalog, CoefficientRow, LengthSpec, ModelDefault, Provenance, WorkloadPreset};
use plimsoll_core::diagnostic::Diagnostic;
use serde::Deserialize;
use serde_json::Value;

/// What a file of coefficients holds; each list replaces the catalogue's if it is not empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CoefficientTables {
    /// Rows in file order; the first of an equal key is used.
    pub coefficients: Vec<CoefficientRow>,
    /// Default deployments.
    pub model_defaults: Vec<ModelDefault>,
    /// Workloads by name.
    pub presets: Vec<WorkloadPreset>,
}

impl CoefficientTables {
    /// The catalogue with these tables in place of its own.
    #[must_use]
    pub fn over(self, catalog: &Catalog) -> Catalog {
        let mut catalog = catalog.clone();
        if !self.coefficients.is_empty() {
            catalog.coefficients = self.coefficients;
        }
        if !self.model_defaults.is_empty() {
            catalog.model_defaults = self.model_defaults;
        }
        if !self.presets.is_empty() {
            catalog.presets = self.presets;
        }
        catalog
    }
}

#[derive(Deserialize)]
struct RowEntry {
    id: String,
    #[serde(rename = "GPU")]
    gpu: String,
    tensor_parallelism: u32,
    #[serde(default)]
    vllm_version: String,
    total_kv_blocks: u32,
    alpha_coeffs: Vec<f64>,
    beta_coeffs: Vec<f64>,
}

#[derive(Deserialize)]
struct DefaultEntry {
    #[serde(rename = "GPU")]
    gpu: String,
    tensor_parallelism: u32,
    #[serde(default)]
    vllm_version: String,
}

#[derive(Deserialize)]
struct PresetEntry {
    #[serde(default)]
    prefix_tokens: u32,
    prompt_tokens: f64,
    prompt_tokens_stdev: f64,
    prompt_tokens_min: u32,
    prompt_tokens_max: u32,
    output_tokens: f64,
    output_tokens_stdev: f64,
    output_tokens_min: u32,
    output_tokens_max: u32,
}

/// Reads the sections `models`, `defaults` and `workloads` of a `defaults.yaml`; other keys are left alone.
///
/// # Errors
/// Every entry that cannot be read, and a file with none of the sections.
pub fn coefficients_from_yaml(text: &str, file: &str) -> Result<CoefficientTables, Vec<Diagnostic>> {
    let value = from_yaml(text, file)?;
    let mut reader = Reader { text, file, diagnostics: Vec::new() };
    let tables = CoefficientTables {
        coefficients: reader.rows(value.get("models")),
        model_defaults: reader.defaults(value.get("defaults")),
        presets: reader.presets(value.get("workloads")),
    };
    if reader.diagnostics.is_empty() && tables == CoefficientTables::default() {
        reader.problem(&[], "the file has neither models nor defaults nor workloads".into());
    }
    if reader.diagnostics.is_empty() { Ok(tables) } else { Err(reader.diagnostics) }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn rows(&mut self, section: Option<&Value>) -> Vec<CoefficientRow> {
        let entries = section.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut rows = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some(entry) = self.entry::<RowEntry>(entry, &["models"], &format!("models[{index}]")) else { continue };
            let three = |values: &[f64]| <[f64; 3]>::try_from(values.get(..3)?).ok();
            let (Some(alpha), Some(beta)) = (three(&entry.alpha_coeffs), three(&entry.beta_coeffs)) else {
                self.problem(&["models"], format!("models[{index}] needs three alpha_coeffs and three beta_coeffs"));
                continue;
            };
            rows.push(CoefficientRow {
                line: u32::try_from(index + 1).unwrap_or(u32::MAX),
                model: entry.id.to_lowercase(),
                accelerator: entry.gpu,
                tensor_parallel_size: entry.tensor_parallelism,
                engine_version: entry.vllm_version,
                total_kv_blocks: entry.total_kv_blocks,
                alpha,
                beta,
                provenance: Provenance { source: self.file.to_owned(), ..Provenance::default() },
            });
        }
        rows
    }

    fn defaults(&mut self, section: Option<&Value>) -> Vec<ModelDefault> {
        let mut defaults = Vec::new();
        for (name, entry) in named(section) {
            let place = ["defaults", name.as_str()];
            let Some(entry) = self.entry::<DefaultEntry>(entry, &place, &place.join(".")) else { continue };
            defaults.push(ModelDefault {
                model: name.to_lowercase(),
                accelerator: entry.gpu,
                tensor_parallel_size: entry.tensor_parallelism,
                engine_version: entry.vllm_version,
            });
        }
        defaults
    }

    fn presets(&mut self, section: Option<&Value>) -> Vec<WorkloadPreset> {
        let mut presets = Vec::new();
        for (name, entry) in named(section) {
            let place = ["workloads", name.as_str()];
            let Some(entry) = self.entry::<PresetEntry>(entry, &place, &place.join(".")) else { continue };
            presets.push(WorkloadPreset {
                id: name.clone(),
                prefix_tokens: entry.prefix_tokens,
                input_tokens: LengthSpec {
                    mean: entry.prompt_tokens,
                    std_dev: entry.prompt_tokens_stdev,
                    min: entry.prompt_tokens_min,
                    max: entry.prompt_tokens_max,
                },
                output_tokens: LengthSpec {
                    mean: entry.output_tokens,
                    std_dev: entry.output_tokens_stdev,
                    min: entry.output_tokens_min,
                    max: entry.output_tokens_max,
                },
                provenance: Provenance { source: self.file.to_owned(), ..Provenance::default() },
            });
        }
        presets
    }

    fn entry<T: serde::de::DeserializeOwned>(&mut self, entry: &Value, path: &[&str], shown: &str) -> Option<T> {
        match T::deserialize(entry) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(path, format!("{shown}: {error}"));
                None
            }
        }
    }

    fn problem(&mut self, path: &[&str], message: String) {
        let place = find_key(self.text, path).unwrap_or(Place::START);
        self.diagnostics.push(
            Diagnostic::error("invalid-value", place.in_file(self.file), message)
                .with_hint("entries look like those of the reference's defaults.yaml"),
        );
    }
}

/// The entries of a mapping with text keys.
fn named(section: Option<&Value>) -> Vec<(String, &Value)> {
    let fields = section.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(key, value)| (key.clone(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "models:\n- id: Org/M\n  GPU: H100\n  tensor_parallelism: 2\n  vllm_version: v1\n  total_kv_blocks: 7\n  best_loss: 1.5\n  alpha_coeffs: [1, 2.5, 3]\n  beta_coeffs: [4, 5, 6, 7]\ndefaults:\n  org/m: { GPU: H100, tensor_parallelism: 2, vllm_version: v1, hf_repo: Org/M }\nworkloads:\n  chat: { prompt_tokens: 9, prompt_tokens_stdev: 1, prompt_tokens_min: 2, prompt_tokens_max: 20, output_tokens: 5, output_tokens_stdev: 1, output_tokens_min: 1, output_tokens_max: 6 }\n";

    #[test]
    fn rows_defaults_and_presets_are_read() {
        let tables = coefficients_from_yaml(TEXT, "d.yaml").expect("valid");
        assert_eq!(tables.coefficients[0].model, "org/m");
        assert_eq!(tables.coefficients[0].alpha, [1.0, 2.5, 3.0]);
        assert_eq!(tables.coefficients[0].beta, [4.0, 5.0, 6.0]);
        assert_eq!(tables.model_defaults[0].tensor_parallel_size, 2);
        assert_eq!(tables.presets[0].output_tokens.max, 6);
    }

    #[test]
    fn every_bad_entry_is_named() {
        let text = TEXT.replace("total_kv_blocks: 7", "total_kv_blocks: many").replace("tensor_parallelism: 2, ", "");
        let found = coefficients_from_yaml(&text, "d.yaml").expect_err("malformed");
        assert_eq!(found.len(), 2);
        assert!(found[0].message.starts_with("models[0]: "), "{}", found[0]);
        assert_eq!(found[1].path, "d.yaml:11:3");
        let empty = coefficients_from_yaml("version: 1\n", "d.yaml").expect_err("nothing in it");
        assert!(empty[0].message.contains("neither models"), "{}", empty[0]);
    }
}

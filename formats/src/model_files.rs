//! A model's `config.json` with the files that lie beside it.

use plimsoll_anatomy::BesideConfig;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_json::Value;

/// The file that says how large a checkpoint of several files is.
const INDEX: &str = "model.safetensors.index.json";

/// The file that some quantizers write beside the config.
const QUANTIZATION: &str = "hf_quant_config.json";

/// A model's `config.json`, and what is known beside it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelFiles<'a> {
    /// The text of `config.json`.
    pub config: &'a str,
    /// The text of `hf_quant_config.json`, where there is one.
    pub quantization: Option<&'a str>,
    /// The text of `model.safetensors.index.json`, where there is one, or of its `metadata` alone.
    pub index: Option<&'a str>,
    /// How the weights are stored, as a person says it, e.g. `fp8`.
    pub stored_as: Option<&'a str>,
}

impl<'a> ModelFiles<'a> {
    /// A config alone.
    #[must_use]
    pub fn of_config(config: &'a str) -> Self {
        Self { config, ..Self::default() }
    }

    /// What the readers of anatomies are told beside the config.
    #[must_use]
    pub fn beside(&self) -> BesideConfig<'a> {
        BesideConfig { quantization_file: self.quantization, quantization: self.stored_as }
    }

    /// Bytes of all tensors of the checkpoint, as its index states them; none without one.
    ///
    /// # Errors
    /// An index without a size.
    pub fn checkpoint_bytes(&self) -> Result<Option<u64>, Diagnostic> {
        let Some(text) = self.index else { return Ok(None) };
        let problem = |message| {
            Diagnostic::warning("index-unreadable", INDEX, message).with_hint("give the file as it was downloaded")
        };
        let index = Value::read_python(text).map_err(|_| problem("not valid JSON, so it is not used"))?;
        let size = match index.get("metadata").unwrap_or(&index).get("total_size") {
            Some(Value::Whole(size)) => Some(*size),
            // The sum of the sizes of tensors is a whole number, however it is written.
            Some(Value::Number(size)) => u64::try_from(plimsoll_core::time::truncate(*size)).ok(),
            _ => None,
        };
        match size.filter(|size| *size > 0) {
            Some(size) => Ok(Some(size)),
            None => Err(problem("metadata.total_size is missing, so the file is not used")),
        }
    }
}

/// Files of a model in one text, as the page hands them over: an object with their names as keys, and the key
/// `quantization` for what a person says.
pub(crate) struct OneText<'v> {
    /// What stands under `config.json`, which is read with the text.
    pub config: &'v Value<'v>,
    quantization: Option<String>,
    index: Option<String>,
    stored_as: Option<String>,
}

impl<'v> OneText<'v> {
    /// Takes such a text apart; none if it is something else.
    pub(crate) fn of(read: &'v Value<'v>) -> Option<Self> {
        let text = |key: &str| read.get(key).map(Value::to_string);
        Some(Self {
            config: read.get("config.json")?,
            quantization: text(QUANTIZATION),
            index: text(INDEX),
            stored_as: match read.get("quantization") {
                Some(Value::Text(word)) if !word.trim().is_empty() => Some(word.to_string()),
                _ => None,
            },
        })
    }

    /// The files beside the config.
    pub(crate) fn files(&self) -> ModelFiles<'_> {
        ModelFiles {
            config: "",
            quantization: self.quantization.as_deref(),
            index: self.index.as_deref(),
            stored_as: self.stored_as.as_deref(),
        }
    }
}

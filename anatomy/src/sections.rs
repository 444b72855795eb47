//! The text part of a config, and the family it is of.

use super::config::{Config, FILE, brief};
use super::defaults::Defaults;
use super::families;
use super::family::Family;
use super::not_decoders;
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::Diagnostic;

/// Keys under which a config of several parts has its text part, outer ones first.
const TEXT_PARTS: [&str; 8] = [
    "thinker_config",
    "text_config",
    "llm_config",
    "language_config",
    "language_model_config",
    "text_model_config",
    "llm",
    "decoder",
];

/// Objects inside the text part whose keys count as its own.
const INNER_PARTS: [&str; 3] = ["attn_config", "ffn_config", "ssm_cfg"];

/// Families whose classes never tie the head, whatever the key says.
const NEVER_TIED: [&str; 9] = [
    "bailing_hybrid",
    "inkling_text",
    "inkling2_text",
    "inkling2_loop_text",
    "kimi_linear",
    "kyutai_speech_to_text",
    "moshi",
    "nemotron_h",
    "xlstm",
];

/// The family of the language model where a config of several parts has all in one and a version alone says it.
fn built_on<'n>(name: &'n str, top: &Value<'_>) -> &'n str {
    if !matches!(name, "minicpmv" | "minicpmo") {
        return name;
    }
    let version = match top.get("version") {
        Some(Value::Number(number)) => *number,
        Some(Value::Text(text)) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    };
    match version {
        v if v >= 4.5 => "qwen3",
        v if v >= 4.0 => "llama",
        v if v >= 2.6 => "qwen2",
        v if v >= 2.5 => "llama",
        v if v >= 2.0 => "minicpm",
        _ => name,
    }
}

/// A config, its text part and its family.
pub(super) struct Sections<'v> {
    pub top: &'v Value<'v>,
    text: &'v Value<'v>,
    pub model_type: &'static str,
    pub family: &'static Family,
}

impl<'v> Sections<'v> {
    /// # Errors
    /// When the family is not known.
    pub fn of(top: &'v Value<'v>) -> Result<Self, Vec<Diagnostic>> {
        let mut text = top;
        // Two levels at most: an assistant's thinker, and its text part.
        for _ in 0..2 {
            let inner = TEXT_PARTS.iter().find_map(|name| text.get(name).filter(|part| matches!(part, Value::Map(_))));
            match inner {
                Some(inner) => text = inner,
                None => break,
            }
        }
        let stated = |place: &'v Value<'v>| match place.get("model_type") {
            Some(Value::Text(name)) => Some(&**name),
            _ => None,
        };
        let class = |place: &'v Value<'v>| match place.get("architectures") {
            Some(Value::List(names)) => match names.first() {
                Some(Value::Text(name)) => Some(&**name),
                _ => None,
            },
            _ => None,
        };
        // An encoder-decoder may have the decoder of a family that is known.
        if let Some(problem) = [top, text].into_iter().find_map(|place| not_decoders::refused(stated(place)?)) {
            return Err(vec![problem]);
        }
        let by_name = |name: &str| {
            let name = name.to_ascii_lowercase();
            families::find(built_on(&name, top)).or_else(|| match Defaults::of(&name)?.get("text") {
                Some(Value::Text(text)) => families::find(text),
                _ => None,
            })
        };
        let by_class = |name: &str| families::of_class(name).and_then(by_name);
        let found = stated(text)
            .and_then(by_name)
            .or_else(|| class(text).and_then(by_class))
            .or_else(|| stated(top).and_then(by_name))
            .or_else(|| class(top).and_then(by_class));
        if let Some((model_type, family)) = found {
            return Ok(Self { top, text, model_type, family });
        }
        if let Some(problem) = not_decoders::refused_by_class(top, class(top)) {
            return Err(vec![problem]);
        }
        let name = stated(text).or_else(|| stated(top)).or_else(|| class(top));
        let (code, message) = match name {
            Some(name) => {
                let name = brief(&Value::from(name));
                ("unknown-model-type", format!("model_type is {name}, a family that is not known here"))
            }
            None => ("missing-field", "model_type is missing, and no architecture is named".to_owned()),
        };
        let problem = Diagnostic::error(code, format!("{FILE}:model_type"), message);
        Err(vec![match top.get("base_model_name_or_path") {
            Some(Value::Text(base)) if name.is_none() => {
                problem.with_hint(format!("this describes an adapter; give the config.json of its model, {base}"))
            }
            _ if name.is_none() => {
                problem.with_hint("give the file config.json of the model, not another one beside it")
            }
            _ => problem.with_hint(
                "the families of transformers 5 are known; if the model is built as one of them, write its model_type",
            ),
        }])
    }

    /// The text part, to be asked for its values.
    pub fn config(&self) -> Config<'v> {
        let mut places = vec![self.text];
        places.extend(INNER_PARTS.iter().filter_map(|name| self.text.get(name)));
        let defaults = match Defaults::of(self.model_type) {
            Some(defaults) => defaults,
            None => {
                places.push(self.top);
                Defaults::none()
            }
        };
        Config::new(&places, defaults)
    }

    /// A text at the top of the file.
    pub fn top_text(&self, key: &str) -> Option<&'v str> {
        match self.top.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the head is the embedding's matrix.
    ///
    /// # Source
    /// Release 5 of transformers goes by the top of a config of several parts, and some families also by its text
    /// part; release 4 went by the text part. Where neither says it, the head is tied if both classes assume so.
    pub fn is_head_tied(&self, config: &mut Config<'_>) -> bool {
        let key = "tie_word_embeddings";
        if NEVER_TIED.contains(&self.model_type) {
            return false;
        }
        let is_single = std::ptr::eq(self.text, self.top);
        if is_single {
            return config.flag(key);
        }
        let top = match self.top.get(key) {
            Some(Value::Bool(tied)) => Some(*tied),
            _ => None,
        };
        let text = config.states(key).then(|| config.flag(key));
        let class = self.top_text("model_type").and_then(Defaults::of);
        let of_class = |key: &str| class.as_ref().and_then(|defaults| defaults.get(key)) == Some(&Value::Bool(true));
        match (top, text) {
            (Some(top), text) => top || of_class("tie_from_text") && text == Some(true),
            (None, Some(text)) => text,
            (None, None) => config.flag(key) && (class.is_none() || of_class(key)),
        }
    }
}

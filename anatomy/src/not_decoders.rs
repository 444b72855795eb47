//! Models that a server does not let generate text token by token, so that nobody looks for a misspelling.

use super::config::FILE;
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::Diagnostic;

/// A line for each kind of model: what it is, a colon, and the `model_type` of each family.
///
/// # Source
/// The registry of transformers 5.24.0, `models/auto/modeling_auto.py`: the mappings of encoders, of sequence to sequence
/// and of images, sound and series, without what its mapping of causal language models alone has; and some families of
/// release 4 that release 5 lacks.
const TABLE: &str = include_str!("not_decoders.txt");

/// What the classes of encoders end in.
const CLASSES: [&str; 5] =
    ["ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "ForImageClassification"];

/// What a `model_type` is that generates no text as a decoder does; none for any other.
fn kind_of(model_type: &str) -> Option<&'static str> {
    let name = model_type.to_ascii_lowercase();
    let rows = TABLE.lines().filter_map(|line| line.split_once(": "));
    rows.filter(|(_, names)| names.split(' ').any(|known| known == name)).map(|(what, _)| what).next()
}

/// The refusal of a model that is no decoder by its `model_type`.
pub(super) fn refused(model_type: &str) -> Option<Diagnostic> {
    kind_of(model_type).map(|what| problem("model_type", format!("model_type is {model_type}: {what}")))
}

/// The refusal of a model of a family that is not known, by whatever else says that it is no decoder.
pub(super) fn refused_by_class(top: &Value<'_>, class: Option<&str>) -> Option<Diagnostic> {
    if top.get("is_encoder_decoder") == Some(&Value::Bool(true)) {
        let message = "is_encoder_decoder is true: a decoder that reads what an encoder made".to_owned();
        return Some(problem("is_encoder_decoder", message));
    }
    let class = class.filter(|class| CLASSES.iter().any(|ending| class.ends_with(ending)))?;
    Some(problem("architectures", format!("architectures names {class}: an encoder, which writes no text")))
}

fn problem(key: &str, message: String) -> Diagnostic {
    Diagnostic::error("not-a-decoder", format!("{FILE}:{key}"), message).with_hint(
        "the planner is for decoders that generate text token by token, such as Llama or Qwen; nothing is misspelt, and no \
         other spelling helps",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;

    /// A family that is described must never be refused by the table.
    #[test]
    fn no_name_of_the_table_is_a_family() {
        let names: Vec<&str> = TABLE.lines().flat_map(|line| line.split_once(": ").expect(line).1.split(' ')).collect();
        assert!(names.len() > 250);
        for name in names {
            assert!(families::find(name).is_none(), "{name}");
        }
    }
}

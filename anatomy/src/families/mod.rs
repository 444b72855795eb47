//! The families by their `model_type`.

mod classic;
mod dense;
mod gemma;
mod hybrid;
mod latent;
mod rare;
mod recent;
mod remote;
mod routed;

use super::defaults::Defaults;
use super::family::Family;
pub(super) use latent::NOT_STORED;

/// Names of a family, with spaces between, and how it is built.
type Row = (&'static str, Family);

const TABLES: [&[Row]; 9] = [
    dense::FAMILIES,
    routed::FAMILIES,
    latent::FAMILIES,
    gemma::FAMILIES,
    hybrid::FAMILIES,
    classic::FAMILIES,
    rare::FAMILIES,
    recent::FAMILIES,
    remote::FAMILIES,
];

/// The family of a `model_type`, with its name as the tables have it.
pub(super) fn find(model_type: &str) -> Option<(&'static str, &'static Family)> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find_map(|(names, family)| names.split(' ').find(|name| *name == model_type).map(|name| (name, family)))
}

/// Classes that are not called as their families, without the ending.
const OTHER_CLASSES: [(&str, &str); 5] = [
    ("HunYuanDenseV1", "hunyuan_v1_dense"),
    ("HunYuanMoEV1", "hunyuan_v1_moe"),
    ("MiniMaxM3Sparse", "minimax_m3_vl"),
    ("TeleChat2", "telechat"),
    ("Grok1Model", "grok-1"),
];

/// The family of an architecture class such as `Qwen2ForCausalLM`.
pub(super) fn of_class(class: &str) -> Option<&'static str> {
    let base = ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "Model"]
        .into_iter()
        .find_map(|ending| class.strip_suffix(ending))?;
    if let Some((_, family)) = OTHER_CLASSES.iter().find(|(class, _)| *class == base) {
        return Some(family);
    }
    let is_same = |name: &str| {
        let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        letters(name).eq_ignore_ascii_case(&letters(base))
    };
    let own = TABLES.iter().flat_map(|table| table.iter()).flat_map(|(names, _)| names.split(' '));
    // A class of several parts, as one that sees images, has only a line of defaults.
    own.chain(Defaults::names()).find(|name| is_same(name))
}

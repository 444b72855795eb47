//! Which kind each layer is of.

use super::checks::check_length;
use super::config::{Config, brief};
use plimsoll_json::Value;

/// What mixes the tokens of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    Sliding,
    Chunked,
    /// Full attention on tokens that an indexer chooses.
    Indexed,
    /// Whatever state layer the family has.
    Linear,
    /// A short convolution.
    Convolution,
    /// Attention and a state beside each other, or one after the other.
    Hybrid,
    HybridSliding,
    /// Attention on entries that stand for a few tokens each.
    CompressedSparse,
    /// Attention on entries that stand for many tokens each.
    HeavilyCompressed,
    /// Nothing: the layer is a feed-forward network.
    Mlp,
    /// Nothing: the layer is a network of experts.
    Moe,
}

/// How a family's layers follow each other where its config lists no kinds.
pub(super) type Pattern = fn(&mut Config<'_>, u32, u32) -> Kind;

/// Names of kinds in lists of layers, those of transformers 4 and 5 and of the models' own code.
const NAMES: &[(&str, Kind)] = &[
    ("full_attention", Kind::Full),
    ("attention", Kind::Full),
    ("global", Kind::Full),
    ("global_attention", Kind::Full),
    ("nope_attention", Kind::Full),
    ("*", Kind::Full),
    ("reference_sliding_attention", Kind::Full),
    ("minimax_m3_sparse", Kind::Full),
    ("sliding_attention", Kind::Sliding),
    ("sliding_window", Kind::Sliding),
    ("local", Kind::Sliding),
    ("local_attention", Kind::Sliding),
    ("swa", Kind::Sliding),
    ("chunked_attention", Kind::Chunked),
    ("indexed_attention", Kind::Indexed),
    ("deepseek_sparse_attention", Kind::Indexed),
    ("linear_attention", Kind::Linear),
    ("mamba", Kind::Linear),
    ("mamba2", Kind::Linear),
    ("recurrent", Kind::Linear),
    ("lightning_attention", Kind::Linear),
    ("kda", Kind::Linear),
    ("M", Kind::Linear),
    ("conv", Kind::Convolution),
    ("hybrid", Kind::Hybrid),
    ("hybrid_sliding", Kind::HybridSliding),
    ("compressed_sparse_attention", Kind::CompressedSparse),
    ("heavily_compressed_attention", Kind::HeavilyCompressed),
    ("mlp", Kind::Mlp),
    ("-", Kind::Mlp),
    ("moe", Kind::Moe),
    ("E", Kind::Moe),
];

/// The kinds of all layers: as listed, else as the family's layers follow each other.
pub(super) fn kinds(config: &mut Config<'_>, model_type: &str, pattern: Pattern, layers: u32) -> Vec<Kind> {
    let mut found = Vec::new();
    let mut unknown = None;
    let letters_alone = config.states("hybrid_override_pattern") && !config.states("layer_types");
    let key = if letters_alone { "hybrid_override_pattern" } else { "layer_types" };
    if let Some(list) = config.list("layer_types").filter(|_| !letters_alone) {
        for value in list {
            match value {
                Value::Text(name) => match named(name) {
                    Some(kind) => found.push(kind),
                    None => unknown = unknown.or_else(|| Some(brief(value))),
                },
                other => unknown = unknown.or_else(|| Some(brief(other))),
            }
        }
    } else if let Some(letters) = config.text("hybrid_override_pattern") {
        for letter in letters.chars().filter(|letter| !letter.is_whitespace() && *letter != '|') {
            let mut text = [0; 4];
            match named(letter.encode_utf8(&mut text)) {
                Some(kind) => found.push(kind),
                None => unknown = unknown.or_else(|| Some(letter.to_string())),
            }
        }
    }
    if let Some(name) = unknown {
        let key = config.name_of(key);
        let message = format!("{key} has a layer of the kind {name}, which is not known here");
        config.error("unknown-layer", key, message, "known are full, sliding and chunked attention, and linear layers");
        return Vec::new();
    }
    if found.is_empty() {
        let kind = |layer| {
            // Lists that a family reads have a value for each layer.
            config.go_to(layer);
            pattern(config, layer, layers)
        };
        let kinds = (0..layers).map(kind).collect();
        config.go_to(0);
        return kinds;
    }
    let length = layers as usize;
    // A pattern of some layers is repeated by the families that state one period of it.
    if found.len() < length && config.states("block_types") {
        found = found.iter().copied().cycle().take(length).collect();
    }
    check_length(config, model_type, key, found.len(), layers);
    found.truncate(length);
    found
}

/// How many layers a list of kinds has, for configs that state no other number.
pub(super) fn listed_layers(config: &Config<'_>) -> Option<u32> {
    let listed = config.list("layer_types").map(<[_]>::len);
    let letters =
        || config.text("hybrid_override_pattern").map(|text| text.chars().filter(|sign| *sign != '|').count());
    u32::try_from(listed.or_else(letters)?).ok()
}

fn named(name: &str) -> Option<Kind> {
    NAMES.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
}

pub(super) fn full(_: &mut Config<'_>, _: u32, _: u32) -> Kind {
    Kind::Full
}

/// Every layer slides where the config has a window.
pub(super) fn window(config: &mut Config<'_>, _: u32, _: u32) -> Kind {
    if config.count_or_0("sliding_window") > 0 { Kind::Sliding } else { Kind::Full }
}

/// Layers from `max_window_layers` on slide, where that is turned on.
pub(super) fn upper_window(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    let slides = config.flag("use_sliding_window") && config.count_or_0("sliding_window") > 0;
    if slides && layer >= config.count_or_0("max_window_layers") { Kind::Sliding } else { Kind::Full }
}

/// The last layer of every period is full, the others slide.
pub(super) fn last_of(layer: u32, period: u32) -> Kind {
    if layer.wrapping_add(1).checked_rem(period).is_none_or(|rest| rest == 0) { Kind::Full } else { Kind::Sliding }
}

/// The first layer of every period is full, the others slide.
fn first_of(layer: u32, period: u32) -> Kind {
    if layer.checked_rem(period).is_none_or(|rest| rest == 0) { Kind::Full } else { Kind::Sliding }
}

pub(super) fn every_second(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    last_of(layer, 2)
}

pub(super) fn every_fourth(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    last_of(layer, 4)
}

pub(super) fn every_fifth(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    last_of(layer, 5)
}

pub(super) fn first_of_four(_: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    first_of(layer, 4)
}

/// Every sixth layer is full, and the last one.
pub(super) fn every_sixth_and_last(_: &mut Config<'_>, layer: u32, layers: u32) -> Kind {
    if layer.wrapping_add(1) == layers { Kind::Full } else { last_of(layer, 6) }
}

/// `sliding_window_pattern` is the period, or a letter for each of its layers, `G` for full ones.
pub(super) fn stated_period(config: &mut Config<'_>, layer: u32, _: u32) -> Kind {
    if let Some(letters) = config.text("sliding_window_pattern").map(str::as_bytes) {
        let letter = (layer as usize).checked_rem(letters.len()).and_then(|at| letters.get(at));
        return if letter == Some(&b'G') { Kind::Full } else { Kind::Sliding };
    }
    let period = ["sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers"]
        .into_iter()
        .find_map(|key| config.count(key));
    last_of(layer, period.unwrap_or(4))
}

//! Finding entries by name, and the nearest name where there is none.

use super::{Catalog, CoefficientRow, ModelDefault, ModelSpec, WorkloadPreset, weight_bytes_from_name};
use crate::numeric::sort_few;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The fewest letters of a part of a name that stand for it.
const SHORTEST_PART: usize = 3;

/// The most names that are suggested.
const MAX_SUGGESTED: usize = 5;

/// What is looked for in the coefficient table; `None` matches any value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lookup<'a> {
    /// Model id, any case.
    pub model: &'a str,
    /// Accelerator id, any case.
    pub accelerator: Option<&'a str>,
    /// Accelerators per replica.
    pub tensor_parallel_size: Option<u32>,
    /// Server version.
    pub engine_version: Option<&'a str>,
}

impl Catalog {
    /// The architecture with this id or alias, or the only one of which `id` is the last path component.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&ModelSpec> {
        let id = id.trim();
        let has = |model: &&ModelSpec, part: fn(&str) -> &str| {
            let mut names = core::iter::once(&model.id).chain(&model.aliases);
            names.any(|name| part(name).eq_ignore_ascii_case(id))
        };
        if let Some(model) = self.models.iter().find(|model| has(model, |name| name)) {
            return Some(model);
        }
        let mut same_name = self.models.iter().filter(|model| has(model, last_component));
        same_name.next().filter(|_| same_name.next().is_none())
    }

    /// The architecture that somebody who typed this means: [`Self::model`], or the only one whose name has it as a part.
    ///
    /// A part is looked for without case, has three letters at least, and says itself how the weights are stored if the
    /// name does: `qwen3-32b-` is no `Qwen3-32B-FP8`.
    #[must_use]
    pub fn model_meant(&self, typed: &str) -> Option<&ModelSpec> {
        let typed = typed.trim();
        self.model(typed).or_else(|| {
            let part = typed.to_ascii_lowercase();
            let width = weight_bytes_from_name(&part);
            let mut having = self.models.iter().filter(|model| {
                let mut names = core::iter::once(&model.id).chain(&model.aliases);
                weight_bytes_from_name(&model.id) == width
                    && names.any(|name| name.to_ascii_lowercase().contains(&part))
            });
            let only = having.next().filter(|_| part.chars().count() >= SHORTEST_PART)?;
            having.next().is_none().then_some(only)
        })
    }

    /// What somebody meant who typed a name that is no model's, as a question; none if nothing is near.
    #[must_use]
    pub fn model_question(&self, typed: &str) -> Option<String> {
        did_you_mean(typed, self.models.iter().map(|model| model.id.as_str()))
    }

    /// The workload preset with this id.
    #[must_use]
    pub fn preset(&self, id: &str) -> Option<&WorkloadPreset> {
        self.presets.iter().find(|preset| preset.id.eq_ignore_ascii_case(id.trim()))
    }

    /// The default deployment of a model.
    #[must_use]
    pub fn model_default(&self, model: &str) -> Option<&ModelDefault> {
        self.model_defaults.iter().find(|default| default.model.eq_ignore_ascii_case(model.trim()))
    }

    /// The first coefficient row that matches, in the order of the source.
    ///
    /// # Source
    /// Latency specification 5.2: the first match wins.
    #[must_use]
    pub fn coefficient_row(&self, lookup: Lookup<'_>) -> Option<&CoefficientRow> {
        self.coefficient_rows(lookup).next()
    }

    /// All reachable coefficient rows that match, in the order of the source.
    pub fn coefficient_rows<'a, 'l>(
        &'a self,
        lookup: Lookup<'l>,
    ) -> impl Iterator<Item = &'a CoefficientRow> + use<'a, 'l> {
        self.coefficients.iter().enumerate().filter_map(move |(index, row)| {
            let matches = row.model.eq_ignore_ascii_case(lookup.model.trim())
                && lookup.accelerator.is_none_or(|id| row.accelerator.eq_ignore_ascii_case(id.trim()))
                && lookup.tensor_parallel_size.is_none_or(|size| row.tensor_parallel_size == size)
                && lookup.engine_version.is_none_or(|version| row.engine_version.eq_ignore_ascii_case(version.trim()));
            (matches && !self.is_shadowed(index)).then_some(row)
        })
    }

    /// Rows that can be used: the first of each key.
    #[must_use]
    pub fn reachable_rows(&self) -> Vec<&CoefficientRow> {
        self.rows_where(|index| !self.is_shadowed(index))
    }

    /// Rows that an earlier row with the same key hides.
    #[must_use]
    pub fn shadowed_rows(&self) -> Vec<&CoefficientRow> {
        self.rows_where(|index| self.is_shadowed(index))
    }

    fn rows_where(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<&CoefficientRow> {
        self.coefficients.iter().enumerate().filter(|(index, _)| is_wanted(*index)).map(|(_, row)| row).collect()
    }

    fn is_shadowed(&self, index: usize) -> bool {
        let (earlier, rest) = self.coefficients.split_at(index.min(self.coefficients.len()));
        rest.first().is_some_and(|row| earlier.iter().any(|other| other.has_key_of(row)))
    }
}

/// The part of an id behind the last slash.
fn last_component(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Up to five of the names closest to `wanted`, closest first; none that share little with it.
///
/// Names are compared without case, and also by their last path component, so that a forgotten organization does
/// not hide the model. A name that contains `wanted` counts as close, and so does one that begins like it.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.trim().to_ascii_lowercase();
    let limit = (wanted.chars().count() / 3).clamp(1, 8);
    let mut close: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_ascii_lowercase();
            let mut distance =
                edit_distance(&wanted, &lower).min(edit_distance(last_component(&wanted), last_component(&lower)) + 1);
            if wanted.len() >= SHORTEST_PART && lower.contains(&wanted) {
                distance = distance.min(limit);
            }
            if wanted.len() >= LONG_ENOUGH {
                let [wanted, name] = [&wanted, &lower].map(|name| last_component(name));
                // What follows the part that is alike costs as much as a letter.
                distance =
                    distance.min(distances(wanted, name).into_iter().min().unwrap_or(usize::MAX).saturating_add(1));
            }
            (distance <= limit).then_some((distance, name))
        })
        .collect();
    sort_few(&mut close, Ord::cmp);
    close.truncate(MAX_SUGGESTED);
    close.into_iter().map(|(_, name)| name.to_string()).collect()
}

/// A question with up to five of the names nearest to `wanted`: `did you mean A, B or C?`; none if nothing is near.
pub fn did_you_mean<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = nearest(wanted, names);
    let (last, others) = near.split_last()?;
    Some(match others {
        [] => format!("did you mean {last}?"),
        _ => format!("did you mean {} or {last}?", others.join(", ")),
    })
}

/// A hint for a name that is not one of `valid`: what was probably meant, and all there are.
///
/// Names that stand in the list twice, or are empty as defaults for machines are, are named once or not at all.
pub fn meant<'a>(wanted: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in valid {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    let list = names.join(", ");
    match nearest(wanted, names).first() {
        Some(close) => format!("did you mean {close}? valid are {list}"),
        None => format!("valid are {list}"),
    }
}

/// Letters from which on a name is compared with beginnings of names.
const LONG_ENOUGH: usize = 6;

/// Levenshtein distance in characters.
pub fn edit_distance(left: &str, right: &str) -> usize {
    distances(left, right).last().copied().unwrap_or(0)
}

/// Levenshtein distance in characters to each beginning of `right`, the empty one first; one row of the table at a time.
fn distances(left: &str, right: &str) -> Vec<usize> {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_strangers_never() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        let names = ["H100", "H200-SXM", "L40S", "A100-80"];
        assert_eq!(nearest("h10", names), ["H100"]);
        assert_eq!(nearest("l40", names), ["L40S"]);
        assert!(nearest("gaudi-2-accelerator", names).is_empty());
        assert_eq!(meant("h10", ["H100", "", "L40S", "H100"]), "did you mean H100? valid are H100, L40S");
        assert_eq!(nearest("llama-8b", ["meta/llama-8b", "meta/llama-70b"])[0], "meta/llama-8b");
        assert_eq!(
            nearest("llama-3-8b", ["meta/Llama-3.1-8B-Instruct", "qwen/Qwen3-8B"]),
            ["meta/Llama-3.1-8B-Instruct"]
        );
        let many = ["one-a", "one-b", "one-c", "one-d", "one-e", "one-f"];
        assert_eq!(did_you_mean("one-", many).as_deref(), Some("did you mean one-a, one-b, one-c, one-d or one-e?"));
        assert_eq!(did_you_mean("h10", names).as_deref(), Some("did you mean H100?"));
        assert_eq!(did_you_mean("gaudi-2-accelerator", names), None);
    }
}

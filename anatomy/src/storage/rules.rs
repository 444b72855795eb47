//! Which modules a quantizer converts, by their names.

use super::regex::Regex;
use super::scheme::Scheme;
use plimsoll_scenario::anatomy::Tensor;
use std::collections::BTreeMap;

/// The most names with wildcards that are looked through for every module.
const MAX_PATTERNS: usize = 512;

/// What becomes of the modules of a model; the first rule for a module decides.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// What becomes of modules that no rule names; none: they stay as they are.
    pub usual: Option<Scheme>,
    /// Whole names, and the parts of names that stand for all modules inside them.
    named: BTreeMap<String, Option<Scheme>>,
    /// Names with wildcards.
    patterns: Vec<(Pattern, Option<Scheme>)>,
    /// Whether a name says the number of an expert.
    names_experts: bool,
}

#[derive(Debug)]
enum Pattern {
    /// `*` stands for anything.
    Glob(String),
    /// An expression that matches from the beginning on.
    Regex(Regex),
    /// An expression that matches somewhere.
    Found(Regex),
}

impl Rules {
    /// Everything is stored one way.
    pub fn all(scheme: Scheme) -> Self {
        Self { usual: Some(scheme), ..Self::default() }
    }

    /// A rule for a name as quantizers write it: whole, a part, with `*`, or `re:` and an expression.
    ///
    /// # Errors
    /// The name, where it is not understood.
    pub fn add(&mut self, name: &str, scheme: Option<Scheme>) -> Result<(), String> {
        if let Some(expression) = name.strip_prefix("re:") {
            return self.add_pattern(Regex::new(expression).map(Pattern::Regex), name, scheme);
        }
        // Towers for images and sound are not part of what is described.
        let is_other =
            |part: &str| ["visi", "visual", "audio", "mm_", "multi_modal"].iter().any(|word| part.contains(word));
        if name.split('.').next().is_some_and(is_other) || name.split('.').nth(1).is_some_and(is_other) {
            return Ok(());
        }
        if name.contains(['*', '?']) {
            return self.add_pattern(Some(Pattern::Glob(inside(name).to_owned())), name, scheme);
        }
        let name = inside(name);
        self.names_experts |=
            name.split_once("experts.").is_some_and(|(_, rest)| rest.starts_with(|sign: char| sign.is_ascii_digit()));
        self.named.insert(name.trim_end_matches('.').to_owned(), scheme);
        Ok(())
    }

    /// A rule for an expression that may match anywhere in a name.
    ///
    /// # Errors
    /// The expression, where it is not understood.
    pub fn add_found(&mut self, expression: &str, scheme: Option<Scheme>) -> Result<(), String> {
        self.add_pattern(Regex::new(expression).map(Pattern::Found), expression, scheme)
    }

    fn add_pattern(&mut self, pattern: Option<Pattern>, name: &str, scheme: Option<Scheme>) -> Result<(), String> {
        match pattern {
            Some(pattern) if self.patterns.len() < MAX_PATTERNS => {
                self.patterns.push((pattern, scheme));
                Ok(())
            }
            _ => Err(name.to_owned()),
        }
    }

    /// What becomes of a module inside a layer, or outside the layers, and of how many of its copies something else.
    ///
    /// `layer` is empty or `layers.3.`.
    pub fn of(&self, layer: &str, tensor: &Tensor) -> (Option<Scheme>, u64) {
        let names = names(layer, tensor.name);
        let found = names.iter().find_map(|name| self.named_as(name)).or_else(|| {
            let is_match = |pattern: &Pattern| names.iter().any(|name| pattern.matches(name));
            self.patterns.iter().find(|(pattern, _)| is_match(pattern)).map(|(_, scheme)| *scheme)
        });
        let scheme = found.unwrap_or(self.usual);
        let mut left_out = 0;
        if self.names_experts && found.is_none() && tensor.copies > 1 && tensor.copies <= 4096 {
            for number in 0..tensor.copies {
                let is_left_out = names.iter().any(|name| {
                    let own = name.replacen("experts.0.", &format!("experts.{number}."), 1);
                    self.named_as(&own) == Some(None)
                });
                left_out += u64::from(is_left_out);
            }
        }
        (scheme, left_out)
    }

    /// The rule for a name or for a part of it, between dots.
    fn named_as(&self, name: &str) -> Option<Option<Scheme>> {
        if self.named.is_empty() {
            return None;
        }
        let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
        starts.filter_map(|start| name.get(start..)).find_map(|rest| {
            let ends = rest.match_indices('.').map(|(dot, _)| dot).chain([rest.len()]);
            ends.filter_map(|end| rest.get(..end)).find_map(|part| self.named.get(part)).copied()
        })
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Glob(pattern) => glob(pattern.as_bytes(), name.as_bytes()),
            Pattern::Regex(regex) => ["model.", "model.language_model.", "language_model.model.", ""]
                .iter()
                .any(|before| regex.matches_start(&format!("{before}{name}"))),
            Pattern::Found(regex) => regex.is_found(&format!("model.{name}")),
        }
    }
}

/// A name without what stands before the layers.
fn inside(name: &str) -> &str {
    match name.find("layers.") {
        Some(start) if name.get(..start).is_some_and(|before| before.is_empty() || before.ends_with('.')) => {
            name.get(start..).unwrap_or(name)
        }
        _ => name.strip_prefix("model.").or_else(|| name.strip_prefix("language_model.")).unwrap_or(name),
    }
}

/// The names that a module has in one checkpoint or another.
fn names(layer: &str, name: &'static str) -> Vec<String> {
    let name = name.replacen("experts.", "experts.0.", usize::from(!name.contains("shared_experts.")));
    let first = format!("{layer}{}", name.strip_prefix("model.").unwrap_or(&name));
    let mut names = vec![first];
    for (usual, others) in [
        ("shared_experts.", &["shared_expert."][..]),
        ("mlp.", &["block_sparse_moe.", "feed_forward.", "mixer."][..]),
        ("self_attn.", &["mixer.", "attention.", "attn."][..]),
        ("mamba.", &["mixer."][..]),
    ] {
        let more: Vec<String> = names
            .iter()
            .filter(|name| name.contains(usual))
            .flat_map(|name| others.iter().map(|other| name.replacen(usual, other, 1)))
            .collect();
        names.extend(more);
    }
    names
}

/// Whether a name begins as a pattern says, in which `*` stands for anything, and ends there or at a dot.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut sign) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match pattern.get(at) {
            None if name.get(sign).is_none_or(|next| *next == b'.') => return true,
            Some(b'*') => {
                star = Some((at, sign));
                at += 1;
                continue;
            }
            Some(wanted) if name.get(sign).is_some_and(|found| found == wanted || *wanted == b'?') => {
                at += 1;
                sign += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((place, from)) if from < name.len() => {
                star = Some((place, from + 1));
                at = place + 1;
                sign = from + 1;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_parts_between_dots() {
        let mut rules = Rules { usual: Some(Scheme::block_fp8(1, 1)), ..Rules::default() };
        for name in ["model.layers.1", "mlp.gate", "lm_head", "model.language_model.layers.4.self_attn", "visual.mlp"] {
            rules.add(name, None).expect(name);
        }
        for (layer, name, is_converted) in [
            ("layers.1.", "self_attn.q_proj", false),
            ("layers.10.", "self_attn.q_proj", true),
            ("layers.10.", "mlp.gate", false),
            ("layers.10.", "mlp.gate_proj", true),
            ("layers.4.", "self_attn.o_proj", false),
            ("layers.4.", "mlp.up_proj", true),
            ("", "lm_head", false),
        ] {
            let tensor = crate::tensor(name, plimsoll_scenario::anatomy::Part::Attention, 1, [1, 1], true);
            assert_eq!(rules.of(layer, &tensor).0.is_some(), is_converted, "{layer}{name}");
        }
    }

    #[test]
    fn stars_and_expressions_stand_for_many_names() {
        for (pattern, name, is_match) in [
            ("layers.*.self_attn", "layers.3.self_attn.q_proj", true),
            ("layers.*.self_attn", "layers.3.self_attnx.q_proj", false),
            ("*mlp.gate", "layers.3.mlp.gate", true),
            ("*mlp.gate", "layers.3.mlp.gate_proj", false),
            ("*", "anything", true),
            ("layers.?.mlp*", "layers.3.mlp.up_proj", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), is_match, "{pattern} {name}");
        }
        let mut rules = Rules::default();
        assert_eq!(rules.add("re:(", None), Err("re:(".to_owned()));
        assert!(rules.add_found("layers\\.[0-9]\\.", None).is_ok());
    }

    #[test]
    fn single_experts_are_left_out() {
        let mut rules = Rules { usual: Some(Scheme::block_fp8(1, 1)), ..Rules::default() };
        rules.add("model.layers.0.mlp.experts.7", None).expect("a name");
        rules.add("model.layers.0.mlp.experts.9.up_proj", None).expect("a name");
        let part = plimsoll_scenario::anatomy::Part::RoutedExperts;
        let of = |name| rules.of("layers.0.", &crate::tensor(name, part, 16, [1, 1], true)).1;
        assert_eq!((of("mlp.experts.up_proj"), of("mlp.experts.down_proj")), (2, 1));
    }
}

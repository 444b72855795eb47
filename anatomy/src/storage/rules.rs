//! Which modules a quantizer converts, by their names.

use super::regex::Regex;
use super::scheme::Scheme;
use crate::config::brief;
use plimsoll_json::Value;
use plimsoll_scenario::anatomy::Tensor;
use std::cell::Cell;
use std::collections::BTreeMap;

/// The most names with wildcards that are looked through for every module.
const MAX_PATTERNS: usize = 512;

/// The most steps that all comparisons of names with wildcards take; a checkpoint of today takes a hundredth of them.
const MAX_STEPS: u32 = 1 << 24;

/// The most experts of a layer whose numbers are looked at.
const MAX_EXPERTS: usize = 65_536;

/// What becomes of the modules of a model; the first rule for a module decides.
#[derive(Debug)]
pub(super) struct Rules {
    /// What becomes of modules that no rule names; none: they stay as they are.
    pub usual: Option<Scheme>,
    /// Whole names, and the parts of names that stand for all modules inside them.
    named: BTreeMap<String, Option<Scheme>>,
    /// Names with the number of an expert, which is 0 in the key; of a number that stands twice the last one counts.
    experts: BTreeMap<String, Vec<(usize, Option<Scheme>)>>,
    /// Names with wildcards.
    patterns: Vec<(Pattern, Option<Scheme>)>,
    /// How many steps comparisons may still take.
    steps_left: Cell<u32>,
}

impl Default for Rules {
    fn default() -> Self {
        let steps_left = Cell::new(MAX_STEPS);
        Self { usual: None, named: BTreeMap::new(), experts: BTreeMap::new(), patterns: Vec::new(), steps_left }
    }
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

    /// Whether comparisons took so long that they were given up.
    pub fn is_exhausted(&self) -> bool {
        self.steps_left.get() == 0
    }

    /// A rule for a name as quantizers write it: whole, a part, with `*`, or `re:` and an expression.
    ///
    /// # Errors
    /// What is wrong with the name.
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
        let name = inside(name).trim_end_matches('.');
        match expert_of(name) {
            Some((key, number)) => self.experts.entry(key).or_default().push((number, scheme)),
            None => {
                self.named.insert(name.to_owned(), scheme);
            }
        }
        Ok(())
    }

    /// A rule for an expression that may match anywhere in a name.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn add_found(&mut self, expression: &str, scheme: Option<Scheme>) -> Result<(), String> {
        self.add_pattern(Regex::new(expression).map(Pattern::Found), expression, scheme)
    }

    fn add_pattern(&mut self, pattern: Option<Pattern>, name: &str, scheme: Option<Scheme>) -> Result<(), String> {
        match pattern {
            Some(pattern) if self.patterns.len() < MAX_PATTERNS => {
                self.patterns.push((pattern, scheme));
                Ok(())
            }
            Some(_) => Err(format!("more than {MAX_PATTERNS} names of modules have wildcards")),
            None => {
                let name = brief(&Value::from(name));
                Err(format!("the name {name} of modules is not understood"))
            }
        }
    }

    /// What becomes of a module inside a layer, or outside the layers, and of how many of its copies something else.
    ///
    /// `layer` is empty or `layers.3.`.
    pub fn of(&self, layer: &str, tensor: &Tensor) -> (Option<Scheme>, u64) {
        let names = names(layer, tensor.name);
        let all = || names.iter().flat_map(|name| parts(name));
        let named = if self.named.is_empty() { None } else { all().find_map(|part| self.named.get(part)).copied() };
        let numbered = || all().filter_map(|part| self.experts.get(part));
        // The first expert that is said to be converted stands for those that nothing is said of.
        let of_expert = || numbered().flatten().find(|(_, scheme)| scheme.is_some()).map(|(_, scheme)| *scheme);
        let scheme = named.or_else(of_expert).or_else(|| self.matching(&names)).unwrap_or(self.usual);
        let copies = usize::try_from(tensor.copies).unwrap_or(usize::MAX);
        if self.experts.is_empty() || named.is_some() || scheme.is_none() || copies > MAX_EXPERTS {
            return (scheme, 0);
        }
        let mut is_left_out: Vec<Option<bool>> = vec![None; copies];
        for numbers in numbered() {
            for (number, scheme) in numbers.iter().rev() {
                if let Some(known) = is_left_out.get_mut(*number) {
                    known.get_or_insert(scheme.is_none());
                }
            }
        }
        (scheme, is_left_out.iter().map(|is_left_out| u64::from(*is_left_out == Some(true))).sum())
    }

    /// The first rule with wildcards for one of these names.
    fn matching(&self, names: &[String]) -> Option<Option<Scheme>> {
        if self.patterns.is_empty() {
            return None;
        }
        // Checkpoints have something before the layers or not.
        let whole: Vec<String> = ["model.", "model.language_model.", "language_model.model.", ""]
            .iter()
            .flat_map(|before| names.iter().map(move |name| format!("{before}{name}")))
            .collect();
        let mut patterns = self.patterns.iter().take_while(|_| !self.is_exhausted());
        patterns.find(|(pattern, _)| pattern.matches_one(names, &whole, &self.steps_left)).map(|(_, scheme)| *scheme)
    }
}

/// A name and all that stands in it between dots, what begins further left first, shorter ones first.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    starts.filter_map(|start| name.get(start..)).flat_map(|rest| {
        let ends = rest.match_indices('.').map(|(dot, _)| dot).chain([rest.len()]);
        ends.filter_map(|end| rest.get(..end))
    })
}

/// A name with 0 for the number of an expert, and that number; none for a name without one.
fn expert_of(name: &str) -> Option<(String, usize)> {
    let (start, word) = name.match_indices("experts.").next()?;
    let (before, rest) = name.split_at_checked(start + word.len())?;
    let end = rest.find('.').unwrap_or(rest.len());
    let (number, after) = rest.split_at_checked(end)?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| (format!("{before}0{after}"), number.parse().unwrap_or(usize::MAX)))
}

impl Pattern {
    /// Whether one of the names matches, from the layers on or `whole`.
    fn matches_one(&self, names: &[String], whole: &[String], left: &Cell<u32>) -> bool {
        match self {
            Pattern::Glob(pattern) => names.iter().any(|name| glob(pattern.as_bytes(), name.as_bytes(), left)),
            Pattern::Regex(regex) => whole.iter().any(|name| regex.matches_start(name, left)),
            // Those that begin with `model.` come first.
            Pattern::Found(regex) => whole.iter().take(names.len()).any(|name| regex.is_found(name, left)),
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

/// Whether a name begins as a pattern says, in which `*` stands for anything, and ends there or at a dot; takes the
/// steps from those left.
fn glob(pattern: &[u8], name: &[u8], left: &Cell<u32>) -> bool {
    let (mut at, mut sign) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let Some(steps) = left.get().checked_sub(1) else { return false };
        left.set(steps);
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
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes(), &Cell::new(u32::MAX)), is_match, "{pattern} {name}");
        }
        let mut rules = Rules::default();
        assert!(rules.add("re:(", None).is_err_and(|problem| problem.contains("re:(")));
        assert!(rules.add_found("layers\\.[0-9]\\.", None).is_ok());
    }

    #[test]
    fn single_experts_are_left_out() {
        let mut rules = Rules { usual: Some(Scheme::block_fp8(1, 1)), ..Rules::default() };
        rules.add("model.layers.0.mlp.experts.7", None).expect("a name");
        rules.add("model.layers.0.mlp.experts.9.up_proj", None).expect("a name");
        rules.add("model.layers.0.mlp.experts.0.up_proj", None).expect("a name");
        let part = plimsoll_scenario::anatomy::Part::RoutedExperts;
        let of = |name| rules.of("layers.0.", &crate::tensor(name, part, 16, [1, 1], true)).1;
        assert_eq!((of("mlp.experts.up_proj"), of("mlp.experts.down_proj")), (3, 1));
    }
}

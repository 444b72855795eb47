//! Finding an accelerator by what people and tools call it.

use super::{AcceleratorSpec, Catalog, edit_distance};
use crate::numeric::sort_few;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Makers and families, which stand before a name and say nothing more, and what AMD's tools put behind it.
const SILENT_WORDS: [&str; 6] = ["nvidia", "amd", "instinct", "geforce", "tesla", "oam"];

impl Catalog {
    /// The data sheet with this id, or with this name among those that people type and tools print.
    ///
    /// Names are compared without case, blanks, punctuation and maker: `NVIDIA H100 80GB HBM3` is `H100`. Numbers that
    /// stand apart stay apart: `A10 0` is no `A100`.
    /// A size in a name may be left out and must be that of the card: `h200 sxm 141gb` is `H200-SXM`.
    /// Every other word must be one of the card's name: a `Quadro RTX 6000` is no `RTX-6000-Ada`.
    #[must_use]
    pub fn accelerator(&self, id: &str) -> Option<&AcceleratorSpec> {
        let id = id.trim();
        if let Some(exact) = self.accelerators.iter().find(|accelerator| accelerator.id.eq_ignore_ascii_case(id)) {
            return Some(exact);
        }
        let wanted = bare_name(id);
        let mut all = self.accelerators.iter();
        if let Some(same) = all.find(|accelerator| names(accelerator).any(|name| bare_name(name) == wanted)) {
            return Some(same);
        }
        let (wanted, gigabytes) = without_size(id)?;
        // Cards are sold by round figures.
        let has_size = |memory: f64| (memory - gigabytes).abs() <= 0.1 * gigabytes;
        let is_named =
            |name: &String| bare_name(name) == wanted || without_size(name).is_some_and(|(name, _)| name == wanted);
        let mut all = self.accelerators.iter();
        all.find(|accelerator| has_size(accelerator.memory_gib) && names(accelerator).any(is_named))
    }

    /// A hint for a name that is no accelerator's: the nearest one, and all there are.
    #[must_use]
    pub fn meant_accelerator(&self, wanted: &str) -> String {
        let ids: Vec<&str> = self.accelerators.iter().map(|accelerator| accelerator.id.as_str()).collect();
        let list = format!("valid are {}", ids.join(", "));
        match self.nearest_accelerator(wanted) {
            Some(nearest) => format!("did you mean {}? {list}", nearest.id),
            None => list,
        }
    }

    /// The accelerator whose name is nearest; none if no name is near.
    fn nearest_accelerator(&self, wanted: &str) -> Option<&AcceleratorSpec> {
        // The family is no part of the names here, and tells older cards apart, which is why it must not match.
        let wanted = &wanted.to_ascii_lowercase().replace("quadro", "");
        let whole = bare_name(wanted);
        let named = without_size(wanted).map_or_else(|| whole.clone(), |(name, _)| name);
        let limit = (named.len() / 3).clamp(1, 4);
        let mut close: Vec<(usize, usize, &AcceleratorSpec)> = Vec::new();
        for accelerator in &self.accelerators {
            for name in names(accelerator).map(|name| bare_name(name)).filter(|name| name.len() >= 2) {
                // A card of the same name with other words behind is nearer than one with a letter changed.
                let holds = named.starts_with(&name) || name.len() >= 4 && named.ends_with(&name);
                let is_part = named.len() >= 2 && name.starts_with(&named);
                let distance =
                    if holds || is_part { 1 } else { edit_distance(&named, &name).min(edit_distance(&whole, &name)) };
                let shared = named.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
                if distance <= limit {
                    close.push((distance, usize::MAX - shared, accelerator));
                }
            }
        }
        sort_few(&mut close, |left, right| (left.0, left.1).cmp(&(right.0, right.1)));
        close.first().map(|(_, _, accelerator)| *accelerator)
    }
}

/// The id and every other name of a card.
fn names(accelerator: &AcceleratorSpec) -> impl Iterator<Item = &String> {
    core::iter::once(&accelerator.id).chain(&accelerator.aliases)
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// A name without maker, case, blanks and punctuation but for one between two numbers.
fn bare_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let mut bare = String::with_capacity(name.len());
    for word in words(&name).filter(|word| !SILENT_WORDS.contains(word)) {
        let is_number = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
        if is_number(bare.chars().next_back()) && is_number(word.chars().next()) {
            bare.push('-');
        }
        bare.push_str(word);
    }
    bare
}

/// A name without the size of the memory that stands in it, and that size, gigabytes; none for a name without.
fn without_size(name: &str) -> Option<(String, f64)> {
    let name = name.to_ascii_lowercase().replace(" gb", "gb");
    let size = |word: &str| word.strip_suffix("gb").or_else(|| word.strip_suffix('g'))?.parse::<u16>().ok();
    let gigabytes = words(&name).find_map(size)?;
    // The kind of memory says nothing more.
    let kept: Vec<&str> = words(&name).filter(|word| size(word).is_none() && !word.starts_with("hbm")).collect();
    Some((bare_name(&kept.join("-")), f64::from(gigabytes)))
}

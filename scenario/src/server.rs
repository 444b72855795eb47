//! What a vLLM release does by default, and what it can be told.
//!
//! The figures are those of the command line of vLLM 0.8.5 to 0.33, read and run release by release.

use crate::catalog::AcceleratorSpec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Accelerators whose driver reports at least this much memory have the largest default token budget, GiB.
const LARGEST_MEMORY_GIB: f64 = 160.0;
/// Accelerators whose driver reports at least this much memory have large default limits, GiB.
const LARGE_MEMORY_GIB: f64 = 70.0;
/// Part of the name of accelerators that have small default limits whatever their memory.
const NAME_WITH_SMALL_LIMITS: &str = "a100";

/// A release of vLLM; suffixes such as `rc1` or `+cu128` and a fourth number do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl ServerVersion {
    /// The oldest release whose defaults are known; older ones are treated as this one.
    pub const OLDEST: Self = Self::new(8, 5);
    /// The newest release whose defaults are known; newer ones are treated as this one.
    pub const NEWEST: Self = Self::new(33, 0);
    /// The release whose scheduler the rules were compared with, call for call.
    pub const VERIFIED: Self = Self::new(32, 0);

    /// The release 0.`minor`.`patch`.
    #[must_use]
    pub const fn new(minor: u32, patch: u32) -> Self {
        Self { major: 0, minor, patch }
    }

    /// The first release named in a text such as `0.33`, `v0.24.0rc1`, `0.11.0+cu128` or `vllm/vllm-openai:v0.8.4`; what
    /// stands before the last `vllm` of a text does not count, as in `rocm6.4.1_vllm_0.10.1`.
    ///
    /// `latest` and `nightly` are the newest known. None if no release is named.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::named(text).or_else(|| Self::is_newest(text).then_some(Self::NEWEST))
    }

    /// Whether a text such as `nightly` or `vllm/vllm-openai:latest` means the newest release without naming it.
    #[must_use]
    pub fn is_newest(text: &str) -> bool {
        let tag = text.rsplit_once(':').map_or(text, |(_, tag)| tag).trim().to_ascii_lowercase();
        ["latest", "nightly"].iter().any(|name| tag.starts_with(name)) && Self::named(&tag).is_none()
    }

    /// The release that a text names by its numbers.
    fn named(text: &str) -> Option<Self> {
        let text = text.rsplit_once("vllm").map_or(text, |(_, behind)| behind);
        let mut starts = text.char_indices().filter(|(at, letter)| {
            let before = text.get(..*at).and_then(|before| before.chars().next_back());
            letter.is_ascii_digit() && !before.is_some_and(|before| before.is_ascii_digit() || before == '.')
        });
        starts.find_map(|(at, _)| Self::numbers(text.get(at..)?))
    }

    /// Two or three numbers with points between them, at the beginning of a text.
    fn numbers(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
            (part.get(..end).unwrap_or_default(), end == part.len())
        });
        let (major, is_whole) = parts.next()?;
        let (minor, goes_on) = parts.next()?;
        let patch = parts.next().map_or("", |(patch, _)| patch);
        Some(Self {
            major: major.parse().ok().filter(|_| is_whole)?,
            minor: minor.parse().ok()?,
            patch: if goes_on { patch.parse().unwrap_or(0) } else { 0 },
        })
    }

    /// The release whose defaults stand for this one.
    #[must_use]
    pub fn known(self) -> Self {
        self.clamp(Self::OLDEST, Self::NEWEST)
    }

    /// How far two releases are apart: minor releases count, patches decide between equals.
    #[must_use]
    pub fn distance(self, other: Self) -> u64 {
        let place = |version: Self| {
            (u64::from(version.major) << 42) + (u64::from(version.minor) << 21) + u64::from(version.patch)
        };
        place(self).abs_diff(place(other))
    }

    /// Whether batches are planned one step ahead unless told otherwise.
    #[must_use]
    pub fn async_scheduling(self) -> bool {
        self >= Self::new(14, 0)
    }

    /// Whether a request is admitted only when all of it fits, unless told otherwise.
    #[must_use]
    pub fn scheduler_reserve_full_isl(self) -> bool {
        self >= Self::new(19, 0)
    }

    /// Whether the long-prefill threshold spares a request that is alone.
    #[must_use]
    pub fn spares_lone_prompts(self) -> bool {
        self >= Self::new(31, 0)
    }

    /// Whether the pass over running requests goes on behind one that preempted itself under `priority`.
    #[must_use]
    pub fn goes_on_behind_victims(self) -> bool {
        self >= Self::new(33, 0)
    }

    /// Whether it has the V0 engine beside V1.
    ///
    /// # Source
    /// The list of flags: up to 0.11 settings that V1 does not have fall back to V0.
    #[must_use]
    pub fn has_v0(self) -> bool {
        self < Self::new(12, 0)
    }

    /// Whether it is release 0.`minor` or later.
    #[must_use]
    pub fn is_at_least(self, minor: u32) -> bool {
        self >= Self::new(minor, 0)
    }

    /// Whether CUDA graphs are counted before the cache is made, and not captured beside it afterwards.
    ///
    /// # Source
    /// Read in the releases: an estimate of them is taken from the cache from 0.20 on.
    #[must_use]
    pub fn counts_graphs(self) -> bool {
        self.is_at_least(20)
    }

    /// Whether the printed size of the cache is blocks by groups, and not yet a rate at the longest length.
    ///
    /// # Source
    /// Read in the releases: divided by the number of groups up to 0.20, a rate from 0.22 on.
    #[must_use]
    pub fn prints_slots(self) -> bool {
        !self.is_at_least(21)
    }

    /// The share of the memory that is used unless told otherwise.
    #[must_use]
    pub fn gpu_memory_utilization(self) -> f64 {
        if self >= Self::new(20, 0) { 0.92 } else { 0.9 }
    }

    /// The token budget and the most requests of a batch on this accelerator, unless told otherwise and before one
    /// limits the other. An unknown accelerator has the small limits.
    #[must_use]
    pub fn limits(self, accelerator: Option<&AcceleratorSpec>) -> Limits {
        let is_exception =
            |card: &AcceleratorSpec| [&card.id, &card.name].iter().any(|name| contains(name, NAME_WITH_SMALL_LIMITS));
        match accelerator {
            Some(card) if card.driver_gib() >= LARGEST_MEMORY_GIB && self >= Self::new(28, 0) => {
                Limits { max_num_batched_tokens: 16_384, max_num_seqs: 1024 }
            }
            Some(card) if card.driver_gib() >= LARGE_MEMORY_GIB && !is_exception(card) => {
                Limits { max_num_batched_tokens: 8192, max_num_seqs: 1024 }
            }
            _ => Limits { max_num_batched_tokens: 2048, max_num_seqs: 256 },
        }
    }
}

fn contains(name: &str, part: &str) -> bool {
    name.to_ascii_lowercase().contains(part)
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

/// What a server is tuned for, as its `--performance-mode` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerformanceMode {
    /// Neither of the others.
    #[default]
    Balanced,
    /// Small batches: more sizes of them are captured, which is not modelled.
    Interactivity,
    /// Large batches: limits that are left out are twice what they would be.
    Throughput,
}

impl PerformanceMode {
    /// Whether it is the one that nobody has to name.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        *self == Self::Balanced
    }
}

/// What bounds a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Token budget of one step.
    pub max_num_batched_tokens: u32,
    /// Most requests in one batch.
    pub max_num_seqs: u32,
}

impl Limits {
    /// The limits that the reference simulator has unless told otherwise.
    pub const REFERENCE: Self = Self { max_num_batched_tokens: 2048, max_num_seqs: 256 };

    /// The limits of vLLM's V0 engine unless told otherwise: without chunks, prompts of `max_model_len` tokens (0 = no
    /// limit) fit into a step.
    ///
    /// # Source
    /// Read in the releases that have it.
    #[must_use]
    pub fn of_v0(max_model_len: u64, is_chunked: bool) -> Self {
        Self::REFERENCE.for_whole_prompts(max_model_len, is_chunked)
    }

    /// These limits for prompts that are not computed in chunks: the budget holds one of `max_model_len` tokens.
    #[must_use]
    pub fn for_whole_prompts(self, max_model_len: u64, is_chunked: bool) -> Self {
        let longest = u32::try_from(max_model_len).unwrap_or(u32::MAX);
        let least = if is_chunked { 0 } else { longest };
        Self { max_num_batched_tokens: self.max_num_batched_tokens.max(least), ..self }
    }

    /// These limits where experts of data-parallel ranks are exchanged in batches.
    #[must_use]
    pub fn with_batched_experts(self) -> Self {
        Self { max_num_batched_tokens: 256, ..self }
    }

    /// Twice these limits, as [`PerformanceMode::Throughput`] makes them.
    #[must_use]
    pub fn doubled(self) -> Self {
        Self {
            max_num_batched_tokens: self.max_num_batched_tokens.saturating_mul(2),
            max_num_seqs: self.max_num_seqs.saturating_mul(2),
        }
    }

    /// The limits in force: what is given stands. By default the budget is at most what so many requests of
    /// `max_model_len` have (0 = no limit), and there are at most as many requests as tokens.
    #[must_use]
    pub fn with_given(
        self,
        max_num_batched_tokens: Option<u32>,
        max_num_seqs: Option<u32>,
        max_model_len: u64,
    ) -> Self {
        let places = u64::from(max_num_seqs.unwrap_or(self.max_num_seqs));
        let most = if max_model_len == 0 { u64::MAX } else { places.saturating_mul(max_model_len) };
        let budget = u64::from(self.max_num_batched_tokens).min(most);
        let tokens = max_num_batched_tokens.unwrap_or(u32::try_from(budget).unwrap_or(u32::MAX));
        Self { max_num_batched_tokens: tokens, max_num_seqs: max_num_seqs.unwrap_or(self.max_num_seqs.min(tokens)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_release_is_read_out_of_what_people_write() {
        for (text, expected) in [
            ("0.33", Some(ServerVersion::new(33, 0))),
            (" v0.24.0rc1 ", Some(ServerVersion::new(24, 0))),
            ("0.11.0+cu128", Some(ServerVersion::new(11, 0))),
            ("0.10.1.1", Some(ServerVersion::new(10, 1))),
            ("0.9.2", Some(ServerVersion::new(9, 2))),
            ("0.33rc1.5", Some(ServerVersion::new(33, 0))),
            ("vllm/vllm-openai:v0.8.4", Some(ServerVersion::new(8, 4))),
            ("vllm/v0.23.0 V1", Some(ServerVersion::new(23, 0))),
            ("rocm6.4.1_vllm_0.10.1_20250909", Some(ServerVersion::new(10, 1))),
            ("rocm/vllm:rocm6.4.1_vllm_0.10.1_20250909", Some(ServerVersion::new(10, 1))),
            ("0.8.5.post1", Some(ServerVersion::new(8, 5))),
            ("v0.11.0-cu128", Some(ServerVersion::new(11, 0))),
            ("0.x", None),
            ("1.0", Some(ServerVersion { major: 1, minor: 0, patch: 0 })),
            ("vllm/vllm-openai:latest", Some(ServerVersion::NEWEST)),
            ("nightly", Some(ServerVersion::NEWEST)),
            ("vllm/vllm-openai:nightly-aarch64", Some(ServerVersion::NEWEST)),
            ("33", None),
            ("v", None),
            ("", None),
            ("0.", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(ServerVersion::parse(text), expected, "{text}");
        }
        assert_eq!(format!("{} {}", ServerVersion::NEWEST, ServerVersion::OLDEST), "0.33 0.8.5");
    }

    #[test]
    fn older_and_newer_releases_are_treated_as_the_last_known() {
        assert_eq!(ServerVersion::new(8, 4).known(), ServerVersion::OLDEST);
        assert_eq!(ServerVersion::new(6, 6).known(), ServerVersion::OLDEST);
        assert_eq!(ServerVersion::new(40, 0).known(), ServerVersion::NEWEST);
        assert_eq!(ServerVersion::new(20, 1).known(), ServerVersion::new(20, 1));
        let newest = ServerVersion::NEWEST;
        assert!(newest.distance(ServerVersion::new(10, 1)) < newest.distance(ServerVersion::new(8, 4)));
        assert!(
            ServerVersion::new(9, 9).distance(ServerVersion::new(9, 1)) < newest.distance(ServerVersion::new(32, 0))
        );
    }

    #[test]
    fn limits_follow_each_other_where_they_are_not_given() {
        let large = Limits { max_num_batched_tokens: 8192, max_num_seqs: 1024 };
        let of = |tokens, seqs, length| {
            let limits = large.with_given(tokens, seqs, length);
            (limits.max_num_batched_tokens, limits.max_num_seqs)
        };
        assert_eq!(of(None, None, 131_072), (8192, 1024));
        assert_eq!(of(None, None, 0), (8192, 1024));
        assert_eq!(of(Some(512), None, 131_072), (512, 512));
        assert_eq!(of(None, Some(2), 2048), (4096, 2));
        assert_eq!(of(Some(512), Some(600), 4096), (512, 600));
    }
}

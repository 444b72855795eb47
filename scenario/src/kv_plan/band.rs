//! How far off the memory that is left for the cache may be.

use super::memory::{MemoryQuestion, VISION_GIB};
use crate::catalog::Generation;
use crate::server::ServerVersion;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const GIB: f64 = 1_073_741_824.0;

/// Servers whose logged cache the constants of a rank's memory stand against.
pub const MEASURED_SERVERS: u32 = 28;

/// GiB of a rank by which half of the measured servers are off at most, and the farthest one.
///
/// An error of the constants is a number of bytes, whatever the cache: the server that is off by most percent has a cache
/// of a sixteenth of its card.
///
/// # Source
/// `cargo xtask truth memory`, which holds both figures.
pub const MEASURED_GIB: (f64, f64) = (0.8, 3.3);

/// Releases of which servers were measured: from, and before.
const MEASURED_RELEASES: [(ServerVersion, ServerVersion); 2] =
    [(ServerVersion::new(6, 0), ServerVersion::new(7, 0)), (ServerVersion::new(10, 0), ServerVersion::new(21, 0))];

/// How much wider the band is where no server of the release, or of the family of cards, was measured.
///
/// # Source
/// A judgment: what changed between measured releases (sampling without a sort, 2 GiB) is as large as what they are off.
const UNMEASURED: f64 = 2.0;

/// GiB by which a derived figure of a card's memory may be off: drivers keep 0.24 to 0.75 GiB of cards of which both
/// figures are known, and 0.5 to 0.6 are assumed.
const DERIVED_GIB: f64 = 0.3;

/// Share of a stated memory by which what the driver reports may be less than a hundredth less: cards with ECC report up
/// to 8 % less than they are sold with.
const STATED_SHARE: f64 = 0.07;

/// How far off the memory left for the cache may be, to either side, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Bytes within which half of the answers are expected.
    pub usual_bytes: f64,
    /// Bytes within which all are expected.
    pub widest_bytes: f64,
    /// Inputs that are derived, borrowed or measured once, in words.
    pub notes: Vec<String>,
}

impl Band {
    /// Both as shares of a cache of so many bytes, at most 1.
    #[must_use]
    pub fn ratios(&self, cache_bytes: u64) -> [f64; 2] {
        [self.usual_bytes, self.widest_bytes].map(|bytes| (bytes / (cache_bytes as f64).max(1.0)).min(1.0))
    }
}

/// The band of a server whose cache is what is left.
pub(super) fn band(question: &MemoryQuestion<'_>) -> Band {
    let (mut usual, mut widest) = MEASURED_GIB;
    let mut notes = Vec::new();
    let card = question.accelerator;
    let version = question.version;
    let is_release_measured = MEASURED_RELEASES.iter().any(|(from, before)| (*from..*before).contains(&version));
    let is_family_measured = matches!(
        card.generation,
        Generation::Ampere | Generation::Ada | Generation::Hopper | Generation::Blackwell | Generation::Cdna3
    );
    let unmeasured = match (is_release_measured, is_family_measured) {
        (true, true) => None,
        (false, true) => Some(format!("of vLLM {version}")),
        (true, false) => Some(format!("on a card like {}", card.id)),
        (false, false) => Some(format!("of vLLM {version}, nor on a card like {}", card.id)),
    };
    if let Some(unmeasured) = unmeasured {
        usual *= UNMEASURED;
        widest *= UNMEASURED;
        notes.push(format!("no server {unmeasured} was measured (releases 0.6 and 0.10 to 0.20 were): twice the band"));
    }
    if card.driver_memory_gib <= 0.0 {
        let off = card.memory_gib * STATED_SHARE * question.utilization;
        usual += off;
        widest += off;
        notes.push(
            "the card's memory is 1 % less than stated; drivers of cards with ECC report up to 8 % less".to_owned(),
        );
    } else if card.driver_memory_source.starts_with("derived") {
        let off = DERIVED_GIB * question.utilization;
        usual += off;
        widest += off;
        notes.push("the card's memory is derived, not read off a server: 0.3 GiB to either side".to_owned());
    }
    let model = &question.model;
    if model.active_experts > 0 {
        notes.push("buffers of experts: one figure for all sizes, fitted to nine servers".to_owned());
    }
    if model.has_latent_attention {
        notes.push("buffers of latent attention: one figure for all sizes, fitted to three servers".to_owned());
    }
    if model.has_vision {
        notes.push("the vision tower: weights estimated from its sizes, buffers from one measured server".to_owned());
        if card.generation.is_amd() {
            // With kernels that keep no table of attention it takes what it takes on other cards.
            widest += VISION_GIB.1 - VISION_GIB.0;
        }
    }
    Band { usual_bytes: usual * GIB, widest_bytes: widest * GIB, notes }
}

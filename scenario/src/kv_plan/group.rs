//! Groups: which layers share a block table.

use super::page::{CacheKind, Spec};
use crate::diagnostic::Diagnostic;
use alloc::vec;
use alloc::vec::Vec;

/// Layers that share a block table: when one of them needs a block, all of them get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvGroup {
    /// The layers, by what they are; more than one entry only where layers of several kinds keep all tokens.
    pub layers: Vec<GroupLayers>,
}

/// Alike layers of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLayers {
    /// Their kind.
    pub kind: CacheKind,
    /// How many there are.
    pub num_layers: u64,
    /// Tokens of a block.
    pub block_size: u64,
    /// Bytes of a block of one layer.
    pub page_bytes: u64,
}

impl KvGroup {
    /// The group of some caches, of which those count that `is_here` says.
    pub(super) fn of(specs: &[Spec], is_here: impl Fn(usize) -> bool) -> Self {
        let mut layers: Vec<GroupLayers> = Vec::new();
        for spec in specs {
            let own = u64::from(is_here(spec.place));
            let alike = |known: &&mut GroupLayers| {
                (known.kind, known.block_size, known.page_bytes) == (spec.kind, spec.block_size, spec.page_bytes)
            };
            match layers.iter_mut().find(alike) {
                Some(known) => known.num_layers = known.num_layers.saturating_add(own),
                None => layers.push(GroupLayers {
                    kind: spec.kind,
                    num_layers: own,
                    block_size: spec.block_size,
                    page_bytes: spec.page_bytes,
                }),
            }
        }
        Self { layers }
    }

    /// Bytes of a block of all its layers.
    #[must_use]
    pub fn block_bytes(&self) -> u64 {
        let bytes = |layers: &GroupLayers| layers.num_layers.saturating_mul(layers.page_bytes);
        self.layers.iter().map(bytes).fold(0, u64::saturating_add)
    }
}

/// Sorts layers into groups, with pages made equal (B1 to B4, B8).
///
/// # Errors
/// Pages that cannot be made equal.
pub(super) fn groups(specs: Vec<Spec>, is_hybrid_manager_disabled: bool) -> Result<Vec<Vec<Spec>>, Vec<Diagnostic>> {
    let specs = if is_hybrid_manager_disabled { promoted(&specs)? } else { specs };
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    if is_one_kind(&specs) {
        return Ok(vec![specs]);
    }
    let Some(specs) = with_equal_pages(&specs) else {
        // Plain windows beside latent vectors are kept in full instead.
        let is_supported = specs.iter().all(|spec| spec.kind.keeps_all() || matches!(spec.kind, CacheKind::Sliding(_)));
        return match promoted(&specs) {
            Ok(specs) if is_supported => Ok(vec![specs]),
            _ => Err(vec![
                Diagnostic::error(
                    "kv-pages-unequal",
                    "layers",
                    "the pages of latent attention cannot be made as large as those of the other layers",
                )
                .with_hint("this mix of layers is not served"),
            ]),
        };
    };
    Ok(split(&buckets(specs)))
}

/// Whether all layers need blocks at the same time, and so can share a group (B1).
fn is_one_kind(specs: &[Spec]) -> bool {
    let Some(first) = specs.first() else { return true };
    specs.iter().all(|spec| {
        let is_alike = match first.kind {
            CacheKind::Full | CacheKind::Latent | CacheKind::Indexer => spec.kind.keeps_all(),
            CacheKind::State { .. } => spec.kind == first.kind && spec.page_bytes == first.page_bytes,
            CacheKind::Sliding(_) | CacheKind::Chunked(_) | CacheKind::Cross(_) => spec.kind == first.kind,
        };
        is_alike && spec.block_size == first.block_size
    })
}

/// The layers with windows and chunks turned into full ones, where there are full ones beside them (B8).
///
/// # Errors
/// Layers that are then still of several kinds.
fn promoted(specs: &[Spec]) -> Result<Vec<Spec>, Vec<Diagnostic>> {
    if is_one_kind(specs) {
        return Ok(specs.to_vec());
    }
    let mut full_blocks = specs.iter().filter(|spec| spec.kind.keeps_all()).map(|spec| spec.block_size);
    let block = full_blocks.next().filter(|first| full_blocks.all(|block| block == *first));
    let has_full = specs.iter().any(|spec| spec.kind.keeps_all());
    let promote = |spec: &Spec| match spec.kind {
        CacheKind::Sliding(_) | CacheKind::Chunked(_) if has_full => {
            let block_size = block.unwrap_or(spec.block_size);
            let page_bytes = spec.page_bytes.saturating_mul(block_size).checked_div(spec.block_size).unwrap_or(0);
            Spec { kind: CacheKind::Full, block_size, page_bytes, ..*spec }
        }
        _ => *spec,
    };
    let specs: Vec<Spec> = specs.iter().map(promote).collect();
    if is_one_kind(&specs) {
        return Ok(specs);
    }
    Err(vec![
        Diagnostic::error(
            "kv-groups-needed",
            "disable_hybrid_kv_cache_manager",
            "the layers are of kinds that cannot share one block table",
        )
        .with_hint("leave the hybrid KV cache manager on"),
    ])
}

/// The layers with pages as large as the largest (B2); none if some can neither grow nor be padded.
fn with_equal_pages(specs: &[Spec]) -> Option<Vec<Spec>> {
    let largest = specs.iter().map(|spec| spec.page_bytes).max()?;
    let mut equal = Vec::with_capacity(specs.len());
    for spec in specs {
        let is_state = matches!(spec.kind, CacheKind::State { .. });
        let ratio = largest.checked_div(spec.page_bytes).filter(|_| largest.is_multiple_of(spec.page_bytes));
        let block_size = match ratio {
            _ if is_state => spec.block_size,
            Some(ratio) => spec.block_size.saturating_mul(ratio),
            None if matches!(spec.kind, CacheKind::Latent | CacheKind::Indexer) => return None,
            None => spec.block_size,
        };
        equal.push(Spec { block_size, page_bytes: largest, ..*spec });
    }
    Some(equal)
}

/// Layers that are the same in everything, in the order in which they first occur (B3, B4).
fn buckets(specs: Vec<Spec>) -> Vec<Vec<Spec>> {
    let mut buckets: Vec<Vec<Spec>> = Vec::new();
    for spec in specs {
        match buckets.iter_mut().find(|bucket| bucket.first().is_some_and(|first| first.is_like(&spec))) {
            Some(bucket) => bucket.push(spec),
            None => buckets.push(vec![spec]),
        }
    }
    buckets
}

/// Cuts the buckets into groups of about equal numbers of layers (B3).
fn split(buckets: &[Vec<Spec>]) -> Vec<Vec<Spec>> {
    let smallest = buckets.iter().map(Vec::len).min().unwrap_or(1).max(1);
    let largest = buckets.iter().map(Vec::len).max().unwrap_or(1);
    // Less than one and a half times as many are cheaper padded than split.
    let size = if largest.saturating_mul(2) < smallest.saturating_mul(3) { largest } else { smallest };
    let mut groups = Vec::new();
    for bucket in buckets {
        let num_groups = bucket.len().div_ceil(size);
        for index in 0..num_groups {
            groups.push(bucket.iter().skip(index).step_by(num_groups).copied().collect());
        }
    }
    groups
}

//! An answer told to people: each item with its equation filled in.

use super::{CacheKind, CacheMemory, Fit, GroupLayers, KvRefusal};
use crate::server::Limits;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const GIB: f64 = 1_073_741_824.0;

/// An item: what it is, how much, and how that comes about.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it is.
    pub label: &'static str,
    /// How much, with its unit.
    pub value: String,
    /// The equation, its figures filled in; empty where there is none.
    pub equation: String,
    /// Its share of an accelerator's memory, 0–1; none for what is no part of it.
    pub ratio: Option<f64>,
}

impl Item {
    fn new(label: &'static str, value: impl Into<String>, equation: impl Into<String>) -> Self {
        Self { label, value: value.into(), equation: equation.into(), ratio: None }
    }
}

impl Fit {
    /// Where the memory of one accelerator goes; the parts make the whole.
    #[must_use]
    pub fn memory_items(&self) -> Vec<Item> {
        let budget = &self.budget;
        let total = budget.total_bytes.max(1.0);
        let part = |label, bytes: f64, equation: String| Item {
            ratio: Some((bytes / total).clamp(0.0, 1.0)),
            ..Item::new(label, gib(bytes), equation)
        };
        let ranks = self.settings.tensor_parallel_size;
        let weights: Vec<String> =
            self.weights.iter().map(|(part, bytes)| format!("{} {:.2}", part.label(), *bytes as f64 / GIB)).collect();
        let mut share = if ranks > 1 { format!(", {ranks} ranks") } else { String::new() };
        if let (number, 2..) = self.stage {
            share = format!("{share}, stage {number} of {}", self.stage.1);
        }
        let cache = self.available_bytes as f64;
        let left = budget.requested_bytes - budget.used_bytes();
        let cache_equation = match self.memory {
            CacheMemory::LeftOver => format!(
                "{:.2} × {} − {:.2} − {:.2} − {:.2} − {:.2} − {:.2}",
                budget.total_bytes / GIB,
                self.utilization,
                budget.weight_bytes / GIB,
                budget.activation_bytes / GIB,
                budget.workspace_bytes / GIB,
                budget.graph_bytes / GIB,
                budget.other_bytes / GIB
            ),
            CacheMemory::Bytes(_) => "as told".to_owned(),
            CacheMemory::Blocks(blocks) => {
                format!("{} blocks × {} bytes", grouped(blocks), grouped(self.layout.block_bytes))
            }
        };
        let mut items = Vec::from([
            part("weights", budget.weight_bytes, format!("{} GiB{share}", weights.join(" + "))),
            part("peak activations", budget.activation_bytes, self.batch_text()),
        ]);
        if budget.workspace_bytes > 0.0 {
            let what = "of experts, latent attention or towers";
            items.push(part("buffers", budget.workspace_bytes, what.to_owned()));
        }
        items.push(part("CUDA graphs", budget.graph_bytes, self.graphs_text().to_owned()));
        items.push(part("non-torch", budget.other_bytes, "libraries, communication included".to_owned()));
        items.push(part("KV cache", cache, cache_equation));
        let unused = (budget.total_bytes - budget.requested_bytes + left - cache).max(0.0);
        items.push(part("not used by the server", unused, String::new()));
        items
    }

    /// Why CUDA graphs are no part of what is taken from the cache.
    fn graphs_text(&self) -> &'static str {
        match self.version.counts_graphs() {
            true => "counted before the cache, but logged servers have no less cache than the other items leave",
            false => "captured after the cache, outside the server's share",
        }
    }

    /// The largest batch in words.
    fn batch_text(&self) -> String {
        let Limits { max_num_batched_tokens, max_num_seqs } = self.limits;
        let [forward, sampling] = self.batch_bytes;
        if sampling > forward {
            let sequences = u64::from(max_num_seqs.min(max_num_batched_tokens));
            format!("sampling {} sequences × {} logits", grouped(sequences), grouped(self.model.vocab_size.into()))
        } else {
            format!("{} tokens through the widest layer", grouped(max_num_batched_tokens.into()))
        }
    }

    /// What the cache is made of, and what it holds.
    #[must_use]
    pub fn cache_items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let mut times = 0_u32;
        for group in &self.layout.groups {
            let text = group.layers.iter().map(layers_text).collect::<Vec<_>>().join(" and ");
            match items.last_mut() {
                Some(last) if last.equation == text => {
                    times = times.saturating_add(1);
                    last.value = times.to_string();
                }
                _ => {
                    times = 1;
                    items.push(Item::new("groups", "1", text));
                }
            }
        }
        let largest = self.layout.groups.iter().max_by_key(|group| group.block_bytes());
        let terms = largest.map_or_else(String::new, |group| {
            let term = |layers: &GroupLayers| format!("{} layers × {}", layers.num_layers, grouped(layers.page_bytes));
            group.layers.iter().map(term).collect::<Vec<_>>().join(" + ")
        });
        let block_bytes = grouped(self.layout.block_bytes);
        let length = grouped(self.settings.max_model_len.into());
        let blocks = grouped(self.num_blocks);
        let cut = match self.memory {
            CacheMemory::Blocks(_) => "as told".to_owned(),
            _ => format!("{} / {block_bytes}", grouped(self.available_bytes)),
        };
        let per_request = self.layout.blocks_per_request(self.settings.max_model_len);
        items.push(Item::new("block", format!("{block_bytes} bytes"), terms));
        items.push(Item::new("blocks", blocks.clone(), cut));
        items.push(Item::new("per sequence", format!("{} blocks", grouped(per_request)), format!("{length} tokens")));
        if let Ok(plan) = self.plan {
            let each = format!("{blocks} / {} sequences of {length} tokens", grouped(per_request));
            items.push(Item::new("concurrency", format!("{:.2}", plan.max_concurrency), each));
            let tokens = match self.version.prints_slots() {
                true => "a block of each group, by its tokens".to_owned(),
                false => format!("{:.2} × {length}", plan.max_concurrency),
            };
            items.push(Item::new("tokens", grouped(self.printed_tokens), tokens));
        }
        let smallest = self.smallest_tensor_parallel_size.map_or_else(|| "none".to_owned(), |size| size.to_string());
        let what = if self.stage.1 > 1 { "accelerators a stage" } else { "accelerators" };
        items.push(Item::new("smallest size", smallest, format!("{what} for {length} tokens, up to 64")));
        let longest = grouped(self.longest.into());
        items.push(Item::new("longest sequence", longest, "tokens that fit, up to what the model is made for"));
        items
    }

    /// Why the server does not start, in words; none if it does.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        if self.plan.is_ok() && self.exceeds_memory() {
            return Some(format!(
                "weights take {}, the cache is told to have {}, and the accelerator has {}",
                gib(self.budget.weight_bytes),
                gib(self.available_bytes as f64),
                gib(self.budget.total_bytes)
            ));
        }
        Some(match self.plan.err()? {
            KvRefusal::NoMemory => format!(
                "weights take {}, a batch and libraries {}, and the server may use {} of each accelerator",
                gib(self.budget.weight_bytes),
                gib(self.budget.used_bytes() - self.budget.weight_bytes),
                gib(self.budget.requested_bytes)
            ),
            KvRefusal::TooLong { blocks_per_request, usable_blocks, .. } => format!(
                "one sequence of {} tokens may hold {} blocks but there are {} to give out",
                grouped(self.settings.max_model_len.into()),
                grouped(blocks_per_request),
                grouped(usable_blocks)
            ),
        })
    }

    /// What would help a server that does not start; empty if it does.
    #[must_use]
    pub fn advice(&self) -> Vec<Advice> {
        let mut advice = Vec::new();
        if self.starts() {
            return advice;
        }
        advice.push(match self.smallest_tensor_parallel_size {
            Some(size) if size > self.settings.tensor_parallel_size => Advice::Ranks(size),
            _ => Advice::OtherHardware,
        });
        if self.longest > 0 && self.plan.is_err() {
            advice.push(Advice::Length(self.longest));
        }
        if self.fits_with_fp8 == Some(true) {
            advice.push(Advice::Fp8);
        }
        advice
    }
}

/// A change with which a server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// So many accelerators.
    Ranks(u32),
    /// Narrower weights, or an accelerator with more memory.
    OtherHardware,
    /// Sequences of at most so many tokens.
    Length(u32),
    /// 8-bit keys and values.
    Fp8,
}

impl Advice {
    /// The change by the names of settings.
    #[must_use]
    pub fn in_settings(self) -> String {
        match self {
            Advice::Ranks(size) => format!("raise tensor_parallel_size to {size}"),
            Advice::OtherHardware => "choose narrower weights or an accelerator with more memory".to_owned(),
            Advice::Length(longest) => format!("lower max_model_len to {longest}"),
            Advice::Fp8 => "set kv_cache_dtype to fp8".to_owned(),
        }
    }
}

fn layers_text(layers: &GroupLayers) -> String {
    format!("{} layers, {}, blocks of {} tokens", layers.num_layers, layers.kind.label(), grouped(layers.block_size))
}

impl CacheKind {
    /// Its name for people.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            CacheKind::Full => "full attention".to_owned(),
            CacheKind::Sliding(window) => format!("sliding window of {window}"),
            CacheKind::Chunked(chunk) => format!("chunks of {chunk}"),
            CacheKind::Latent => "latent attention".to_owned(),
            CacheKind::Indexer => "indexer".to_owned(),
            CacheKind::State { .. } => "state".to_owned(),
            CacheKind::Cross(tokens) => format!("cross attention to {tokens}"),
        }
    }
}

/// Bytes in GiB.
fn gib(bytes: f64) -> String {
    format!("{:.2} GiB", bytes / GIB)
}

/// A count with its thousands apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

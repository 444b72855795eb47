//! An answer told to people: each item with its equation filled in.

use super::equations::Printed;
use super::{Band, CacheKind, CacheMemory, Fit, GroupLayers, KvRefusal, MEASURED_SERVERS};
use crate::time::truncate;
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
        let part = |label, bytes: f64, printed: Printed, equation: String| Item {
            ratio: Some((bytes / total).clamp(0.0, 1.0)),
            ..Item::new(label, printed.gib(), equation)
        };
        let printed = self.printed();
        let [weights, activations, buffers, libraries, cache] = printed;
        let cache_bytes = self.available_bytes as f64;
        let left = budget.requested_bytes - budget.used_bytes();
        let mut items = Vec::from([
            part("weights", budget.weight_bytes, weights, self.weights_equation(weights)),
            part("peak activations", budget.activation_bytes, activations, self.batch_equation()),
        ]);
        if budget.workspace_bytes() > 0.0 {
            items.push(part("buffers", budget.workspace_bytes(), buffers, self.buffers_equation(buffers)));
        }
        let (graphs, why) = self.graphs_text();
        items.push(Item::new("CUDA graphs", graphs, why));
        items.push(part("non-torch", budget.other_bytes(), libraries, self.libraries_equation(libraries)));
        items.push(part("KV cache", cache_bytes, cache, self.left_equation(printed)));
        let unused = (budget.total_bytes - budget.requested_bytes + left - cache_bytes).max(0.0);
        items.push(part("not used by the server", unused, Printed::of(unused), String::new()));
        items
    }

    /// Where CUDA graphs are in this sum: no figure is taken off for them.
    fn graphs_text(&self) -> (&'static str, &'static str) {
        match self.version.counts_graphs() {
            true => (
                "–",
                "in the other items: two measured servers of release 0.20, the first that counts graphs, have the cache that the others leave, to 0.1 GiB",
            ),
            false => {
                ("–", "captured after the cache was made, outside the server's share; 0.52 GiB in a log of release 0.9")
            }
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
            _ => format!("⌊{} / {block_bytes}⌋", grouped(self.available_bytes)),
        };
        let per_request = self.layout.blocks_per_request(self.settings.max_model_len);
        items.push(Item::new("block", format!("{block_bytes} bytes"), terms));
        items.push(Item::new("blocks", blocks.clone(), cut));
        let of_sequence = self.sequence_equation();
        items.push(Item::new("per sequence", format!("{} blocks", grouped(per_request)), of_sequence));
        if let Ok(plan) = self.plan {
            let each = format!("{blocks} / {} sequences of the longest length", grouped(per_request));
            items.push(Item::new("concurrency", format!("{:.2}", plan.max_concurrency), each));
            items.push(Item::new("tokens", grouped(self.printed_tokens), self.tokens_equation(per_request)));
            if let Some(band) = &self.band {
                items.push(self.band_item(band));
            }
        }
        let smallest = self.smallest_tensor_parallel_size.map_or_else(|| "none".to_owned(), |size| size.to_string());
        let what = if self.stage.1 > 1 { "accelerators a stage" } else { "accelerators" };
        items.push(Item::new("smallest size", smallest, format!("{what} for {length} tokens, up to 64")));
        let longest = grouped(self.longest.into());
        items.push(Item::new("longest sequence", longest, "tokens that fit, up to what the model is made for"));
        items
    }

    /// How far off the tokens may be.
    fn band_item(&self, band: &Band) -> Item {
        let [usual, widest] = band.ratios(self.available_bytes).map(percent);
        let [near, far] = [band.usual_bytes, band.widest_bytes].map(|bytes| bytes / GIB);
        let of = Printed::of(self.available_bytes as f64).number();
        Item::new(
            "give or take",
            format!("{usual} %, up to {widest} %"),
            format!(
                "within {near:.1} of {of} GiB as half of {MEASURED_SERVERS} measured servers, within {far:.1} as all"
            ),
        )
    }

    /// Inputs that are derived, borrowed or measured once, each of which widens the band, and whether the answer could be
    /// the other one within it; in words.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let Some(band) = &self.band else { return Vec::new() };
        let mut notes = band.notes.clone();
        let left = self.budget.requested_bytes - self.budget.used_bytes();
        let starts_with = |bytes: f64| {
            let bytes = u64::try_from(truncate(bytes.max(0.0))).unwrap_or(0);
            self.layout.plan(self.layout.num_blocks(bytes)).is_ok()
        };
        match self.plan {
            Ok(_) if !starts_with(left - band.widest_bytes) => {
                notes.push("it may not start: so much is within the band".to_owned());
            }
            Err(_) if starts_with(left + band.widest_bytes) => {
                notes.push("it may start all the same: so little is missing within the band".to_owned());
            }
            _ => {}
        }
        notes
    }

    /// The share of the memory with which the asked length fits, in hundredths; none if no usual one does.
    fn needed_utilization(&self) -> Option<u32> {
        /// More is not left to a server: the driver and other programs need some.
        const MOST: f64 = 95.0;
        if self.memory != CacheMemory::LeftOver {
            return None;
        }
        let needed = self.layout.blocks_per_request(self.settings.max_model_len).saturating_add(1);
        let bytes = self.budget.used_bytes() + needed.saturating_mul(self.layout.block_bytes) as f64;
        let percent = libm::ceil(bytes / self.budget.total_bytes.max(1.0) * 100.0);
        let is_more = percent > self.utilization * 100.0;
        (percent <= MOST && is_more).then(|| u32::try_from(truncate(percent)).unwrap_or(0))
    }

    /// Blocks that make the server start where it is told too few; none where the memory decides or nothing is wrong.
    fn needed_blocks(&self) -> Option<u64> {
        let is_told = self.memory != CacheMemory::LeftOver && self.plan.is_err();
        // One block is never given out.
        is_told.then(|| self.layout.blocks_per_request(self.settings.max_model_len).saturating_add(1))
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
        let refusal = self.plan.err()?;
        if let Some(needed) = self.needed_blocks() {
            let length = grouped(self.settings.max_model_len.into());
            let needed_bytes = grouped(needed.saturating_mul(self.layout.block_bytes));
            let needed = grouped(needed);
            return Some(match self.memory {
                CacheMemory::Bytes(bytes) => format!(
                    "the cache is told to have {} bytes, which make {} blocks, and one sequence of {length} tokens takes {needed} with the one that is never given out, {needed_bytes} bytes",
                    grouped(bytes),
                    grouped(self.num_blocks)
                ),
                _ => format!(
                    "the server is told to have {} block{}, and one sequence of {length} tokens takes {needed} with the one that is never given out",
                    grouped(self.num_blocks),
                    if self.num_blocks == 1 { "" } else { "s" }
                ),
            });
        }
        Some(match refusal {
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
        // What is told is the first thing to change, if the memory allows it.
        let room = self.planned_blocks();
        let told = match self.memory {
            CacheMemory::LeftOver => None,
            CacheMemory::Bytes(_) | CacheMemory::Blocks(_) => {
                let least = self.layout.blocks_per_request(self.settings.max_model_len).saturating_add(1);
                Some(if self.plan.is_err() { least } else { room }).filter(|blocks| (least..=room).contains(blocks))
            }
        };
        match (told, self.memory) {
            (Some(blocks), CacheMemory::Bytes(_)) => {
                advice.push(Advice::Bytes(blocks.saturating_mul(self.layout.block_bytes)));
            }
            (Some(blocks), _) => advice.push(Advice::Blocks(blocks)),
            (None, _) if self.needed_utilization().is_some() => {
                advice.extend(self.needed_utilization().map(Advice::Utilization));
            }
            (None, _) => advice.push(match self.smallest_tensor_parallel_size {
                Some(size) if size > self.settings.tensor_parallel_size => Advice::Ranks(size),
                _ => Advice::OtherHardware,
            }),
        }
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
    /// So many hundredths of the memory.
    Utilization(u32),
    /// So many blocks where too few or too many are told.
    Blocks(u64),
    /// So many bytes of cache on each accelerator where too few or too many are told.
    Bytes(u64),
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
            Advice::Utilization(percent) => format!("raise gpu_memory_utilization to 0.{percent:02}"),
            Advice::Blocks(blocks) => format!("set num_gpu_blocks to {blocks}"),
            Advice::Bytes(bytes) => format!("set kv_cache_memory_bytes to {bytes}"),
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

/// A share in percent, with a digit behind the point below 10.
fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
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

//! Equations whose printed operands give the printed result.

use super::{CacheKind, CacheMemory, Fit, GroupLayers, grouped};
use crate::server::Limits;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const GIB: f64 = 1_073_741_824.0;

/// An amount of memory as it is printed: hundredths of a GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Printed(pub i64);

impl Printed {
    /// The nearest one.
    #[expect(clippy::cast_possible_truncation)]
    pub fn of(bytes: f64) -> Self {
        // No memory has 2^53 hundredths, and the conversion saturates.
        Self(libm::round(bytes / GIB * 100.0) as i64)
    }

    /// Parts that add up to a whole: each is rounded up or down, up where most is lost otherwise.
    #[expect(clippy::cast_precision_loss)]
    pub fn parts(whole: Self, parts: &[f64]) -> Vec<Self> {
        let exact = |bytes: f64| bytes / GIB * 100.0;
        let mut printed: Vec<i64> =
            parts.iter().map(|bytes| Self::of(libm::floor(exact(*bytes)) * GIB / 100.0).0).collect();
        let mut order: Vec<(usize, f64)> =
            printed.iter().zip(parts).map(|(low, bytes)| exact(*bytes) - *low as f64).enumerate().collect();
        order.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
        let mut missing = whole.0 - printed.iter().sum::<i64>();
        for (place, _) in order {
            if missing > 0
                && let Some(part) = printed.get_mut(place)
            {
                *part += 1;
                missing -= 1;
            }
        }
        printed.into_iter().map(Self).collect()
    }

    /// With its unit.
    pub fn gib(self) -> String {
        format!("{} GiB", self.number())
    }

    /// Without.
    pub fn number(self) -> String {
        let sign = if self.0 < 0 { "−" } else { "" };
        let size = self.0.unsigned_abs();
        format!("{sign}{}.{:02}", size / 100, size % 100)
    }
}

/// GiB with as many digits as it takes, at most four.
fn exact_gib(bytes: f64) -> String {
    let gib = bytes / GIB;
    let text = format!("{gib:.4}");
    let text = text.strip_suffix("00").unwrap_or(&text);
    text.to_owned()
}

impl Fit {
    /// What weights, the largest batch, buffers, libraries and the cache are printed as.
    pub(super) fn printed(&self) -> [Printed; 5] {
        let budget = &self.budget;
        let taken = [budget.weight_bytes, budget.activation_bytes, budget.workspace_bytes(), budget.other_bytes()];
        let [weights, activations, buffers, libraries] = taken.map(Printed::of);
        let cache = match self.memory {
            // What is left of the printed figures, a few hundredths beside its own at most.
            CacheMemory::LeftOver if self.available_bytes > 0 => {
                let share = Printed::of(budget.requested_bytes).0;
                Printed((share - weights.0 - activations.0 - buffers.0 - libraries.0).max(0))
            }
            _ => Printed::of(self.available_bytes as f64),
        };
        [weights, activations, buffers, libraries, cache]
    }

    /// The weights by component.
    pub(super) fn weights_equation(&self, whole: Printed) -> String {
        let bytes: Vec<f64> = self.weights.iter().map(|(_, bytes)| *bytes as f64).collect();
        let parts = Printed::parts(whole, &bytes);
        let term = |((part, _), printed): (&(crate::catalog::Part, u64), Printed)| {
            format!("{} {}", part.label(), printed.number())
        };
        let terms: Vec<String> = self.weights.iter().zip(parts).map(term).collect();
        let ranks = self.settings.tensor_parallel_size;
        let share = if ranks > 1 { format!(", on each of {ranks} ranks") } else { String::new() };
        match self.stage {
            (number, 2..) => format!("{}{share}, stage {number} of {}", terms.join(" + "), self.stage.1),
            _ => format!("{}{share}", terms.join(" + ")),
        }
    }

    /// The largest batch.
    pub(super) fn batch_equation(&self) -> String {
        let Limits { max_num_batched_tokens, max_num_seqs } = self.limits;
        let [forward, sampling] = self.batch_bytes;
        let model = &self.model;
        let wide = |number: u32| grouped(number.into());
        if sampling > forward {
            let sequences = wide(max_num_seqs.min(max_num_batched_tokens));
            let each = super::memory::sampling_bytes_per_logit(self.version);
            return format!("{sequences} sequences × {} logits × {each} bytes", wide(model.vocab_size));
        }
        let ranks = self.settings.tensor_parallel_size.max(1);
        let over = |ranks: u32| if ranks > 1 { format!(" / {ranks}") } else { String::new() };
        let mut values = format!("4 × {}", wide(model.hidden_size));
        if model.feed_forward_size > 0 {
            values = format!("{values} + 3 × {}{}", wide(model.feed_forward_size), over(ranks));
        }
        if model.active_experts > 0 {
            let own = over(if model.has_whole_experts { 1 } else { ranks });
            let expert = format!("2 × {} + 3 × {}{own}", wide(model.hidden_size), wide(model.expert_size));
            values = format!("{values} + {} experts × ({expert})", wide(model.active_experts));
        }
        format!("{} tokens × ({values}) × {} bytes", wide(self.batch_tokens), model.value_bytes)
    }

    /// What libraries take.
    pub(super) fn libraries_equation(&self, whole: Printed) -> String {
        let [all, blackwell] = self.budget.library_bytes;
        let parts = Printed::parts(whole, &[all, blackwell]);
        match parts.as_slice() {
            [all, more] if blackwell > 0.0 => {
                format!("libraries, communication included, {} + Blackwell's {}", all.number(), more.number())
            }
            _ => "libraries, communication included".to_owned(),
        }
    }

    /// The buffers.
    pub(super) fn buffers_equation(&self, whole: Printed) -> String {
        let parts = Printed::parts(whole, &self.budget.buffer_bytes);
        let names = ["experts", "latent attention", "vision tower"];
        let terms = names.iter().zip(parts).filter(|(_, part)| part.0 > 0);
        terms.map(|(name, part)| format!("{name} {}", part.number())).collect::<Vec<_>>().join(" + ")
    }

    /// What is left for the cache, or what it is told to have.
    pub(super) fn left_equation(&self, parts: [Printed; 5]) -> String {
        match self.memory {
            CacheMemory::Bytes(bytes) => format!("{} bytes, as told", grouped(bytes)),
            CacheMemory::Blocks(blocks) => {
                format!("{} blocks × {} bytes", grouped(blocks), grouped(self.layout.block_bytes))
            }
            CacheMemory::LeftOver => {
                let [weights, activations, buffers, libraries, _] = parts;
                let mut taken: Vec<String> = Vec::from([weights.number(), activations.number()]);
                if buffers.0 > 0 {
                    taken.push(buffers.number());
                }
                taken.push(libraries.number());
                let share = format!("{} × {}", exact_gib(self.budget.total_bytes), self.utilization);
                match self.available_bytes {
                    0 => format!("max(0, {share} − {})", taken.join(" − ")),
                    _ => format!("{share} − {}", taken.join(" − ")),
                }
            }
        }
    }

    /// Blocks that one sequence of the longest length may hold, group by group.
    pub(super) fn sequence_equation(&self) -> String {
        let mut terms: Vec<(u32, String)> = Vec::new();
        for group in &self.layout.groups {
            let Some(layers) = group.layers.first() else { continue };
            let term = self.group_term(layers);
            match terms.last_mut() {
                Some((times, last)) if *last == term => *times = times.saturating_add(1),
                _ => terms.push((1, term)),
            }
        }
        let product = |(times, term): (u32, String)| match times {
            1 => term,
            _ => format!("{times} × {term}"),
        };
        terms.into_iter().map(product).collect::<Vec<_>>().join(" + ")
    }

    fn group_term(&self, layers: &GroupLayers) -> String {
        let settings = &self.settings;
        let wide = |number: u64| grouped(number);
        let block = wide(layers.block_size);
        let length = wide(settings.max_model_len.into());
        let in_flight = wide(settings.max_in_flight_tokens);
        match layers.kind {
            CacheKind::Full | CacheKind::Latent | CacheKind::Indexer => match settings.decode_context_parallel_size {
                0 | 1 => format!("⌈{length} / {block}⌉"),
                ranks => format!("⌈⌈{length} / {ranks}⌉ / {block}⌉"),
            },
            CacheKind::Sliding(window) => {
                format!("(⌈min({} − 1 + {in_flight}, {length}) / {block}⌉ + 1)", wide(window.into()))
            }
            CacheKind::Chunked(chunk) => {
                format!("⌈min({} + {in_flight}, {length}) / {block}⌉", wide(chunk.into()))
            }
            CacheKind::State { exports_checkpoint } => match (settings.enable_prefix_caching, exports_checkpoint) {
                (false, _) => "1".to_string(),
                (true, false) => "2".to_string(),
                (true, true) => "3".to_string(),
            },
            CacheKind::Cross(tokens) => format!("⌈{} / {block}⌉", wide(tokens.into())),
        }
    }

    /// The printed size of the cache.
    pub(super) fn tokens_equation(&self, per_request: u64) -> String {
        if !self.version.prints_slots() {
            let length = grouped(self.settings.max_model_len.into());
            return format!("⌊{} / {} × {length}⌋", grouped(self.num_blocks), grouped(per_request));
        }
        let groups = self.layout.groups.len();
        let sizes = self.layout.groups.iter().flat_map(|group| &group.layers).map(|layers| layers.block_size);
        let block = grouped(sizes.min().unwrap_or(0));
        let blocks = grouped(self.num_blocks);
        let each =
            if groups > 1 { format!("⌊{blocks} / {groups}⌋ × {block}") } else { format!("{blocks} × {block}") };
        match self.settings.decode_context_parallel_size {
            0 | 1 => each,
            ranks => format!("{each} × {ranks}"),
        }
    }
}

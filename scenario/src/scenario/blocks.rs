//! How much of the memory is left for keys and values, and what that allows.

use super::deployment::KnownDeployment;
use super::limits::{BLOCK_SIZES, KV_BYTES, NUM_BLOCKS};
use super::memory::{MemoryQuestion, NoBlocks};
use super::planned::PlannedServer;
use super::resolve::{ChosenLatency, Resolution};
use super::{BlocksSource, ClientSettings, KvGroups, Ledger, LengthSettings, MemoryLedger, WorkloadSettings};
use crate::catalog::{CoefficientRow, ModelSpec};
use crate::diagnostic::{Diagnostic, Severity};
use crate::kv_plan::KvDtype;
use crate::latency::LatencyModel;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// KV blocks where nothing better is known (latency specification 5.5).
const FALLBACK_BLOCKS: u64 = 1_000_000;

/// Tokens of the blocks that servers of the coefficient rows had.
const ROW_BLOCK_SIZE: u64 = 16;

/// The KV blocks in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChosenBlocks {
    pub blocks: u32,
    /// Tokens of a block, and what hits are a multiple of.
    pub block_size: u32,
    /// The groups of layers that share them; none where all keep all tokens.
    pub groups: KvGroups,
    /// Tokens of the longest sequence that fits, where that is no matter of the blocks alone.
    pub longest: Option<u32>,
    pub ledger: Option<Ledger>,
    /// Where the blocks come from, where that is worth a line.
    pub filled_in: Option<String>,
}

impl ChosenBlocks {
    /// Tokens whose keys and values fit.
    fn tokens(&self, is_vllm: bool) -> u64 {
        if let Some(longest) = self.longest {
            return longest.into();
        }
        // vLLM never gives out its first block.
        let usable = if is_vllm { self.blocks.saturating_sub(1) } else { self.blocks };
        u64::from(usable).saturating_mul(self.block_size.into())
    }
}

impl Resolution<'_> {
    /// Chooses the KV blocks by latency specification 5.5 and definitions 7.
    pub(super) fn blocks(
        &self,
        deployment: &KnownDeployment<'_>,
        latency: Option<&ChosenLatency<'_>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ChosenBlocks> {
        let engine = &self.scenario.engine;
        let kv_cache_dtype = self.kv_cache_dtype(diagnostics)?;
        let kv_value_bytes = kv_cache_dtype.stated_bytes().map(f64::from);
        let utilization = self.in_force.gpu_memory_utilization;
        // What is out of bounds has been reported; nothing that is computed from it would be true.
        let is_within_bounds = BLOCK_SIZES.contains(&engine.block_size)
            && engine.num_gpu_blocks.is_none_or(|blocks| NUM_BLOCKS.contains(&blocks))
            && engine.kv_cache_memory_bytes.is_none_or(|bytes| KV_BYTES.contains(&bytes))
            && utilization > 0.0
            && utilization <= 1.0;
        if !is_within_bounds {
            return None;
        }
        // A default that is spelled out is none that somebody chose.
        let is_usual = |share: f64| engine.is_vllm() && share == self.in_force.version.gpu_memory_utilization();
        let prefers_formula = engine.gpu_memory_utilization.is_some_and(|share| !is_usual(share))
            || kv_value_bytes.is_some()
            || engine.kv_cache_memory_bytes.is_some()
            || deployment.has_custom_accelerator;
        let used_row = latency.and_then(|latency| latency.row);
        let row_blocks = deployment.row(self.catalog).map(|row| self.blocks_of_row(row));
        if engine.is_vllm()
            && let Some(model) = deployment.model
            && let Some((footprint, accelerator)) = model.footprint.as_deref().zip(deployment.accelerator)
        {
            let server = PlannedServer { model, footprint, accelerator, kv_cache_dtype, latency };
            let used_row = used_row.filter(|_| !prefers_formula).map(|row| self.blocks_of_row(row));
            return self.planned(deployment, server, used_row, row_blocks, diagnostics);
        }
        let question = deployment.model.zip(deployment.accelerator).map(|(model, accelerator)| MemoryQuestion {
            model,
            accelerator,
            tensor_parallel_size: deployment.tensor_parallel_size,
            block_size: engine.block_size,
            utilization,
            kv_value_bytes,
        });
        let answer = question.map(|question| (question, question.answer()));

        let of_bytes = engine.kv_cache_memory_bytes.zip(answer.as_ref()).and_then(|(bytes, (_, (ledger, _)))| {
            let per_block = ledger.kv_bytes_per_token * f64::from(engine.block_size);
            // Both are far below 2⁵³, and `as` ends at the largest number.
            (per_block > 0.0).then(|| (bytes as f64 / per_block) as u64)
        });
        let (blocks, source) = match (engine.num_gpu_blocks.map(u64::from).or(of_bytes), used_row, &answer) {
            (Some(given), _, answer) => {
                if let Some((question, (ledger, Err(NoBlocks::DoesNotFit { .. })))) = answer {
                    diagnostics.push(self.does_not_fit(question, ledger, Severity::Warning));
                }
                (given, BlocksSource::Given)
            }
            (None, Some(row), _) if !prefers_formula => (self.blocks_of_row(row), BlocksSource::CoefficientRow),
            (None, _, Some((question, (_, Ok(blocks))))) => {
                self.note_formula(question, *blocks, diagnostics);
                (*blocks, BlocksSource::MemoryFormula)
            }
            (None, _, Some((question, (ledger, Err(NoBlocks::DoesNotFit { .. }))))) => {
                diagnostics.push(self.does_not_fit(question, ledger, Severity::Error));
                return None;
            }
            (None, used_row, answer) => {
                let (path, reason) = match answer {
                    Some((_, (_, Err(NoBlocks::Unknown { field, message })))) => {
                        (format!("deployment.model.{field}"), message.clone())
                    }
                    _ => (
                        "engine.num_gpu_blocks".to_string(),
                        "model or accelerator are not known well enough".to_string(),
                    ),
                };
                let message = format!("the memory formula cannot be used: {reason}");
                let code = "memory-formula-unavailable";
                match used_row {
                    Some(row) => {
                        diagnostics.push(Diagnostic::warning(code, path, message).with_hint(
                            "the KV blocks of the coefficient row are used; set engine.num_gpu_blocks to override",
                        ));
                        (self.blocks_of_row(row), BlocksSource::CoefficientRow)
                    }
                    None if answer.is_some() => {
                        diagnostics.push(Diagnostic::error(code, path, message).with_hint("set engine.num_gpu_blocks"));
                        return None;
                    }
                    None => {
                        diagnostics.push(
                            Diagnostic::warning(code, path, message)
                                .with_hint(format!("{FALLBACK_BLOCKS} blocks are assumed; set engine.num_gpu_blocks")),
                        );
                        (FALLBACK_BLOCKS, BlocksSource::Fallback)
                    }
                }
            }
        };
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        let ledger =
            answer.map(|(_, (ledger, _))| MemoryLedger { row_blocks, blocks: u64::from(blocks), source, ..ledger });
        if engine.is_vllm() && source == BlocksSource::MemoryFormula {
            let message =
                "the layers of this model are not described, so the KV blocks are by the formula of the reference";
            let hint = "give the model's config.json, or set engine.num_gpu_blocks to what the server logs";
            diagnostics.push(Diagnostic::warning("layers-not-described", "deployment.model", message).with_hint(hint));
        }
        Some(ChosenBlocks {
            blocks,
            block_size: engine.block_size,
            groups: KvGroups::default(),
            longest: None,
            ledger: ledger.map(Ledger::Reference),
            filled_in: None,
        })
    }

    /// The blocks of a coefficient row; vLLM keeps as many tokens when the size of its blocks changes.
    fn blocks_of_row(&self, row: &CoefficientRow) -> u64 {
        let blocks = u64::from(row.total_kv_blocks);
        match self.scenario.engine.is_vllm() {
            true => {
                blocks.saturating_mul(ROW_BLOCK_SIZE).checked_div(self.scenario.engine.block_size.into()).unwrap_or(0)
            }
            false => blocks,
        }
    }

    /// The type of cached keys and values; none if the scenario names an unknown one.
    fn kv_cache_dtype(&self, diagnostics: &mut Vec<Diagnostic>) -> Option<KvDtype> {
        let Some(name) = &self.scenario.engine.kv_cache_dtype else { return Some(KvDtype::Auto) };
        let is_vllm = self.scenario.engine.is_vllm();
        let dtype = if is_vllm { KvDtype::of_server(name) } else { KvDtype::named(name) };
        match dtype {
            Some(KvDtype::Auto) => {}
            Some(_) => diagnostics.push(Diagnostic::note(
                "kv-cache-dtype-capacity-only",
                "engine.kv_cache_dtype",
                format!("kv_cache_dtype {name} changes how many KV blocks fit; step times keep their own value size"),
            )),
            None => diagnostics.push(
                Diagnostic::error("invalid-value", "engine.kv_cache_dtype", format!("kv_cache_dtype is {name}"))
                    .with_hint(if is_vllm {
                        format!("known are {}", KvDtype::SERVED)
                    } else {
                        "valid are auto, fp8, fp8_e4m3, fp8_e5m2, int8, float16, bfloat16, float32".to_string()
                    }),
            ),
        }
        dtype
    }

    fn note_formula(&self, question: &MemoryQuestion<'_>, blocks: u64, diagnostics: &mut Vec<Diagnostic>) {
        let tp = question.tensor_parallel_size;
        if tp > 1 {
            let share = blocks / u64::from(tp);
            diagnostics.push(
                Diagnostic::note(
                    "kv-blocks-optimistic",
                    "engine.num_gpu_blocks",
                    format!("the memory formula gives {blocks} KV blocks by the reference's rule, which counts the memory of all {tp} accelerators but the keys and values on one"),
                )
                .with_hint(format!("a server logs nearer to {share}; set engine.num_gpu_blocks to what yours logs")),
            );
        }
    }

    /// The model does not fit, with the smallest parallelism at which it would.
    fn does_not_fit(&self, question: &MemoryQuestion<'_>, ledger: &MemoryLedger, severity: Severity) -> Diagnostic {
        let needed = (ledger.weight_bytes + ledger.activation_bytes + ledger.overhead_bytes) / 1e9;
        let usable = ledger.usable_bytes / 1e9;
        let message = format!(
            "{} needs {needed:.0} GB ({:.0} GB of it weights) but each replica has {usable:.0} GB",
            question.model.id,
            ledger.weight_bytes / 1e9
        );
        let model = question.model;
        let smallest = [2, 4, 8, 16, 32, 64].into_iter().find(|&tp| {
            tp > question.tensor_parallel_size
                && model.num_attention_heads.is_multiple_of(tp)
                && MemoryQuestion { tensor_parallel_size: tp, ..*question }.answer().1.is_ok()
        });
        let hint = match smallest {
            Some(tp) => {
                format!("raise tensor_parallel_size to {tp}, or choose narrower weights or a larger accelerator")
            }
            None => "choose narrower weights or a larger accelerator".to_string(),
        };
        let path = "deployment.tensor_parallel_size";
        let diagnostic = match severity {
            Severity::Error => Diagnostic::error("model-does-not-fit", path, message),
            Severity::Warning | Severity::Note => Diagnostic::warning("model-does-not-fit", path, message),
        };
        diagnostic.with_hint(hint)
    }

    /// The longest request by latency specification 5.6; 0 = no limit.
    pub(super) fn max_model_len(
        &self,
        deployment: &KnownDeployment<'_>,
        latency: &ChosenLatency<'_>,
        memory: &ChosenBlocks,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> u32 {
        let capacity = memory.tokens(self.scenario.engine.is_vllm());
        if capacity == 0 {
            let message = format!("num_gpu_blocks is {}, and vLLM keeps one block for itself", memory.blocks);
            let diagnostic = Diagnostic::error("kv-cache-too-small", "engine.num_gpu_blocks", message);
            diagnostics.push(diagnostic.with_hint("give at least 2 blocks"));
        }
        match (self.scenario.engine.max_model_len, &latency.model) {
            (Some(given), _) => {
                if u64::from(given) > capacity {
                    diagnostics.push(
                        Diagnostic::error(
                            "kv-cache-too-small",
                            "engine.max_model_len",
                            format!("max_model_len is {given} but the KV cache holds {capacity} tokens"),
                        )
                        .with_hint(format!("lower max_model_len to {capacity} or give the cache more blocks")),
                    );
                }
                given
            }
            (None, LatencyModel::Blackbox(_)) if !self.scenario.engine.is_vllm() => 0,
            (None, _) => {
                let derived = deployment.model.map_or(0, ModelSpec::longest_context);
                if self.scenario.engine.is_vllm() && capacity > 0 && derived > capacity {
                    let message = format!("max_model_len is {capacity}, all that the KV cache holds");
                    let hint = format!("a server that is told no length refuses to start: the model's is {derived}");
                    diagnostics.push(
                        Diagnostic::note("length-limited-by-cache", "engine.max_model_len", message).with_hint(hint),
                    );
                }
                u32::try_from(derived.min(capacity)).unwrap_or(u32::MAX)
            }
        }
    }

    /// Warns where the workload asks more of the KV cache than it can hold.
    pub(super) fn workload_fits(
        &self,
        workload: &WorkloadSettings,
        memory: &ChosenBlocks,
        max_model_len: u32,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        if workload.trace.is_some() {
            return;
        }
        let capacity = memory.tokens(self.scenario.engine.is_vllm());
        let limit = if max_model_len > 0 { u64::from(max_model_len).min(capacity) } else { capacity };
        let what = if limit < capacity { "max_model_len" } else { "the KV cache" };
        let (mut weights, mut typical) = (0.0, 0.0);
        for kind in kinds(workload) {
            if kind.longest > limit as f64 {
                // Beyond the usual maximum a distribution goes on, up to its bound.
                let rest = if kind.is_bounded {
                    ""
                } else {
                    " (about one prompt and one answer in a thousand are longer still)"
                };
                diagnostics.push(
                    Diagnostic::warning(
                        "requests-too-long",
                        kind.path,
                        format!("requests of up to {:.0} tokens arrive{rest}, but {what} allows {limit}", kind.longest),
                    )
                    .with_hint("longer ones are dropped or cut; shorten the lengths or raise the limit"),
                );
            }
            weights += kind.weight;
            typical += kind.weight * kind.typical;
        }
        let holds = capacity as f64 / (typical / weights);
        let max_num_seqs = self.in_force.limits.max_num_seqs;
        // A server's own default is no wish for such a batch.
        let is_wished = self.scenario.engine.max_num_seqs.is_some() || !self.scenario.engine.is_vllm();
        if is_wished && holds < f64::from(max_num_seqs) {
            diagnostics.push(
                Diagnostic::warning(
                    "kv-cache-limits-batch",
                    "engine.max_num_seqs",
                    format!("the KV cache holds about {holds:.0} requests of this workload, fewer than max_num_seqs {max_num_seqs}"),
                )
                .with_hint("under load requests wait for KV blocks or are preempted; this is a limit of memory, not of max_num_seqs"),
            );
        }
    }
}

/// The sizes of one kind of requests, tokens.
struct Kind {
    path: String,
    /// Share among all kinds, not normalized.
    weight: f64,
    typical: f64,
    longest: f64,
    is_bounded: bool,
}

/// The kinds of requests a workload has: one, or one per client.
fn kinds(workload: &WorkloadSettings) -> Vec<Kind> {
    if workload.clients.is_empty() {
        let (input, output) = (&workload.input_tokens, &workload.output_tokens);
        let prefix = f64::from(workload.prefix.tokens);
        return alloc::vec![Kind {
            path: "workload.input_tokens".into(),
            weight: 1.0,
            typical: prefix * workload.prefix.share_ratio + input.mean() + output.mean(),
            longest: prefix + input.usual_maximum() + output.usual_maximum(),
            is_bounded: input.is_bounded() && output.is_bounded(),
        }];
    }
    let kind = |(index, client): (usize, &ClientSettings)| {
        let prefix = if client.prefix_group.is_empty() { 0.0 } else { f64::from(client.prefix_tokens) };
        // A conversation is longest in its last turn and half as long on average.
        let turns = client.session.filter(|session| session.accumulates).map_or(1, |session| session.max_rounds);
        let of = |size: fn(&LengthSettings) -> f64| input_of(client, size) + size(&client.output_tokens);
        Kind {
            path: format!("workload.clients[{index}]"),
            weight: client.closed_loop.map_or(client.rate_fraction, |users| f64::from(users.concurrency)),
            typical: prefix + of(LengthSettings::mean) * (f64::from(turns) + 1.0) / 2.0,
            longest: prefix + of(LengthSettings::usual_maximum) * f64::from(turns),
            is_bounded: client.multimodal.is_none()
                && client.input_tokens.is_bounded()
                && client.output_tokens.is_bounded(),
        }
    };
    workload.clients.iter().enumerate().map(kind).collect()
}

/// Some size of a client's prompts, all modalities together.
fn input_of(client: &ClientSettings, size: fn(&LengthSettings) -> f64) -> f64 {
    let Some(parts) = &client.multimodal else { return size(&client.input_tokens) };
    let items = [&parts.image, &parts.audio, &parts.video].into_iter().flatten();
    parts.text.as_ref().map_or(0.0, size) + items.map(|item| size(&item.tokens) * size(&item.count)).sum::<f64>()
}

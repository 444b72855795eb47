//! What happens at the door (scheduler specification F).

use super::groups::Groups;
use crate::scenario::{EngineConfig, VllmRules};
use crate::workload::Request;

/// The answer tokens a request will get, or none if it is refused at the door.
///
/// The server stops at `max_model_len` whatever the client asks for; a prompt without room for an answer, an absurd limit,
/// and where there is no `max_model_len` a request that would not fit alone, are refused.
pub(super) fn answer_tokens(request: &Request, config: &EngineConfig, groups: &Groups) -> Option<u32> {
    let (prompt, limit) = (request.input_tokens, config.max_model_len);
    let mut answer = request.output_tokens.max(1);
    if limit > 0 {
        if prompt >= limit || request.answer_limit > limit {
            return None;
        }
        answer = answer.min(limit - prompt);
    }
    // The last token is never stored, and one block is the server's own.
    let needed = u64::from(prompt) + u64::from(answer) - 1;
    (groups.alone(needed) <= u64::from(config.num_blocks.saturating_sub(1))).then_some(answer)
}

/// The long-prefill threshold of a call that sees `count` requests (scheduler specification C1); 0 = none.
#[inline]
pub(super) fn threshold(config: &EngineConfig, rules: &VllmRules, count: u32) -> u32 {
    let threshold = config.long_prefill_token_threshold;
    if threshold == 0 || (rules.is_lone_prompt_spared && count <= 1) {
        0
    } else if rules.is_threshold_adaptive {
        threshold.max(config.max_num_batched_tokens / count.max(1))
    } else {
        threshold
    }
}

/// Tokens of a chunk: no more than are left, than the threshold lets through, than the budget has.
#[inline]
pub(super) fn chunk(left: u32, threshold: u32, budget: u32) -> u32 {
    let tokens = if threshold > 0 && threshold < left { threshold } else { left };
    tokens.min(budget)
}

/// Blocks that stay free when a request is admitted beside others (scheduler specification B3).
pub(super) fn reserved_blocks(config: &EngineConfig, rules: &VllmRules) -> u32 {
    // Between 0 and the number of blocks.
    (rules.watermark * f64::from(config.num_blocks)) as u32
}

/// Leading blocks of a prompt that count as cached whatever is found: the given share of it, the block of its last token
/// left out.
///
/// Whole blocks are rounded so that a run has the share: the fraction from which on request `i` rounds up is `i` golden
/// sections from one half, modulo one. These lie evenly in every stretch of a run and in every part of one in which the
/// numbers of requests go up evenly, and depend on the request alone, so that it is the same at every rate.
pub(super) fn given_blocks(request: &Request, config: &EngineConfig, rules: &VllmRules) -> u32 {
    /// The golden section of 2³².
    const SECTION: u32 = 0x9e37_79b9;
    if rules.prefix_hit_ratio == 0.0 || !config.enable_prefix_caching {
        return 0;
    }
    let up = f64::from(request.id.wrapping_mul(SECTION).wrapping_add(1 << 31)) / 4_294_967_296.0;
    let blocks = rules.prefix_hit_ratio * f64::from(request.input_tokens) / f64::from(config.block_size);
    // Between 0 and the blocks of the prompt, and one.
    ((blocks + up) as u32).min(request.input_tokens.saturating_sub(1) / config.block_size)
}

/// The same limits with the batch no larger than may be active at a time.
pub(in crate::engine) fn limited(config: EngineConfig, rules: &VllmRules) -> EngineConfig {
    let most = if rules.max_num_active_seqs > 0 { rules.max_num_active_seqs } else { u32::MAX };
    EngineConfig { max_num_seqs: config.max_num_seqs.min(most), ..config }
}

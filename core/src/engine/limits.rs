//! Which requests can never be served (engine specification 4, rules 2 to 6b).

use crate::scenario::EngineConfig;
use crate::workload::Request;

/// Whether the request is dropped at the door; fills in the answer limit that `max_model_len` implies.
pub(super) fn is_dropped(request: &Request, config: &EngineConfig, answer_limit: &mut u32) -> bool {
    let (prompt, limit) = (u64::from(request.input_tokens), u64::from(config.max_model_len));
    if limit > 0 {
        if *answer_limit == 0 && prompt < limit {
            *answer_limit = config.max_model_len - request.input_tokens;
        }
        if prompt >= limit || (*answer_limit > 0 && prompt + u64::from(*answer_limit) > limit) {
            return true;
        }
    }
    // More blocks than there are, for the prompt or with all of the output; the second is never fewer.
    let needed = prompt + u64::from(request.output_tokens.max(1)) - 1;
    needed > u64::from(config.block_size) * u64::from(config.num_blocks)
}

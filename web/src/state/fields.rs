//! Every number of the editor as data: its path, unit, range and help. The desk reads and writes it.
//!
//! The range is what the slider offers and what the field explains; `resolve` has the last word.

use crate::view_model::format::Unit;
use plimsoll_json::decimal;

/// How a slider's way is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal steps of this size.
    Linear(f64),
    /// Equal factors; values are rounded to two digits.
    Logarithmic,
}

/// One number of the scenario.
#[derive(Clone, Copy)]
pub struct Field {
    /// Field path, as diagnostics name it.
    pub path: &'static str,
    /// Name of the control.
    pub label: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Least and greatest value the slider offers.
    pub range: [f64; 2],
    /// How the slider moves.
    pub scale: Scale,
    /// Whether only whole numbers make sense.
    pub is_whole: bool,
    /// What an empty field means; none if a number is needed.
    pub when_empty: Option<&'static str>,
}

impl Field {
    /// Position of a value on the slider, 0–1000.
    #[must_use]
    pub fn to_slider(&self, value: f64) -> f64 {
        let [low, high] = self.range;
        let value = value.clamp(low, high);
        let share = match self.scale {
            Scale::Linear(_) => (value - low) / (high - low),
            Scale::Logarithmic => (value.max(low) / low).ln() / (high / low).ln(),
        };
        (share * 1000.0).round()
    }

    /// The value at a position of the slider, 0–1000.
    #[must_use]
    pub fn from_slider(&self, position: f64) -> f64 {
        let [low, high] = self.range;
        if position >= 1000.0 {
            return high;
        }
        let share = (position / 1000.0).max(0.0);
        let value = match self.scale {
            Scale::Linear(step) => ((low + share * (high - low)) / step).round() * step,
            Scale::Logarithmic => {
                let value = low * (high / low).powf(share);
                // Two digits below a hundred, three above: fine enough to move by every pixel.
                let digits = if value < 100.0 { 1 } else { 2 };
                decimal::read(&format!("{value:.digits$e}")).unwrap_or(value)
            }
        };
        let value = if self.is_whole { value.round() } else { (value * 1e9).round() / 1e9 };
        value.clamp(low, high)
    }

    /// The value one arrow key away: a slider step, ten with Shift.
    #[must_use]
    pub fn stepped(&self, value: f64, steps: f64) -> f64 {
        let stepped = match self.scale {
            Scale::Linear(step) => value + steps * step,
            Scale::Logarithmic if self.is_whole => {
                // About two hundred steps from end to end, and at least one.
                let step = (value.abs() * 0.02).max(1.0);
                let step = decimal::read(&format!("{step:.0e}")).unwrap_or(1.0);
                value + steps * step
            }
            Scale::Logarithmic => value * 1.02_f64.powf(steps),
        };
        let stepped = if self.is_whole { stepped.round() } else { (stepped * 1e6).round() / 1e6 };
        stepped.max(0.0)
    }

    /// What is unusual about a value, in words; it is kept all the same.
    #[must_use]
    pub fn remark(&self, value: f64) -> Option<String> {
        let [low, high] = self.range;
        if self.is_whole && value.fract() != 0.0 {
            return Some("only whole numbers can be used".into());
        }
        if value < 0.0 {
            return Some("cannot be negative".into());
        }
        (value < low || value > high).then(|| {
            let text = |value| crate::view_model::format::field_text(value, self.unit);
            format!("outside the usual range of {} to {} {}", text(low), text(high), self.unit.symbol())
                .trim_end()
                .to_owned()
        })
    }
}

const BASE: Field = Field {
    path: "",
    label: "",
    help: "",
    unit: Unit::Count,
    range: [1.0, 100.0],
    scale: Scale::Logarithmic,
    is_whole: true,
    when_empty: None,
};

/// Settings of the serving engine.
pub const ENGINE: [Field; 9] = [
    Field {
        path: "engine.max_num_seqs",
        label: "max_num_seqs",
        help: "Most requests in one batch. Empty: by server version and accelerator.",
        range: [1.0, 1024.0],
        when_empty: Some("default"),
        ..BASE
    },
    Field {
        path: "engine.max_num_batched_tokens",
        label: "max_num_batched_tokens",
        help: "Token budget of one step; prompts are chunked to fit. Empty: by server version and accelerator.",
        unit: Unit::Tokens,
        range: [128.0, 32_768.0],
        when_empty: Some("default"),
        ..BASE
    },
    Field {
        path: "engine.gpu_memory_utilization",
        label: "gpu_memory_utilization",
        help: "Share of accelerator memory the server may use. Empty: by server version, or the catalogue's number of KV blocks.",
        unit: Unit::Percent,
        range: [0.3, 0.98],
        scale: Scale::Linear(0.01),
        is_whole: false,
        when_empty: Some("default"),
    },
    Field {
        path: "engine.num_gpu_blocks",
        label: "num_gpu_blocks",
        help: "KV blocks per replica. Empty: from the memory or the catalogue.",
        range: [64.0, 200_000.0],
        when_empty: Some("computed"),
        ..BASE
    },
    Field {
        path: "engine.max_model_len",
        label: "max_model_len",
        help: "Longest prompt plus output. Empty: from the model and the KV cache; 0: no limit.",
        unit: Unit::Tokens,
        range: [256.0, 262_144.0],
        when_empty: Some("derived"),
        ..BASE
    },
    Field {
        path: "engine.long_prefill_token_threshold",
        label: "long_prefill_token_threshold",
        help: "Longest chunk of one prompt in one step; 0 leaves it to the token budget.",
        unit: Unit::Tokens,
        range: [0.0, 8192.0],
        scale: Scale::Linear(64.0),
        ..BASE
    },
    Field {
        path: "engine.block_size",
        label: "block_size",
        help: "Tokens per KV block.",
        unit: Unit::Tokens,
        range: [8.0, 128.0],
        ..BASE
    },
    Field {
        path: "engine.max_num_active_seqs",
        label: "max_num_active_seqs",
        help: "Most requests in one batch where that is fewer than max_num_seqs. Empty: no such limit.",
        range: [1.0, 1024.0],
        when_empty: Some("no limit"),
        ..BASE
    },
    Field {
        path: "engine.watermark",
        label: "watermark",
        help: "Share of the KV blocks that stays free when a request is admitted beside others.",
        unit: Unit::Percent,
        range: [0.0, 0.5],
        scale: Scale::Linear(0.01),
        is_whole: false,
        ..BASE
    },
];

/// Replicas, and the bucket that may stand in front of them.
pub const CLUSTER: [Field; 3] = [
    Field {
        path: "cluster.num_replicas",
        label: "Replicas",
        help: "All alike. The request rate is offered to all of them together.",
        range: [1.0, 64.0],
        ..BASE
    },
    Field {
        path: "cluster.admission.token_bucket_capacity",
        label: "token_bucket_capacity",
        help: "Prompt tokens the full bucket holds; only token-bucket admission looks at it.",
        unit: Unit::Tokens,
        range: [100.0, 1_000_000.0],
        ..BASE
    },
    Field {
        path: "cluster.admission.token_bucket_refill_rate",
        label: "token_bucket_refill_rate",
        help: "Prompt tokens that flow into the bucket per second.",
        range: [10.0, 1_000_000.0],
        ..BASE
    },
];

/// What arrives.
pub const WORKLOAD: [Field; 5] = [
    Field {
        path: "workload.input_tokens",
        label: "Input tokens, mean",
        help: "Prompt tokens of one's own, without the shared prefix.",
        unit: Unit::Tokens,
        range: [16.0, 8192.0],
        ..BASE
    },
    Field {
        path: "workload.input_tokens.std_dev",
        label: "Input tokens, spread",
        help: "Standard deviation before clamping to the shortest and longest length.",
        unit: Unit::Tokens,
        range: [0.0, 4096.0],
        scale: Scale::Linear(8.0),
        is_whole: false,
        ..BASE
    },
    Field {
        path: "workload.output_tokens",
        label: "Output tokens, mean",
        help: "Tokens generated per request.",
        unit: Unit::Tokens,
        range: [4.0, 4096.0],
        ..BASE
    },
    Field {
        path: "workload.output_tokens.std_dev",
        label: "Output tokens, spread",
        help: "Standard deviation before clamping to the shortest and longest length.",
        unit: Unit::Tokens,
        range: [0.0, 4096.0],
        scale: Scale::Linear(8.0),
        is_whole: false,
        ..BASE
    },
    Field {
        path: "workload.arrival",
        label: "Burstiness (cv)",
        help: "Variation of the gaps between arrivals: 0 constant, 1 poisson, above 1 bursts (gamma).",
        unit: Unit::None,
        range: [0.0, 4.0],
        scale: Scale::Linear(0.1),
        is_whole: false,
        ..BASE
    },
];

/// What requests share.
pub const PREFIX: [Field; 3] = [
    Field {
        path: "workload.prefix.tokens",
        label: "Shared prefix",
        help: "Prompt tokens shared with other requests, in front of one's own; 0 for none.",
        unit: Unit::Tokens,
        range: [0.0, 16_384.0],
        scale: Scale::Linear(64.0),
        ..BASE
    },
    Field {
        path: "workload.prefix.groups",
        label: "Prefix groups",
        help: "How many different shared prefixes there are.",
        range: [1.0, 1000.0],
        ..BASE
    },
    Field {
        path: "workload.prefix.share_ratio",
        label: "Requests with a prefix",
        help: "Share of the requests that carry a shared prefix.",
        unit: Unit::Percent,
        range: [0.0, 1.0],
        scale: Scale::Linear(0.01),
        is_whole: false,
        ..BASE
    },
];

/// What a server's counters say of the prefix cache; traces and clients have it too.
pub const PREFIX_HIT_RATIO: Field = Field {
    path: "workload.prefix_hit_ratio",
    label: "Prefix hit ratio",
    help: "Share of each prompt that is cached: hits over queries in a server's /metrics. 0: what is found alone.",
    unit: Unit::Percent,
    range: [0.0, 1.0],
    scale: Scale::Linear(0.01),
    is_whole: false,
    ..BASE
};

/// What must hold.
pub const SLO: [Field; 5] = [
    Field {
        path: "slo.ttft_ms",
        label: "TTFT at most",
        help: "Time to first token, at the percentile above. Empty: no limit.",
        unit: Unit::Milliseconds,
        range: [20.0, 20_000.0],
        is_whole: false,
        when_empty: Some("no limit"),
        ..BASE
    },
    Field {
        path: "slo.tpot_ms",
        label: "TPOT at most",
        help: "Time per output token after the first, per request. Empty: no limit.",
        unit: Unit::Milliseconds,
        range: [2.0, 500.0],
        is_whole: false,
        when_empty: Some("no limit"),
        ..BASE
    },
    Field {
        path: "slo.itl_ms",
        label: "ITL at most",
        help: "Single gaps between output tokens, all requests pooled. Empty: no limit.",
        unit: Unit::Milliseconds,
        range: [2.0, 1000.0],
        is_whole: false,
        when_empty: Some("no limit"),
        ..BASE
    },
    Field {
        path: "slo.e2e_ms",
        label: "E2E at most",
        help: "Arrival to last output token. Empty: no limit.",
        unit: Unit::Milliseconds,
        range: [100.0, 300_000.0],
        is_whole: false,
        when_empty: Some("no limit"),
        ..BASE
    },
    Field {
        path: "slo.attainment",
        label: "Requests that attain it",
        help: "Least share of requests that must keep every limit above.",
        unit: Unit::Percent,
        range: [0.5, 1.0],
        scale: Scale::Linear(0.005),
        is_whole: false,
        ..BASE
    },
];

/// Whether a path is that of a field or of something inside it that no other number stands for.
#[must_use]
pub fn belongs_to(path: &str, field: &str) -> bool {
    is_at(path, field) && !all().any(|other| other.path.len() > field.len() && is_at(path, other.path))
}

/// Whether a path is that of a field or of something inside it.
fn is_at(path: &str, field: &str) -> bool {
    path == field || path.strip_prefix(field).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// All numbers.
fn all() -> impl Iterator<Item = Field> {
    ENGINE.into_iter().chain(CLUSTER).chain(WORKLOAD).chain(PREFIX).chain([PREFIX_HIT_RATIO]).chain(SLO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_stands_at_one_number_alone() {
        let at = |path: &str| -> Vec<&str> {
            all().map(|field| field.path).filter(|field| belongs_to(path, field)).collect()
        };
        assert_eq!(at("workload.input_tokens"), ["workload.input_tokens"]);
        assert_eq!(at("workload.input_tokens.mean"), ["workload.input_tokens"]);
        assert_eq!(at("workload.input_tokens.std_dev"), ["workload.input_tokens.std_dev"]);
        assert!(at("workload.input_tokens_of_others").is_empty());
        assert!(belongs_to("workload.trace.window_s[1]", "workload.trace"));
    }

    #[test]
    fn sliders_reach_both_ends_and_find_the_way_back() {
        for field in all() {
            let [low, high] = field.range;
            assert_eq!((field.from_slider(0.0), field.from_slider(1000.0)), (low, high), "{}", field.path);
            for position in [0.0, 250.0, 600.0, 1000.0] {
                let back = field.to_slider(field.from_slider(position));
                assert!((back - position).abs() <= 25.0, "{} at {position}: {back}", field.path);
            }
        }
    }

    #[test]
    fn remarks_explain_and_do_not_clamp() {
        let [max_num_seqs, ..] = ENGINE;
        assert_eq!(max_num_seqs.remark(256.0), None);
        assert_eq!(max_num_seqs.remark(5000.0).as_deref(), Some("outside the usual range of 1 to 1024"));
        assert_eq!(max_num_seqs.remark(2.5).as_deref(), Some("only whole numbers can be used"));
        assert_eq!(max_num_seqs.stepped(256.0, 1.0), 261.0);
        assert_eq!(max_num_seqs.stepped(3.0, -10.0), 0.0);
    }
}

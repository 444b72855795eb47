//! The numbers of the editor: where each lies in the scenario.

use plimsoll_core::scenario::{ArrivalSettings, LengthSettings, Scenario};

/// One number of the scenario.
#[derive(Clone, Copy)]
pub struct Number {
    /// Field path, as diagnostics name it.
    pub path: &'static str,
    /// Reads it.
    pub get: fn(&Scenario) -> Option<f64>,
    /// Writes it; the value is finite and not negative.
    pub set: fn(&mut Scenario, Option<f64>),
}

impl Number {
    /// The number of this path.
    #[must_use]
    pub fn of(path: &str) -> Option<&'static Self> {
        NUMBERS.iter().find(|number| number.path == path)
    }
}

/// All numbers of the editor.
pub const NUMBERS: &[Number] = &[
    Number {
        path: "engine.max_num_seqs",
        get: |s| s.engine.max_num_seqs.map(f64::from),
        set: |s, v| s.engine.max_num_seqs = v.map(whole),
    },
    Number {
        path: "engine.max_num_active_seqs",
        get: |s| s.engine.max_num_active_seqs.map(f64::from),
        set: |s, v| s.engine.max_num_active_seqs = v.map(whole),
    },
    Number {
        path: "engine.watermark",
        get: |s| Some(s.engine.watermark),
        set: |s, v| required(|v| s.engine.watermark = v, v),
    },
    Number {
        path: "engine.max_num_batched_tokens",
        get: |s| s.engine.max_num_batched_tokens.map(f64::from),
        set: |s, v| s.engine.max_num_batched_tokens = v.map(whole),
    },
    Number {
        path: "engine.gpu_memory_utilization",
        get: |s| s.engine.gpu_memory_utilization,
        set: |s, v| s.engine.gpu_memory_utilization = v,
    },
    Number {
        path: "engine.num_gpu_blocks",
        get: |s| s.engine.num_gpu_blocks.map(f64::from),
        set: |s, v| s.engine.num_gpu_blocks = v.map(whole),
    },
    Number {
        path: "engine.max_model_len",
        get: |s| s.engine.max_model_len.map(f64::from),
        set: |s, v| s.engine.max_model_len = v.map(whole),
    },
    Number {
        path: "engine.long_prefill_token_threshold",
        get: |s| Some(f64::from(s.engine.long_prefill_token_threshold)),
        set: |s, v| required(|v| s.engine.long_prefill_token_threshold = whole(v), v),
    },
    Number {
        path: "engine.block_size",
        get: |s| Some(f64::from(s.engine.block_size)),
        set: |s, v| required(|v| s.engine.block_size = whole(v), v),
    },
    Number {
        path: "cluster.num_replicas",
        get: |s| Some(f64::from(s.cluster.num_replicas)),
        set: |s, v| required(|v| s.cluster.num_replicas = whole(v), v),
    },
    Number {
        path: "cluster.admission.token_bucket_capacity",
        get: |s| Some(s.cluster.admission.token_bucket_capacity),
        set: |s, v| required(|v| s.cluster.admission.token_bucket_capacity = v, v),
    },
    Number {
        path: "cluster.admission.token_bucket_refill_rate",
        get: |s| Some(s.cluster.admission.token_bucket_refill_rate),
        set: |s, v| required(|v| s.cluster.admission.token_bucket_refill_rate = v, v),
    },
    Number {
        path: "workload.input_tokens",
        get: |s| Some(s.workload.input_tokens.mean()),
        set: |s, v| required(|v| set_mean(&mut s.workload.input_tokens, v), v),
    },
    Number {
        path: "workload.input_tokens.std_dev",
        get: |s| Some(s.workload.input_tokens.std_dev()),
        set: |s, v| required(|v| set_std_dev(&mut s.workload.input_tokens, v), v),
    },
    Number {
        path: "workload.output_tokens",
        get: |s| Some(s.workload.output_tokens.mean()),
        set: |s, v| required(|v| set_mean(&mut s.workload.output_tokens, v), v),
    },
    Number {
        path: "workload.output_tokens.std_dev",
        get: |s| Some(s.workload.output_tokens.std_dev()),
        set: |s, v| required(|v| set_std_dev(&mut s.workload.output_tokens, v), v),
    },
    Number {
        path: "workload.arrival",
        get: |s| Some(burstiness(s.workload.arrival)),
        set: |s, v| required(|v| s.workload.arrival = arrival(s.workload.arrival, v), v),
    },
    Number {
        path: "workload.prefix.tokens",
        get: |s| Some(f64::from(s.workload.prefix.tokens)),
        set: |s, v| required(|v| s.workload.prefix.tokens = whole(v), v),
    },
    Number {
        path: "workload.prefix.groups",
        get: |s| Some(f64::from(s.workload.prefix.groups)),
        set: |s, v| required(|v| s.workload.prefix.groups = whole(v), v),
    },
    Number {
        path: "workload.prefix.share_ratio",
        get: |s| Some(s.workload.prefix.share_ratio),
        set: |s, v| required(|v| s.workload.prefix.share_ratio = v, v),
    },
    Number {
        path: "workload.prefix_hit_ratio",
        get: |s| Some(s.workload.prefix_hit_ratio),
        set: |s, v| required(|v| s.workload.prefix_hit_ratio = v, v),
    },
    Number { path: "slo.ttft_ms", get: |s| s.slo.ttft_ms, set: |s, v| s.slo.ttft_ms = v },
    Number { path: "slo.tpot_ms", get: |s| s.slo.tpot_ms, set: |s, v| s.slo.tpot_ms = v },
    Number { path: "slo.itl_ms", get: |s| s.slo.itl_ms, set: |s, v| s.slo.itl_ms = v },
    Number { path: "slo.e2e_ms", get: |s| s.slo.e2e_ms, set: |s, v| s.slo.e2e_ms = v },
    Number {
        path: "slo.attainment",
        get: |s| Some(s.slo.attainment),
        set: |s, v| required(|v| s.slo.attainment = v, v),
    },
    Number {
        path: "slo.percentile",
        get: |s| Some(s.slo.percentile),
        set: |s, v| required(|v| s.slo.percentile = v, v),
    },
];

/// A count from a field's number: rounded, and no larger than the type holds.
fn whole(value: f64) -> u32 {
    // `as` saturates, which is what a field that takes any text needs; `resolve` then says what is wrong with it.
    value.round() as u32
}

fn required(set: impl FnOnce(f64), value: Option<f64>) {
    if let Some(value) = value {
        set(value);
    }
}

fn set_mean(lengths: &mut LengthSettings, new: f64) {
    match lengths {
        LengthSettings::Normal { mean, max, .. } | LengthSettings::Lognormal { mean, max, .. } => {
            *mean = new;
            // The longest length follows a mean that passes it; otherwise every request would be that long.
            *max = (*max).max(whole(new * 4.0));
        }
        LengthSettings::Exponential { mean } => *mean = new,
        LengthSettings::Constant { value } => *value = whole(new),
        LengthSettings::ParetoLognormal { .. } | LengthSettings::Empirical { .. } => {
            *lengths = normal(new, lengths.std_dev());
        }
    }
}

fn set_std_dev(lengths: &mut LengthSettings, new: f64) {
    match lengths {
        LengthSettings::Normal { std_dev, .. } | LengthSettings::Lognormal { std_dev, .. } => *std_dev = new,
        _ => *lengths = normal(lengths.mean(), new),
    }
}

/// The normal lengths that take the place of others whose mean or deviation is edited.
fn normal(mean: f64, std_dev: f64) -> LengthSettings {
    LengthSettings::Normal { mean, std_dev, min: 2, max: whole(mean * 4.0).max(7000) }
}

/// Coefficient of variation of the gaps between arrivals.
fn burstiness(arrival: ArrivalSettings) -> f64 {
    match arrival {
        ArrivalSettings::Constant => 0.0,
        ArrivalSettings::Poisson => 1.0,
        ArrivalSettings::Gamma { cv } | ArrivalSettings::Weibull { cv } => cv,
    }
}

/// The arrival process of another coefficient of variation: without any constant, of 1 poisson, else gamma.
/// Weibull gaps stay weibull as long as they vary.
fn arrival(present: ArrivalSettings, cv: f64) -> ArrivalSettings {
    match present {
        _ if cv <= 0.0 => ArrivalSettings::Constant,
        ArrivalSettings::Weibull { .. } => ArrivalSettings::Weibull { cv },
        _ if (cv - 1.0).abs() < 1e-9 => ArrivalSettings::Poisson,
        _ => ArrivalSettings::Gamma { cv },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_moves() {
        for number in NUMBERS {
            let mut scenario = Scenario::default();
            let value = if number.path.ends_with("share_ratio") { 0.25 } else { 3.0 };
            (number.set)(&mut scenario, Some(value));
            assert_eq!((number.get)(&scenario), Some(value), "{}", number.path);
            let moved = NUMBERS.iter().filter(|other| (other.get)(&scenario) != (other.get)(&Scenario::default()));
            assert_eq!(moved.map(|other| other.path).collect::<Vec<_>>(), [number.path]);
        }
    }

    #[test]
    fn an_empty_field_means_none_or_changes_nothing() {
        for number in NUMBERS {
            let mut scenario = Scenario::default();
            (number.set)(&mut scenario, Some(1.0));
            (number.set)(&mut scenario, None);
            assert!([None, Some(1.0)].contains(&(number.get)(&scenario)), "{}", number.path);
        }
    }

    #[test]
    fn another_burstiness_keeps_the_kind_of_gaps() {
        let number = Number::of("workload.arrival").expect("a number");
        let set = |present: ArrivalSettings, cv: f64| {
            let mut scenario = Scenario::default();
            scenario.workload.arrival = present;
            (number.set)(&mut scenario, Some(cv));
            scenario.workload.arrival
        };
        let weibull = ArrivalSettings::Weibull { cv: 2.0 };
        assert_eq!(set(weibull, 3.0), ArrivalSettings::Weibull { cv: 3.0 });
        assert_eq!(set(weibull, 1.0), ArrivalSettings::Weibull { cv: 1.0 });
        assert_eq!(set(weibull, 0.0), ArrivalSettings::Constant);
        assert_eq!(set(ArrivalSettings::Constant, 1.0), ArrivalSettings::Poisson);
        assert_eq!(set(ArrivalSettings::Poisson, 2.0), ArrivalSettings::Gamma { cv: 2.0 });
    }

    #[test]
    fn a_mean_beyond_the_longest_length_lifts_it() {
        let mut scenario = Scenario::default();
        let number = Number::of("workload.input_tokens").expect("a number");
        (number.set)(&mut scenario, Some(9000.0));
        let LengthSettings::Normal { max, .. } = scenario.workload.input_tokens else { panic!("normal") };
        assert_eq!(max, 36_000);
    }
}

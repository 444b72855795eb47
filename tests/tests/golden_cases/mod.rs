//! The reference cases, compiled in so that a browser has them too, and the digest of their reports.

use plimsoll_tests::golden::CaseText;

/// Digest of all reports; it moves only together with the model version, the set of cases, or the form or the verdicts of reports.
pub const DIGEST: u64 = 858_038_353_867_976_327;

macro_rules! case {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../golden/", $name, "/case.json")),
            include_str!(concat!("../../golden/", $name, "/trace.csv")),
            include_str!(concat!("../../golden/", $name, "/expected.json")),
        )
    };
}

const CASES: [(&str, &str, &str, &str); 39] = [
    case!("dev_00_steady"),
    case!("dev_01_burst"),
    case!("dev_02_chunked_prefill"),
    case!("dev_03_small_budget"),
    case!("dev_04_few_seqs"),
    case!("dev_05_kv_pressure"),
    case!("dev_06_kv_pressure_prefix"),
    case!("dev_07_prefix_groups"),
    case!("dev_08_one_token_outputs"),
    case!("dev_09_block32_a100"),
    case!("dev_10_sjf"),
    case!("dev_11_slo_priority"),
    case!("dev_12_inverted_reverse"),
    case!("dev_13_cluster_round_robin"),
    case!("dev_14_cluster_least_loaded"),
    case!("dev_15_cluster_least_loaded_lat"),
    case!("dev_16_cluster_token_bucket"),
    case!("dev_17_roofline_llama8b"),
    case!("dev_18_roofline_llama8b_tp2_a100"),
    case!("dev_19_roofline_mixtral_tp4"),
    case!("dev_20_roofline_kv_pressure"),
    case!("dev_21_trained_physics_llama8b"),
    case!("dev_22_trained_physics_qwen14b_tp2"),
    case!("dev_23_trained_physics_mixtral_tp2"),
    case!("dev_24_tiered_cpu"),
    case!("dev_25_tiered_cpu_small"),
    case!("dev_26_timeouts"),
    case!("dev_27_timeouts_small_batch"),
    case!("dev_28_max_model_len"),
    case!("dev_29_kv_capacity_drops"),
    case!("dev_30_horizon_cut"),
    case!("dev_31_cluster_weighted_load"),
    case!("dev_32_cluster_prefix_affinity"),
    case!("dev_33_cluster_precise_prefix"),
    case!("dev_34_cluster_stale_signals"),
    case!("dev_35_cluster_always_busiest"),
    case!("dev_36_cluster_everything"),
    case!("dev_37_trained_physics_scout_fp8_tp4"),
    case!("dev_38_roofline_qwen30b_moe_l40s_tp2"),
];

/// The cases in the order of their names.
pub fn cases() -> Vec<CaseText> {
    let text = |(name, case, trace, expected): (&str, &str, &str, &str)| CaseText {
        name: name.into(),
        case: case.into(),
        trace: trace.into(),
        expected: expected.into(),
    };
    CASES.into_iter().map(text).collect()
}

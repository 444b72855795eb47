//! The reference cases of one replica, compiled in so that a browser has them too, and the digest of their reports.

use plimsoll_tests::golden::CaseText;

/// Digest of all reports; it moves only together with the model version.
pub const DIGEST: u64 = 14_232_112_720_914_918_220;

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

const CASES: [(&str, &str, &str, &str); 29] = [
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

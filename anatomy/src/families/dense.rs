//! Families without experts whose attention keeps keys and values per head.

use super::super::builder::Builder;
use super::super::family::{
    Attention, BARE_HEADS, BIASED_HEADS, Extra, FULLY_BIASED_HEADS, Family, GATED, Gate, HEADS, HeadNorm, Heads, LLAMA,
    Layers, NORMED_HEADS, NORMS, Network, Norms, OUTSIDE, Outside, PLAIN, Sinks, Size, When,
};
use super::super::pattern::{Kind, every_fourth, first_of_four, stated_period, upper_window, window};
use super::Row;

const LAYER_NORM: Norms = Norms { bias: When::Always, ..NORMS };

/// Attention with a bias on everything where `use_bias` says so.
const USE_BIAS: Heads = Heads { input_bias: When::If("use_bias"), output_bias: When::If("use_bias"), ..HEADS };

const WHOLE_NORM: Heads = Heads { norm: HeadNorm::Whole, ..NORMED_HEADS };

const QWEN2: Family = Family { attention: Attention::Heads(BIASED_HEADS), pattern: upper_window, ..LLAMA };

const QWEN3: Family = Family { attention: Attention::Heads(NORMED_HEADS), ..QWEN2 };

const MISTRAL: Family = Family { attention: Attention::Heads(BARE_HEADS), pattern: window, ..LLAMA };

const COHERE: Family = Family {
    attention: Attention::Heads(Heads { has_norm: When::If("use_qk_norm"), norm: HeadNorm::Whole, ..HEADS }),
    norms: Norms { per_layer: 1, ..NORMS },
    ..LLAMA
};

const GLM: Family = Family { attention: Attention::Heads(Heads { output_bias: When::Never, ..HEADS }), ..LLAMA };

const PERSIMMON: Family = Family {
    attention: Attention::Heads(Heads {
        has_norm: When::If("qk_layernorm"),
        norm: HeadNorm::SharedWithBias,
        ..FULLY_BIASED_HEADS
    }),
    network: Network { bias: When::Always, ..PLAIN },
    norms: LAYER_NORM,
    ..LLAMA
};

pub(super) const FAMILIES: &[Row] = &[
    (
        "llama exaone iquestcoder granite granite4_vision_text granite_docling_text emu3_text_model yi aquila \
         xverse baichuan solar deci llava_llama",
        LLAMA,
    ),
    (
        "helium",
        Family {
            attention: Attention::Heads(Heads { output_bias: When::Never, ..HEADS }),
            layer: Layers::And(square_output),
            ..LLAMA
        },
    ),
    ("cwm", Family { attention: Attention::Heads(BARE_HEADS), pattern: first_of_four, ..LLAMA }),
    (
        "internlm3",
        Family {
            attention: Attention::Heads(Heads {
                input_bias: When::If("qkv_bias"),
                output_bias: When::If("bias"),
                ..HEADS
            }),
            network: Network { bias: When::If("bias"), ..GATED },
            ..LLAMA
        },
    ),
    ("mistral ministral3 ministral phi3 phi3_v phi4mm phi4_multimodal llava_mistral", MISTRAL),
    ("smollm3", Family { pattern: upper_window, ..LLAMA }),
    (
        "hyperclovax",
        Family {
            extras: &[Extra { name: "post_norms", size: Size::Hidden, when: When::If("use_post_norm") }; 2],
            ..LLAMA
        },
    ),
    ("arcee", Family { network: PLAIN, ..LLAMA }),
    ("cosmos3_edge_text", Family { network: PLAIN, ..LLAMA }),
    (
        "apertus apertus1p5_text",
        Family {
            attention: Attention::Heads(NORMED_HEADS),
            network: PLAIN,
            extras: &[Extra { name: "mlp.act_fn", size: Size::Values(2), when: When::Always }],
            ..LLAMA
        },
    ),
    (
        "ernie4_5 paddleocr_vl_text",
        Family {
            attention: Attention::Heads(USE_BIAS),
            network: Network { bias: When::If("use_bias"), ..GATED },
            ..LLAMA
        },
    ),
    (
        "seed_oss",
        Family { attention: Attention::Heads(Heads { output_bias: When::If("attention_out_bias"), ..HEADS }), ..LLAMA },
    ),
    ("qwen2 mimo llava_qwen llava_qwen2 qwen2_vl_text qwen2_5_vl_text qwen2_5_omni_text", QWEN2),
    ("qwen3 qwen3_vl_text qwen3_omni_moe_talker_code_predictor", QWEN3),
    ("olmo", Family { norms: Norms { per_layer: 0, last: false, ..NORMS }, ..LLAMA }),
    ("olmo2", Family { attention: Attention::Heads(WHOLE_NORM), ..LLAMA }),
    ("olmo3", Family { attention: Attention::Heads(WHOLE_NORM), pattern: every_fourth, ..LLAMA }),
    (
        "exaone4",
        Family {
            attention: Attention::Heads(Heads { has_norm: When::Always, ..BARE_HEADS }),
            pattern: stated_period,
            ..LLAMA
        },
    ),
    ("glm", GLM),
    ("glm4", Family { norms: Norms { per_layer: 4, ..NORMS }, ..GLM }),
    ("glm4v_text", Family { attention: Attention::Heads(BIASED_HEADS), norms: Norms { per_layer: 4, ..NORMS }, ..GLM }),
    ("glm_ocr_text", Family { attention: Attention::Heads(BARE_HEADS), norms: Norms { per_layer: 4, ..NORMS }, ..GLM }),
    (
        "nanochat",
        Family {
            network: Network { bias: When::Never, ..PLAIN },
            norms: Norms { per_layer: 0, last: false, ..NORMS },
            ..LLAMA
        },
    ),
    ("nemotron jais2", Family { network: PLAIN, norms: LAYER_NORM, ..LLAMA }),
    (
        "starcoder2",
        Family {
            attention: Attention::Heads(USE_BIAS),
            network: Network { bias: When::If("use_bias"), ..PLAIN },
            norms: LAYER_NORM,
            pattern: window,
            ..LLAMA
        },
    ),
    (
        "stablelm stablelm_epoch",
        Family {
            attention: Attention::Heads(Heads {
                input_bias: When::If("use_qkv_bias"),
                output_bias: When::Never,
                has_norm: When::If("qk_layernorm"),
                norm: HeadNorm::Whole,
                ..HEADS
            }),
            network: Network { bias: When::Never, ..GATED },
            norms: Norms { per_layer: 1, ..LAYER_NORM },
            extras: &[Extra {
                name: "post_attention_layernorm",
                size: Size::Hidden,
                when: When::Unless("use_parallel_residual"),
            }; 2],
            ..LLAMA
        },
    ),
    (
        "phi",
        Family {
            attention: Attention::Heads(Heads {
                has_norm: When::If("qk_layernorm"),
                norm: HeadNorm::SharedWithBias,
                ..FULLY_BIASED_HEADS
            }),
            network: Network { bias: When::Always, ..PLAIN },
            norms: Norms { per_layer: 1, ..LAYER_NORM },
            outside: Outside { head_bias: When::Always, ..OUTSIDE },
            ..LLAMA
        },
    ),
    ("persimmon", PERSIMMON),
    ("cohere", COHERE),
    ("cohere2 cohere_compass_text", Family { attention: Attention::Heads(HEADS), pattern: stated_period, ..COHERE }),
    (
        "bitnet",
        Family {
            extras: &[
                Extra { name: "self_attn.attn_sub_norm", size: Size::Hidden, when: When::Always },
                Extra { name: "mlp.ffn_sub_norm", size: Size::Intermediate, when: When::Always },
            ],
            ..LLAMA
        },
    ),
    (
        "diffllama",
        Family { extras: &[Extra { name: "self_attn.lambda", size: Size::HeadSizes(4), when: When::Always }], ..LLAMA },
    ),
    ("hunyuan_v1_dense hunyuan_vl_text", Family { attention: Attention::Heads(NORMED_HEADS), ..LLAMA }),
    (
        "granite_swa",
        Family { attention: Attention::Heads(Heads { sinks: Sinks::All, ..HEADS }), pattern: first_of_four, ..LLAMA },
    ),
    (
        "muse_glimmer_text",
        Family {
            attention: Attention::Heads(Heads { gate: Gate::Wide, ..HEADS }),
            norms: Norms { per_layer: 4, ..NORMS },
            pattern: every_fourth,
            ..LLAMA
        },
    ),
];

/// The output's matrix is square, whatever the heads make.
fn square_output(builder: &mut Builder<'_, '_>, _: Kind) {
    let hidden = u64::from(builder.hidden);
    for tensor in builder.layer.tensors.iter_mut().filter(|tensor| tensor.name == "self_attn.o_proj") {
        tensor.columns = hidden;
    }
}

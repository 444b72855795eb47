//! Architecture and data sheet in the symbols of the formulas (latency specification 2).

use crate::catalog::{AcceleratorSpec, ModelSpec};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::vec::Vec;

/// An architecture in the symbols of the formulas; all counts as doubles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Layers `L`.
    pub layers: f64,
    /// Hidden size `D`.
    pub hidden: f64,
    /// Attention heads `H`.
    pub heads: f64,
    /// KV heads `K`.
    pub kv_heads: f64,
    /// Experts `E`.
    pub experts: f64,
    /// Active experts `ka`.
    pub active_experts: f64,
    /// `F`, 0 where absent.
    pub ffn: f64,
    /// `Fm`, 0 where absent.
    pub expert_ffn: f64,
    /// `Fd`, 0 where absent.
    pub dense_ffn: f64,
    /// MoE layers `Lm`.
    pub moe_layers: f64,
    /// Dense layers `Ld`.
    pub dense_layers: f64,
    /// Whether MoE layers are interleaved with dense ones.
    pub is_interleaved: bool,
    /// Bytes per value `P`.
    pub value_bytes: f64,
    /// Bytes per weight `Pw`.
    pub weight_bytes: f64,
}

/// A data sheet in the units of the formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// Peak in TFLOP/s; the FP8 figure for one-byte weights where the accelerator has one.
    pub peak_tflops: f64,
    /// Memory bandwidth in TB/s.
    pub bandwidth_tb_per_s: f64,
    /// Share of the peak reached in prefill.
    pub mfu_prefill: f64,
    /// Share of the peak reached in decode.
    pub mfu_decode: f64,
}

/// Reads the symbols and checks what both analytical models need.
pub(super) fn read(
    model: &ModelSpec,
    accelerator: &AcceleratorSpec,
    tensor_parallel_size: u32,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Shape, Rates) {
    let mut require = |is_ok: bool, path: &str, message: alloc::string::String, hint: &str| {
        if !is_ok {
            diagnostics.push(Diagnostic::error("architecture-incomplete", path, message).with_hint(hint));
        }
    };
    for (value, key) in [
        (model.num_attention_heads, "num_attention_heads"),
        (model.num_hidden_layers, "num_hidden_layers"),
        (model.hidden_size, "hidden_size"),
    ] {
        require(value > 0, &format!("model.{key}"), format!("{key} is 0"), "take it from the model's config.json");
    }
    require(tensor_parallel_size > 0, "tensor_parallel_size", "tensor_parallel_size is 0".into(), "use 1 or more");
    let (experts, active) = (model.num_experts, model.num_experts_per_tok);
    if experts > 1 {
        require(
            active > 0 && active <= experts,
            "model.num_experts_per_tok",
            format!("num_experts_per_tok is {active} of {experts} experts"),
            "between 1 and num_experts experts are active per token",
        );
    } else if experts == 0 {
        require(
            active == 0,
            "model.num_experts_per_tok",
            format!("num_experts_per_tok is {active} but the model has no experts"),
            "give num_experts too, or leave both out for a dense model",
        );
    }
    let weight_bytes = model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes());
    require(
        weight_bytes.is_finite() && weight_bytes > 0.0,
        "model.weight_bytes_per_param",
        format!("{weight_bytes} bytes per weight"),
        "use 2 for 16 bit, 1 for 8 bit, 0.5 for 4 bit",
    );
    for (value, key) in [
        (accelerator.peak_tflops, "peak_tflops"),
        (accelerator.memory_bandwidth_tb_per_s, "memory_bandwidth_tb_per_s"),
        (accelerator.mfu_prefill, "mfu_prefill"),
        (accelerator.mfu_decode, "mfu_decode"),
    ] {
        let is_ok = value.is_finite() && value > 0.0;
        require(is_ok, &format!("accelerator.{key}"), format!("{key} is {value}"), "give a positive number");
    }

    let (layers, step) = (model.num_hidden_layers, model.interleave_moe_layer_step);
    let moe_layers = match (experts > 1, step) {
        (false, _) => 0,
        (true, 0) => layers,
        (true, step) => layers / step.saturating_add(1),
    };
    let shape = Shape {
        layers: f64::from(layers),
        hidden: f64::from(model.hidden_size),
        heads: f64::from(model.num_attention_heads),
        kv_heads: f64::from(match model.num_key_value_heads {
            0 => model.num_attention_heads,
            heads => heads,
        }),
        experts: f64::from(experts),
        active_experts: f64::from(active),
        ffn: f64::from(model.intermediate_size),
        expert_ffn: f64::from(model.moe_intermediate_size),
        dense_ffn: f64::from(model.intermediate_size_mlp),
        moe_layers: f64::from(moe_layers),
        dense_layers: f64::from(layers - moe_layers),
        is_interleaved: experts > 1 && step > 0,
        value_bytes: model.torch_dtype.bytes(),
        weight_bytes,
    };
    let has_fp8 = weight_bytes == 1.0 && accelerator.peak_tflops_fp8 > 0.0;
    let rates = Rates {
        peak_tflops: if has_fp8 { accelerator.peak_tflops_fp8 } else { accelerator.peak_tflops },
        bandwidth_tb_per_s: accelerator.memory_bandwidth_tb_per_s,
        mfu_prefill: accelerator.mfu_prefill,
        mfu_decode: accelerator.mfu_decode,
    };
    (shape, rates)
}

//! What physics expects of the coefficients of the calibrated roofline, before any log is read.

use super::{Deployment, FittedModel, Parameter, Space};
use crate::catalog::ModelSpec;
use alloc::vec;
use alloc::vec::Vec;

/// Share of the data sheet's bandwidth that reading weights and keys reaches; achieved shares of 0.7 to 0.9 are usual.
const BANDWIDTH_SHARE: f64 = 0.8;
/// Share of the data sheet's peak that long matrix products reach.
const COMPUTE_SHARE: f64 = 0.55;

/// Parameters in the matrices and embeddings of a model that a token passes through or that lie in memory.
pub(super) fn num_params(model: &ModelSpec) -> f64 {
    params(model, f64::from(model.num_experts.max(1)))
}

fn params(model: &ModelSpec, experts: f64) -> f64 {
    let wide = f64::from;
    let hidden = wide(model.hidden_size);
    let kv = kv_values(model) / (2.0 * wide(model.num_hidden_layers.max(1)));
    let expert_ffn =
        if model.moe_intermediate_size > 0 { model.moe_intermediate_size } else { model.intermediate_size };
    let mlp = if model.num_experts > 1 {
        3.0 * hidden * (wide(expert_ffn) * experts + wide(model.shared_expert_intermediate_size))
    } else {
        3.0 * hidden * wide(model.intermediate_size)
    };
    let layer = hidden * (2.0 * hidden + 2.0 * kv) + mlp;
    wide(model.num_hidden_layers) * layer + hidden * wide(model.vocab_size)
}

/// Cached values of one token over all layers.
fn kv_values(model: &ModelSpec) -> f64 {
    let heads = if model.num_key_value_heads > 0 { model.num_key_value_heads } else { model.num_attention_heads };
    let size = if model.head_dim > 0 { model.head_dim } else { model.hidden_size / model.num_attention_heads.max(1) };
    2.0 * f64::from(model.num_hidden_layers) * f64::from(heads) * f64::from(size)
}

/// The search space of a model for a deployment.
///
/// Every coefficient is searched on a logarithmic scale around what the data sheet allows at usual efficiencies, and is
/// drawn there by a penalty as far as logs say nothing. Overheads of software have no data sheet, so theirs are wide.
/// Without an architecture all are wide.
#[must_use]
pub fn prior(fitted: FittedModel, deployment: &Deployment) -> Space {
    // Microseconds, with the standard deviation of the logarithm.
    let (mut weights, mut token, mut context, mut area) = ((6e3, 1.5), (30.0, 1.5), (0.05, 1.5), (1e-3, 1.5));
    if let (Some(model), Some(accelerator)) = (&deployment.model, &deployment.accelerator) {
        let tp = f64::from(deployment.tensor_parallel_size.max(1));
        let width = model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes());
        let has_fp8 = width == 1.0 && accelerator.peak_tflops_fp8 > 0.0;
        let peak = if has_fp8 { accelerator.peak_tflops_fp8 } else { accelerator.peak_tflops } * 1e6 * tp;
        let bandwidth = accelerator.memory_bandwidth_tb_per_s * 1e6 * tp * BANDWIDTH_SHARE;
        let active = params(model, f64::from(model.num_experts_per_tok.max(1)));
        weights = (num_params(model) * width / bandwidth, 0.25);
        token = (2.0 * active / (peak * COMPUTE_SHARE), 0.4);
        context = (kv_values(model) * 2.0 / bandwidth, 0.5);
        let attention = 4.0 * f64::from(model.num_hidden_layers) * f64::from(model.hidden_size);
        area = (attention / (accelerator.peak_tflops * 1e6 * tp * COMPUTE_SHARE), 1.2);
    }
    let around = |name: &str, (center, spread): (f64, f64), reach: f64| Parameter {
        name: name.into(),
        low: center / reach,
        high: center * reach,
        is_log: true,
        scale: 1.0,
        center: Some((center, spread)),
        starts: Vec::new(),
        is_choice: false,
    };
    let with_starts = |parameter: Parameter, starts: &[f64]| Parameter { starts: starts.to_vec(), ..parameter };
    // Kinds that differ as a whole: each is searched from a start of its own.
    let joining = Parameter {
        name: "beta6".into(),
        low: 0.0,
        high: 2.0,
        is_log: false,
        scale: 1.0,
        center: None,
        starts: vec![0.0, 1.0, 2.0],
        is_choice: true,
    };
    // A client's delay and a step of the server beat against each other in a closed loop, hence several starts.
    let alpha0 = with_starts(around("alpha0", (12e3, 0.8), 30.0), &[5e3, 13e3]);
    if fitted == FittedModel::Blackbox {
        return Space::new(vec![
            alpha0,
            around("alpha1", (1.0, 2.0), 100.0),
            around("beta0", (weights.0, 1.0), 10.0),
            around("beta1", token, 10.0),
            around("beta2", (100.0, 1.5), 100.0),
        ]);
    }
    Space::new(vec![
        alpha0,
        around("alpha1", (1.0, 1.5), 100.0),
        around("beta0", (3e3, 1.5), 100.0),
        around("beta1", (50.0, 1.5), 100.0),
        around("beta2", weights, 4.0),
        around("beta3", token, 5.0),
        around("beta4", context, 10.0),
        around("beta5", area, 30.0),
        joining,
        around("beta7", (1e3, 1.2), 50.0),
        with_starts(around("idle", (1e3, 1.5), 100.0), &[1e3, 1e4]),
        around("busy", (100.0, 1.0), 30.0),
    ])
}

//! What physics and earlier fits expect of the coefficients of each model, before any log is read.

use super::{Deployment, FittedModel, Parameter, Space};
use crate::catalog::{Catalog, ModelSpec, QuadraticSpec, TrainedPhysicsSpec};
use crate::latency::{QUADRATIC_ALPHA, QUADRATIC_BETA};
use alloc::string::String;
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

/// Where a coefficient is expected, and the standard deviation of its logarithm.
type Expected = (f64, f64);

/// A coefficient that is searched from a `reach`-th to `reach` times what is expected, on a logarithmic scale.
fn around(name: &str, (center, spread): Expected, reach: f64) -> Parameter {
    Parameter {
        name: name.into(),
        low: center / reach,
        high: center * reach,
        is_log: true,
        scale: 1.0,
        center: Some((center, spread)),
        starts: Vec::new(),
        is_choice: false,
    }
}

fn with_starts(parameter: Parameter, starts: &[f64]) -> Parameter {
    Parameter { starts: starts.to_vec(), ..parameter }
}

/// What the work of a step is expected to cost, microseconds.
struct Work {
    /// Reading the weights.
    weights: Expected,
    /// Multiplying a token with them.
    token: Expected,
    /// Reading keys and values of a context token.
    context: Expected,
    /// Attention of a prompt token to one before it.
    area: Expected,
}

impl Work {
    /// From the data sheet at usual efficiencies; without an architecture all are wide.
    fn of(deployment: &Deployment) -> Self {
        let (Some(model), Some(accelerator)) = (&deployment.model, &deployment.accelerator) else {
            return Self { weights: (6e3, 1.5), token: (30.0, 1.5), context: (0.05, 1.5), area: (1e-3, 1.5) };
        };
        let tp = f64::from(deployment.tensor_parallel_size.max(1));
        let width = model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes());
        let has_fp8 = width == 1.0 && accelerator.peak_tflops_fp8 > 0.0;
        let peak = if has_fp8 { accelerator.peak_tflops_fp8 } else { accelerator.peak_tflops } * 1e6 * tp;
        let bandwidth = accelerator.memory_bandwidth_tb_per_s * 1e6 * tp * BANDWIDTH_SHARE;
        let active = params(model, f64::from(model.num_experts_per_tok.max(1)));
        let attention = 4.0 * f64::from(model.num_hidden_layers) * f64::from(model.hidden_size);
        Self {
            weights: (num_params(model) * width / bandwidth, 0.25),
            token: (2.0 * active / (peak * COMPUTE_SHARE), 0.3),
            context: (kv_values(model) * 2.0 / bandwidth, 0.5),
            area: (attention / (accelerator.peak_tflops * 1e6 * tp * COMPUTE_SHARE), 1.2),
        }
    }
}

/// The search space of a model for a deployment.
///
/// Every coefficient is searched on a logarithmic scale around what is expected, and is drawn there by a penalty as far
/// as logs say nothing: of work what the data sheet allows at usual efficiencies, of overheads of software, which have
/// no data sheet, something wide, of corrections what the shipped ones are.
#[must_use]
pub fn prior(fitted: FittedModel, deployment: &Deployment, catalog: &Catalog) -> Space {
    // A client's delay and a step of the server beat against each other in a closed loop, hence several starts.
    let alpha0 = with_starts(around("alpha0", (12e3, 0.8), 30.0), &[5e3, 13e3]);
    match fitted {
        FittedModel::Calibrated => calibrated(alpha0, &Work::of(deployment)),
        FittedModel::Blackbox => {
            let Work { weights, token, .. } = Work::of(deployment);
            with_client(Space::new(vec![
                alpha0,
                around("alpha1", (1.0, 2.0), 100.0),
                around("beta0", (weights.0, 1.0), 10.0),
                around("beta1", token, 10.0),
                around("beta2", (100.0, 1.5), 100.0),
            ]))
        }
        FittedModel::Quadratic => with_client(quadratic(&Work::of(deployment), &catalog.quadratic)),
        FittedModel::Roofline => with_client(roofline(alpha0, deployment)),
        FittedModel::TrainedPhysics => with_client(trained_physics(deployment, &catalog.trained_physics)),
    }
}

/// What clients see of an idle server and of a busy front end, which no step-time model knows.
fn with_client(mut space: Space) -> Space {
    space.parameters.push(with_starts(around("idle", (1e3, 1.5), 100.0), &[1e3, 1e4]));
    space.parameters.push(around("busy", (100.0, 1.0), 30.0));
    space
}

fn calibrated(alpha0: Parameter, work: &Work) -> Space {
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
    with_client(Space::new(vec![
        alpha0,
        around("alpha1", (1.0, 1.5), 100.0),
        around("beta0", (3e3, 1.5), 100.0),
        around("beta1", (50.0, 1.5), 100.0),
        around("beta2", work.weights, 4.0),
        around("beta3", work.token, 5.0),
        around("beta4", work.context, 10.0),
        around("beta5", work.area, 30.0),
        joining,
        around("beta7", (2e3, 1.0), 50.0),
    ]))
}

/// The polynomial: counts are expected as in the roofline, products small. Schedule, update and queue overhead are part
/// of every step as the intercept is, so no log tells them apart; they keep their published values.
fn quadratic(work: &Work, published: &QuadraticSpec) -> Space {
    let token = (work.token.0 * 1e-6, work.token.1);
    let area = work.area.0 * 1e-6;
    let fixed_us: f64 = published.alpha.iter().take(3).sum();
    let expected: [Expected; 15] = [
        (50e-6, 1.5),
        token,
        (token.0 * 0.1, 2.0),
        (1e-3, 1.5),
        (5e-8, 2.0),
        (token.0 * 1e-3, 2.0),
        (token.0 * 1e-3, 2.0),
        (10e-6, 2.0),
        (area * 0.5, 2.0),
        (area * 0.5, 2.0),
        (token.0 * 1e-2, 2.0),
        (area * 0.5, 2.0),
        (token.0 * 1e-2, 2.0),
        (10e-6, 2.0),
        ((work.weights.0 + 3e3 - fixed_us).max(1e3) * 1e-6, 0.7),
    ];
    let reach = |spread: f64| if spread > 1.9 { 300.0 } else { 100.0 };
    let mut parameters: Vec<Parameter> =
        QUADRATIC_BETA.iter().zip(expected).map(|(name, expected)| around(name, expected, reach(expected.1))).collect();
    let [schedule, update, queue, vllm] = QUADRATIC_ALPHA;
    parameters.push(with_starts(around(vllm, (12e3, 0.8), 30.0), &[5e3, 13e3]));
    let held: [(&str, f64); 3] =
        [(schedule, published.alpha[0]), (update, published.alpha[1]), (queue, published.alpha[2])];
    Space::new(parameters).with_fixed(held.map(|(name, value)| (String::from(name), value)).to_vec())
}

/// The roofline of the data sheet: what is reached of its figures. It has no time per step, so what steps cost beside
/// work is left to the overhead of a token.
fn roofline(alpha0: Parameter, deployment: &Deployment) -> Space {
    let [prefill, decode] = deployment
        .accelerator
        .as_ref()
        .map_or([0.45, 0.3], |accelerator| [accelerator.mfu_prefill, accelerator.mfu_decode]);
    Space::new(vec![
        alpha0,
        around("alpha1", (1.0, 1.5), 100.0),
        around("alpha2", (1e3, 1.5), 100.0),
        around("mfu_prefill", (prefill, 0.5), 8.0),
        around("mfu_decode", (decode, 0.5), 8.0),
        around("bandwidth_share", (BANDWIDTH_SHARE, 0.3), 6.0),
    ])
}

/// The corrections, around the shipped ones; those that are shipped as 0, and those whose term this deployment lacks,
/// keep their values.
fn trained_physics(deployment: &Deployment, shipped: &TrainedPhysicsSpec) -> Space {
    let is_interleaved =
        deployment.model.as_ref().is_some_and(|model| model.num_experts > 1 && model.interleave_moe_layer_step > 0);
    let (alpha, beta) = (FittedModel::TrainedPhysics.alpha_names(), FittedModel::TrainedPhysics.beta_names());
    let mut space = Space::default();
    let overheads = alpha.iter().zip(shipped.alpha).map(|(name, value)| (*name, value, (1.0, 30.0)));
    let corrections = beta.iter().zip(shipped.beta).map(|(name, value)| (*name, value, (0.7, 20.0)));
    for (name, value, (spread, reach)) in overheads.chain(corrections) {
        let is_acting = match name {
            "beta4" => deployment.tensor_parallel_size > 1,
            "beta8" => is_interleaved,
            _ => true,
        };
        if is_acting && value > 0.0 {
            let parameter = around(name, (value, spread), reach);
            let starts: &[f64] = if name == "alpha0" { &[5e3, 15e3] } else { &[] };
            space.parameters.push(with_starts(parameter, starts));
        } else {
            space.fixed.push((name.into(), value));
        }
    }
    space
}

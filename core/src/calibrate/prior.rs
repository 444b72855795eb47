//! What physics and earlier fits expect of the coefficients of each model, before any log is read.

use super::{Deployment, FittedModel, Parameter, Space};
use crate::catalog::{
    Catalog, ExpertCompute, Footprint, LayerCompute, Matrix, ModelSpec, QuadraticSpec, TrainedPhysicsSpec,
};
use crate::latency::{QUADRATIC_ALPHA, QUADRATIC_BETA};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Share of the data sheet's bandwidth that reading weights and keys reaches; achieved shares of 0.7 to 0.9 are usual.
const BANDWIDTH_SHARE: f64 = 0.8;
/// Share of the data sheet's peak that long matrix products reach.
const COMPUTE_SHARE: f64 = 0.55;

/// What a step reads and multiplies, from what is known of a model's layers.
struct Layers<'a>(&'a Footprint);

impl<'a> Layers<'a> {
    /// Of a model whose layers are known.
    fn of(model: &'a ModelSpec) -> Option<Self> {
        model.footprint.as_deref().filter(|footprint| !footprint.compute.is_unknown()).map(Self)
    }

    /// The sum of a figure of each kind of layers, as often as it occurs.
    fn sum(&self, figure: impl Fn(&LayerCompute) -> f64) -> f64 {
        self.0.compute.layers.iter().map(|layer| f64::from(layer.count) * figure(layer)).sum()
    }

    /// A figure of every matrix, experts as often as `experts` says, and of the head. Experts are as wide as the stream
    /// between the layers.
    fn of_matrices(&self, experts: impl Fn(&ExpertCompute) -> u32, figure: impl Fn(f64, u32) -> f64) -> f64 {
        let matrix = |matrix: &Matrix| {
            let rows = f64::from(matrix.rows) + f64::from(matrix.kv_rows);
            figure(rows * f64::from(matrix.columns), matrix.bits)
        };
        let of_layer = |layer: &LayerCompute| {
            let own: f64 = layer.matrices.iter().map(matrix).sum();
            own + layer.experts.as_ref().map_or(0.0, |own| {
                let each = f64::from(own.matrices) * f64::from(own.size) * f64::from(self.0.hidden_size);
                f64::from(experts(own)) * figure(each, own.bits)
            })
        };
        self.sum(of_layer) + self.0.compute.head.as_ref().map_or(0.0, matrix)
    }

    /// Bytes of all matrices and the head.
    fn bytes(&self) -> f64 {
        self.of_matrices(|experts| experts.routed, |values, bits| values * f64::from(bits) / 800.0)
    }

    /// Weights that a token is multiplied with.
    fn active(&self) -> f64 {
        self.of_matrices(|experts| experts.active, |values, _| values)
    }

    /// Cached values of one token over all layers.
    fn cached_values(&self) -> f64 {
        self.0.caches.iter().map(|alike| f64::from(alike.count) * alike.cache.values_per_token()).sum()
    }

    /// Operations of attention of a token to one before it: a product and a sum for each value of a key and of a value.
    fn attention(&self) -> f64 {
        self.sum(|layer| {
            let [key, value] = layer.head_sizes.map(f64::from);
            2.0 * f64::from(layer.heads) * (key + value)
        })
    }
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
        let known = deployment.model.as_ref().and_then(|model| Some((model, Layers::of(model)?)));
        let (Some((model, layers)), Some(accelerator)) = (known, &deployment.accelerator) else {
            return Self { weights: (6e3, 1.5), token: (30.0, 1.5), context: (0.05, 1.5), area: (1e-3, 1.5) };
        };
        let tp = f64::from(deployment.tensor_parallel_size.max(1));
        let is_narrow = model.weight_bytes_per_param.unwrap_or(model.torch_dtype.bytes()) == 1.0;
        let has_fp8 = is_narrow && accelerator.peak_tflops_fp8 > 0.0;
        let peak = if has_fp8 { accelerator.peak_tflops_fp8 } else { accelerator.peak_tflops } * 1e6 * tp;
        let bandwidth = accelerator.memory_bandwidth_tb_per_s * 1e6 * tp * BANDWIDTH_SHARE;
        Self {
            weights: (layers.bytes() / bandwidth, 0.25),
            token: (2.0 * layers.active() / (peak * COMPUTE_SHARE), 0.3),
            // Where no layer keeps every token, what is read does not grow with the context, and a little stands for it.
            context: ((layers.cached_values() * 2.0 / bandwidth).max(1e-6), 0.5),
            area: ((layers.attention() / (accelerator.peak_tflops * 1e6 * tp * COMPUTE_SHARE)).max(1e-9), 1.2),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Cache, Caches, Compute, Share, Span};

    /// Two layers with heads wider than the stream by their number, and experts.
    #[test]
    fn work_is_that_of_the_layers_and_not_of_a_width_of_the_stream() {
        let matrix = |rows, kv_rows, columns, bits| Matrix { rows, kv_rows, columns, share: Share::Rows, bits };
        let experts = ExpertCompute { routed: 8, active: 2, size: 50, matrices: 3, bits: 800 };
        let layer = LayerCompute {
            count: 2,
            matrices: vec![matrix(600, 200, 100, 1600), matrix(100, 0, 600, 1600)],
            heads: 6,
            head_sizes: [100, 100],
            caches: Vec::new(),
            experts: Some(experts),
        };
        let cache = Cache::Attention { heads: 1, key_size: 100, value_size: 100, span: Span::Full };
        let footprint = Footprint {
            weights: Vec::new(),
            caches: vec![Caches { count: 2, cache }],
            value_bytes: 2,
            state_bytes: 2,
            query_heads: 6,
            is_read_narrower: false,
            hidden_size: 100,
            vocab_size: 1000,
            feed_forward_size: 0,
            active_experts: 2,
            expert_size: 50,
            compute: Compute { layers: vec![layer], head: Some(matrix(1000, 0, 100, 1600)) },
        };
        let layers = Layers(&footprint);
        // 80,000 and 60,000 values in two layers and 100,000 of the head at two bytes, 8 experts of 15,000 at one.
        assert_eq!(layers.bytes(), 2.0 * (2.0 * 140_000.0 + 8.0 * 15_000.0) + 200_000.0);
        assert_eq!(layers.active(), 2.0 * (140_000.0 + 2.0 * 15_000.0) + 100_000.0);
        assert_eq!(layers.cached_values(), 2.0 * 200.0);
        assert_eq!(layers.attention(), 2.0 * 2.0 * 6.0 * 200.0);
    }
}

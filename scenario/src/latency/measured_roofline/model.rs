//! From an anatomy, rates and a deployment to what a step is computed from.

use super::MeasuredRoofline;
use super::parts::{Attention, Attentions, Launch, State};
use super::per_token::PerToken;
use super::rates::Card;
use crate::catalog::{
    Cache, Compute, ExpertCompute, LayerCompute, Matrix, ServerRates, Share, Span, StateShape, StepTimesSpec,
};
use crate::numeric::{larger, smaller};
use crate::time::truncate;

/// What a step-time model is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What a step computes.
    pub compute: &'a Compute,
    /// Bytes of a cached value.
    pub value_bytes: f64,
    /// Bytes of a value of a state.
    pub state_bytes: f64,
    /// Rates of the accelerator.
    pub card: Card<'a>,
    /// Rates of all.
    pub spec: &'a StepTimesSpec,
    /// Ranks that share every matrix.
    pub ranks: u32,
    /// Whether ranks share experts whole.
    pub expert_parallel: bool,
    /// The largest batch whose launches the server captured; 0 for none.
    pub captured: u32,
    /// Whether a step is planned while the one before runs.
    pub is_async: bool,
}

/// Tokens that sparse attention looks at.
///
/// # Source
/// `index_topk` of DeepSeek-V3.2.
const INDEXED: f64 = 2048.0;

/// Bytes of a value between matrices.
const VALUE: f64 = 2.0;

/// The share of a rank: `size/ranks`, and at least one of `least` parts of it.
fn of_rank(size: f64, ranks: f64, least: f64) -> f64 {
    size / if least > 0.0 { smaller(ranks, least) } else { ranks }
}

impl Inputs<'_> {
    fn server(&self) -> &ServerRates {
        &self.spec.server
    }

    fn ranks(&self) -> f64 {
        f64::from(self.ranks.max(1))
    }

    /// Outputs and inputs of a matrix on a rank.
    fn on_rank(&self, matrix: &Matrix, kv_heads: f64) -> [f64; 2] {
        let (rows, columns, ranks) = (f64::from(matrix.rows), f64::from(matrix.columns), self.ranks());
        match matrix.share {
            Share::Whole => [rows, columns],
            Share::Rows => [rows / ranks + of_rank(f64::from(matrix.kv_rows), ranks, kv_heads), columns],
            Share::Columns => [rows, columns / ranks],
        }
    }

    /// Microseconds of `tokens` rows through a matrix on a rank.
    fn gemm(&self, matrix: &Matrix, kv_heads: f64, tokens: f64) -> f64 {
        let [rows, columns] = self.on_rank(matrix, kv_heads);
        let (rate, peak) = self.card.gemm(matrix.bits);
        let flops = 2.0 * tokens * rows * columns;
        let bytes = rows * columns * weight_bytes(matrix.bits) + VALUE * tokens * (rows + columns);
        rate.time(flops, bytes, [peak, self.card.bytes], [self.server().compute, self.card.rates.memory_in_server])
    }

    /// Ranks that hold different experts, and ranks that share one.
    fn expert_ranks(&self) -> [f64; 2] {
        if self.expert_parallel { [self.ranks(), 1.0] } else { [1.0, self.ranks()] }
    }

    /// Microseconds of `tokens` through the routed experts of a layer on a rank.
    ///
    /// # Model
    /// Of `E` experts, `a` for each token, `T` tokens touch `E(1 − (1 − a/E)^(T^s))`; `s` is below one as texts favor some
    /// experts. Each has its rows filled up to a part of a tile.
    fn experts(&self, experts: &ExpertCompute, hidden: f64, tokens: f64) -> f64 {
        let [apart, shared] = self.expert_ranks();
        let (routed, active) = (f64::from(experts.routed), f64::from(experts.active));
        let (rate, peak) = self.card.experts(experts.bits);
        let held = routed / apart;
        let missed = libm::pow(1.0 - active / routed, libm::pow(tokens, self.server().expert_spread));
        let touched = held * (1.0 - missed);
        let rows = tokens * active / apart;
        let (matrices, size) = (f64::from(experts.matrices), f64::from(experts.size) / shared);
        let flops = 2.0 * matrices * hidden * size * (rows + rate.tile_rows * touched);
        let bytes = matrices * hidden * size * touched * weight_bytes(experts.bits)
            + VALUE * rows * (2.0 * hidden + matrices * size);
        let in_server = [self.server().compute * self.server().experts, self.server().experts];
        rate.time(flops, bytes, [peak, self.card.bytes], in_server)
    }

    /// Microseconds of a layer that depend on its tokens alone.
    fn layer(&self, layer: &LayerCompute, hidden: f64, tokens: f64) -> f64 {
        let server = self.server();
        let kv_heads = kv_heads(layer);
        let mut time = 0.0;
        let (mut outputs, mut added_up) = (0.0, 0.0);
        for matrix in &layer.matrices {
            time += self.gemm(matrix, kv_heads, tokens);
            match matrix.share {
                Share::Columns => added_up += 1.0,
                Share::Rows => outputs += self.on_rank(matrix, kv_heads)[0],
                Share::Whole => {}
            }
        }
        if let Some(experts) = &layer.experts {
            time += self.experts(experts, hidden, tokens);
            // The outputs of shared and routed experts are added up together.
            added_up = smaller(added_up, 1.0) + 1.0;
        }
        // Networks read two inner values and write one, so half as much again is moved as matrices write.
        let moved = VALUE * tokens * (6.0 * hidden + 1.5 * outputs);
        time += server.layer_us + server.layer_moves * self.card.moving(moved);
        if has_state(layer) {
            time += server.state_us;
        }
        if self.ranks > 1
            && let Some(rate) = self.card.all_reduce(self.ranks, &self.spec.cards)
        {
            time += added_up * rate.time(VALUE * tokens * hidden, server.all_reduce);
        }
        f64::from(layer.count) * time
    }

    /// Attention of the layers of a kind; none without.
    fn attention(&self, layer: &LayerCompute) -> Option<Attention> {
        let (server, rates) = (self.server(), &self.card.rates.attention);
        let ranks = self.ranks();
        let heads = f64::from(layer.heads) / ranks;
        let [key, value] = layer.head_sizes.map(f64::from);
        let peak = self.card.flops[0];
        let read = self.card.bytes * rates.decode_memory * self.card.rates.decode_in_server;
        let compute = peak * rates.prompt_compute * server.compute;
        // What a token keeps on a rank, in values; how far queries look; the work of a pair in a decode.
        let (kept, span, work) = layer.caches.iter().find_map(|cache| match *cache {
            Cache::Attention { heads: kv_heads, key_size, value_size, span } => {
                let kept = of_rank(f64::from(kv_heads), ranks, f64::from(kv_heads));
                let kept = kept * (f64::from(key_size) + f64::from(value_size));
                Some((kept, reach(span), 2.0 * heads * (key + value)))
            }
            Cache::Latent { rank, rope, span, is_sparse } => {
                let (rank, rope) = (f64::from(rank), f64::from(rope));
                let span = if is_sparse { smaller(INDEXED, reach(span)) } else { reach(span) };
                // Decodes work on latent vectors: of keys with their positions, and of values.
                Some((rank + rope, span, 2.0 * heads * (2.0 * rank + rope)))
            }
            _ => None,
        })?;
        let moves = rates.prompt_moves;
        let outputs = heads * (key + value);
        let layers = f64::from(layer.count);
        Some(Attention {
            span,
            prompt: [
                layers * rates.prompt_us,
                layers * (2.0 * heads * (key + value) / compute),
                layers * self.card.moving(moves * VALUE * (outputs + kept)),
                layers * self.card.moving(moves * self.value_bytes * kept),
            ],
            pass: layers * (server.pass_ns / 1e3),
            decode: [layers * rates.decode_us, layers * larger(kept * self.value_bytes / read, work / compute)],
        })
    }

    fn state(&self, layer: &LayerCompute) -> Option<State> {
        let shape = layer.caches.iter().find_map(|cache| match cache {
            Cache::State(shape) => Some(*shape),
            _ => None,
        })?;
        let (server, ranks) = (self.server(), self.ranks());
        let width: f64 =
            layer.matrices.iter().filter(|matrix| matrix.share == Share::Rows).map(|m| f64::from(m.rows)).sum();
        let layers = f64::from(layer.count);
        Some(State {
            request: layers * self.card.moving(server.state_moves * self.state_bytes * recurrent(shape) / ranks),
            token: layers * self.card.moving(server.state_token_moves * 2.0 * VALUE * width / ranks),
        })
    }

    /// Work of a token, a row of the head and a pair of attention, in microseconds at the peaks of the data sheet.
    fn work(&self, hidden: f64) -> [f64; 3] {
        let (mut of_token, mut of_pair) = (0.0, 0.0);
        for layer in &self.compute.layers {
            let (layers, kv_heads) = (f64::from(layer.count), kv_heads(layer));
            for matrix in &layer.matrices {
                let [rows, columns] = self.on_rank(matrix, kv_heads);
                of_token += layers * 2.0 * rows * columns / self.card.gemm(matrix.bits).1;
            }
            if let Some(experts) = &layer.experts {
                let weights = f64::from(experts.matrices) * hidden * f64::from(experts.size);
                let peak = self.card.experts(experts.bits).1;
                of_token += layers * 2.0 * f64::from(experts.active) * weights / self.ranks() / peak;
            }
            if let Some(attention) = self.attention(layer).filter(|attention| attention.span == f64::INFINITY) {
                let rates = &self.card.rates.attention;
                of_pair += attention.prompt[1] * rates.prompt_compute * self.server().compute;
            }
        }
        let of_row = self.compute.head.map_or(0.0, |head| {
            let [rows, columns] = self.on_rank(&head, 0.0);
            2.0 * rows * columns / self.card.gemm(head.bits).1
        });
        [of_token, of_row, of_pair]
    }

    fn launch(&self) -> Launch {
        let server = self.server();
        let mut launch = Launch::default();
        for layer in &self.compute.layers {
            let layers = f64::from(layer.count);
            let experts = if layer.experts.is_some() { server.launch_experts_us } else { [0.0; 2] };
            let state = if has_state(layer) { server.launch_state_us } else { [0.0; 3] };
            launch.prompt += layers * (server.launch_prompt_us + experts[0] + state[0]);
            launch.mixed += layers * (server.launch_mixed_us + experts[0] + state[0]);
            launch.eager += layers * (server.launch_eager_us + experts[1] + state[1]);
            launch.eager_prompt += layers * (server.launch_eager_us + experts[1] + state[2]);
        }
        launch
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> MeasuredRoofline {
        let server = self.server();
        let hidden = self.compute.head.map_or(0.0, |head| f64::from(head.columns));
        let [sync, sync_request] = if self.is_async { [0.0; 2] } else { server.sync_us };
        let layers = &self.compute.layers;
        let of_tokens =
            PerToken::new(|tokens| layers.iter().map(|layer| self.layer(layer, hidden, f64::from(tokens))).sum());
        let of_rows =
            PerToken::new(|rows| self.compute.head.map_or(0.0, |head| self.gemm(&head, 0.0, f64::from(rows))));
        let mut state = State::default();
        for layer in layers {
            if let Some(found) = self.state(layer) {
                state.request += found.request;
                state.token += found.token;
            }
        }
        let mut attention = Attentions::default();
        for of_layers in layers.iter().filter_map(|layer| self.attention(layer)) {
            attention.add(&of_layers);
        }
        MeasuredRoofline {
            queueing: truncate(server.front_us),
            captured: self.captured.min(512),
            of_tokens,
            of_rows,
            attention,
            state,
            launch: self.launch(),
            work: self.work(hidden),
            sustained: self.card.rates.sustained,
            burst: server.burst_us,
            step: server.step_us + sync,
            per_request: server.request_us + sync_request,
        }
    }
}

/// KV heads of a layer; 0 without.
fn kv_heads(layer: &LayerCompute) -> f64 {
    let heads = layer.caches.iter().find_map(|cache| match cache {
        Cache::Attention { heads, .. } => Some(*heads),
        _ => None,
    });
    f64::from(heads.unwrap_or(0))
}

fn has_state(layer: &LayerCompute) -> bool {
    layer.caches.iter().any(|cache| matches!(cache, Cache::State(_)))
}

fn reach(span: Span) -> f64 {
    match span {
        Span::Full => f64::INFINITY,
        Span::Sliding { window: length } | Span::Chunked { chunk: length } => larger(f64::from(length), 1.0),
    }
}

/// Values of the recurrent part of a state.
fn recurrent(shape: StateShape) -> f64 {
    let product = |sizes: [u32; 3]| sizes.into_iter().map(f64::from).product();
    match shape {
        StateShape::Mamba1 { inner, state, .. } => product([inner, state, 1]),
        StateShape::Mamba2 { heads, head_size, state, .. } => product([heads, head_size, state]),
        StateShape::GatedDelta { value_heads, key_size, value_size, .. } => {
            product([value_heads, key_size, value_size])
        }
        StateShape::DeltaAttention { heads, head_size, .. } => product([heads, head_size, head_size]),
        StateShape::Convolution { channels, kernel } => product([channels, kernel, 1]),
        StateShape::Linear { heads, key_size, value_size } => product([heads, key_size, value_size]),
        StateShape::Vectors { values } => f64::from(values),
    }
}

/// Bytes of a weight of so many hundredths of a bit.
fn weight_bytes(bits: u32) -> f64 {
    f64::from(bits) / 800.0
}

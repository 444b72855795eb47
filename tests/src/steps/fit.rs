//! What a server adds to its kernels, fitted to measured steps.

use super::data::{Kind, Server, is_held_back};
use super::kernels::{CARDS, card, rounded};
use super::search::{Parameter, least, robust};
use crate::truth::steps::{errors, quantile};
use plimsoll_configs::catalog;
use plimsoll_core::catalog::{CardRates, Provenance, Residual, ServerRates, StepTimesSpec};
use std::path::Path;

/// Evaluations of a fit of all servers, and of one without one of them.
const BUDGET: u64 = 9000;
const BUDGET_WITHOUT_ONE: u64 = 1500;
/// Errors of logarithms that count half as much as their square says, by kind: decodes repeat each other closely, prompts
/// differ by what a server did before.
const SCALES: [f64; 3] = [0.02, 0.05, 0.05];
/// How much a deviation from what is assumed weighs against a group of steps.
const PRIOR: f64 = 0.05;
/// The accelerator whose steps were measured.
const MEASURED: &str = "B300-SXM";

/// What servers do to attention of decodes, to the reading of weights and to long prompts: Blackwell's kernels wait for
/// the longest context, and its power limit is met. Of other cards nothing of the kind is known.
fn in_server(id: &str) -> [f64; 3] {
    match id {
        "B300-SXM" | "B200-SXM" => [0.58, 0.96, 0.61],
        _ => [1.0, 1.0, 1.0],
    }
}

/// A parameter of a server with its place in the rates.
struct Known {
    parameter: Parameter,
    slot: fn(&mut StepTimesSpec) -> &mut f64,
}

fn measured(spec: &mut StepTimesSpec) -> &mut CardRates {
    let place = spec.cards.iter().position(|card| card.accelerator == MEASURED).unwrap_or(0);
    &mut spec.cards[place]
}

/// What is fitted, from where, and how surely it is known before.
///
/// Kernels in a server were seen to compute at 87 % of what they reach alone on another card (public traces of a 14B
/// model on H100), adding up to take a quarter longer; the rest is only loosely known.
fn parameters() -> Vec<Known> {
    let known = |start: f64, bounds, spread, slot| Known { parameter: Parameter { start, bounds, spread }, slot };
    vec![
        known(0.87, [0.5, 1.0], 0.05, |spec| &mut spec.server.compute),
        known(0.96, [0.5, 1.0], 0.05, |spec| &mut measured(spec).memory_in_server),
        known(1.25, [0.8, 3.0], 0.1, |spec| &mut spec.server.all_reduce),
        known(3.3, [0.5, 30.0], 0.3, |spec| &mut spec.server.layer_us),
        known(1.2, [0.3, 6.0], 0.3, |spec| &mut spec.server.layer_moves),
        known(12.0, [1.0, 60.0], 0.7, |spec| &mut spec.server.pass_ns),
        known(4300.0, [100.0, 60_000.0], 0.7, |spec| &mut spec.server.burst_us),
        known(120.0, [20.0, 600.0], 0.5, |spec| &mut spec.server.launch_prompt_us),
        known(150.0, [20.0, 600.0], 0.5, |spec| &mut spec.server.launch_mixed_us),
        known(320.0, [50.0, 1500.0], 0.5, |spec| &mut spec.server.launch_eager_us),
        known(144.0, [20.0, 900.0], 0.5, |spec| &mut spec.server.launch_state_us[0]),
        known(720.0, [100.0, 3000.0], 0.5, |spec| &mut spec.server.launch_state_us[1]),
        // Lone prompts of a server took 41 ms at first and 50 ms later: the middle of the two.
        known(890.0, [100.0, 3000.0], 0.02, |spec| &mut spec.server.launch_state_us[2]),
        known(310.0, [50.0, 2000.0], 0.3, |spec| &mut spec.server.step_us),
        known(0.7, [0.05, 10.0], 0.7, |spec| &mut spec.server.request_us),
        known(27.0, [3.0, 100.0], 0.5, |spec| &mut spec.server.state_us),
        known(3.1, [0.5, 12.0], 0.5, |spec| &mut spec.server.state_moves),
        known(2.9, [0.5, 12.0], 0.5, |spec| &mut spec.server.state_token_moves),
        known(0.87, [0.5, 1.0], 0.1, |spec| &mut spec.server.expert_spread),
        known(0.97, [0.5, 1.0], 0.1, |spec| &mut spec.server.experts),
        known(0.58, [0.2, 1.0], 0.3, |spec| &mut measured(spec).decode_in_server),
        known(0.61, [0.3, 1.0], 0.2, |spec| &mut measured(spec).sustained),
    ]
}

/// What is not fitted: launching experts of a model without states was never measured; half of what a dense layer
/// takes, and twice as much beyond the captured sizes, is a guess. Requests wait 8 ms for the front end, as public logs of
/// idle servers show. A server that plans a step only after the one before lets the card wait for 1.2 ms and 8 µs per
/// request: what public throughputs of vLLM 0.10 and 0.11 lack between one and two hundred users.
fn start(cards: Vec<CardRates>) -> StepTimesSpec {
    let server = ServerRates {
        launch_experts_us: [150.0, 280.0],
        front_us: 8000.0,
        sync_us: [1200.0, 8.0],
        ..ServerRates::default()
    };
    let mut spec = StepTimesSpec { cards, server, residuals: Vec::new(), provenance: Provenance::default() };
    for known in parameters() {
        *(known.slot)(&mut spec) = known.parameter.start;
    }
    spec
}

/// The steps a fit looks at: those of every second stretch that may be used.
fn groups<'s>(servers: &[&'s Server]) -> Vec<(&'s Server, Vec<Vec<usize>>)> {
    let of_kind = |server: &'s Server, kind: Kind| {
        let used = server
            .steps
            .iter()
            .enumerate()
            .filter(|(place, step)| !is_held_back(*place) && step.kind == kind && server.uses(step));
        used.map(|(place, _)| place).collect::<Vec<usize>>()
    };
    servers.iter().map(|server| (*server, Kind::ALL.map(|kind| of_kind(server, kind)).to_vec())).collect()
}

/// Fits what servers add to kernels of these rates.
#[must_use]
pub fn server(cards: Vec<CardRates>, servers: &[&Server], budget: u64) -> StepTimesSpec {
    let groups = groups(servers);
    let spec = start(cards);
    let known = parameters();
    let with = |values: &[f64]| {
        let mut spec = spec.clone();
        for (known, value) in known.iter().zip(values) {
            *(known.slot)(&mut spec) = *value;
        }
        spec
    };
    let loss = |values: &[f64]| {
        let spec = with(values);
        let mut loss: f64 =
            known.iter().zip(values).map(|(known, value)| PRIOR * known.parameter.surprise(*value)).sum();
        for (server, kinds) in &groups {
            let Some(model) = server.model(&spec) else { continue };
            for (places, scale) in kinds.iter().zip(SCALES).filter(|(places, _)| !places.is_empty()) {
                let of_steps = places.iter().map(|place| {
                    let step = &server.steps[*place];
                    robust((model.micros(&step.batch) / step.micros).ln(), scale)
                });
                loss += of_steps.sum::<f64>() / places.len() as f64;
            }
        }
        loss
    };
    let only: Vec<Parameter> = known.iter().map(|known| known.parameter).collect();
    let found: Vec<f64> = least(&only, budget, loss).into_iter().map(rounded).collect();
    with(&found)
}

/// How far rates are from the steps of a server that nothing was fitted to, by kind.
#[must_use]
pub fn residuals(server: &Server, spec: &StepTimesSpec, words: &str) -> Vec<Residual> {
    let of_kind = |kind: Kind| {
        let errors = errors(server, kind, spec);
        (!errors.is_empty()).then(|| Residual {
            of: format!("{}: {}, {words}", server.name, kind.name()),
            rows: errors.len() as u32,
            median_percent: rounded(quantile(&errors, 0.5)),
            p90_percent: rounded(quantile(&errors, 0.9)),
        })
    };
    Kind::ALL.into_iter().filter_map(of_kind).collect()
}

/// Fits kernels and servers.
///
/// # Errors
/// A table that cannot be read.
pub fn all(kernels: &Path, servers: &[Server], mut told: impl FnMut(&str)) -> Result<StepTimesSpec, String> {
    let mut found = Vec::new();
    let mut cards = Vec::new();
    for (prefix, id) in CARDS {
        told(&format!("kernels of {id}"));
        let sheet = catalog().accelerator(id).ok_or_else(|| format!("{id} is not in the catalogue"))?;
        cards.push(card(kernels, prefix, sheet, in_server(id), &mut found)?);
    }
    lend(&mut cards);
    let used: Vec<&Server> = servers.iter().filter(|server| server.is_judged()).collect();
    told("steps of all servers");
    let mut spec = server(cards.clone(), &used, BUDGET);
    // The other cards of the family meet the same limits.
    let met = measured(&mut spec).clone();
    for card in spec.cards.iter_mut().filter(|card| card.accelerator.starts_with("B200")) {
        card.decode_in_server = met.decode_in_server;
        card.memory_in_server = met.memory_in_server;
        card.sustained = met.sustained;
    }
    for server in &used {
        found.extend(residuals(server, &spec, "steps held back"));
    }
    for held in &used {
        told(&format!("steps without {}", held.name));
        let others: Vec<&Server> = used.iter().copied().filter(|other| other.name != held.name).collect();
        let without = server(cards.clone(), &others, BUDGET_WITHOUT_ONE);
        found.extend(residuals(held, &without, "server held back"));
    }
    spec.residuals = found;
    Ok(spec)
}

/// Gives cards without a table of some experts the rates of the one that is nearest in bandwidth and has it.
fn lend(cards: &mut [CardRates]) {
    let sheet = |id: &str| catalog().accelerator(id).map_or(1.0, |sheet| sheet.memory_bandwidth_tb_per_s);
    for place in 0..cards.len() {
        let own = sheet(&cards[place].accelerator);
        let nearest = |has: fn(&CardRates) -> bool| {
            let others = cards.iter().filter(|card| has(card));
            let apart = |card: &CardRates| (sheet(&card.accelerator) / own).ln().abs();
            others.min_by(|left, right| apart(left).total_cmp(&apart(right))).cloned()
        };
        if cards[place].experts_4bit.is_none() {
            cards[place].experts_4bit = nearest(|card| card.experts_4bit.is_some()).and_then(|card| card.experts_4bit);
        }
    }
}

//! Measured steps, read from a folder with an `index.csv`.

use crate::truth::configs::path_of;
use crate::truth::table::{Cells, number, read, read_whole, text};
use plimsoll_anatomy::{BesideConfig, footprint_from_hf_config};
use plimsoll_configs::catalog;
use plimsoll_core::catalog::{AcceleratorSpec, Footprint, StepTimesSpec};
use plimsoll_core::latency::{Batch, Card, Inputs, MeasuredRoofline};
use std::path::Path;

/// The largest batch whose launches these servers captured, judged by where their times jump.
const CAPTURED: u32 = 512;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Decodes alone.
    Decode,
    /// Prompts alone.
    Prompt,
    /// Both.
    Mixed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Decode, Kind::Prompt, Kind::Mixed];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Decode => "decode",
            Kind::Prompt => "prompt",
            Kind::Mixed => "mixed",
        }
    }
}

/// Steps of a stretch that is fitted or held back as a whole: prompts in two parts come in turns, so every second step would
/// be one kind of part.
const STRETCH: usize = 16;

/// Whether nothing is fitted to the step at a place of a file.
#[must_use]
pub fn is_held_back(place: usize) -> bool {
    place / STRETCH % 2 == 1
}

/// A measured step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its place in the order of time.
    pub index: u64,
    /// What it did.
    pub kind: Kind,
    /// What was in it.
    pub batch: Batch,
    /// How long it took, microseconds.
    pub micros: f64,
}

/// A measured server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Name of its file.
    pub name: String,
    /// What its model is.
    pub footprint: Footprint,
    /// Its accelerator.
    pub accelerator: AcceleratorSpec,
    /// Ranks that share every matrix.
    pub ranks: u32,
    /// Replicas that share experts; 1 without.
    pub replicas: u32,
    /// Whether ranks share experts whole.
    pub expert_parallel: bool,
    /// Bytes of a cached value.
    pub value_bytes: f64,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl Server {
    /// Whether its model has experts.
    #[must_use]
    pub fn has_experts(&self) -> bool {
        self.footprint.active_experts > 0
    }

    /// Whether its bars hold: what the README of the data says is not to be used is left out, and so is what one cannot
    /// know, the batch of the slowest of several replicas.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.replicas == 1 && !self.name.starts_with("deepseek")
    }

    /// Whether a step is used: the first of a server start it, and one process alone books a chunk's time before it.
    #[must_use]
    pub fn uses(&self, step: &Step) -> bool {
        !self.has_experts() || (step.index >= 20 && (self.ranks > 1 || self.replicas > 1 || step.kind == Kind::Decode))
    }

    /// The model of it under some rates; none if nothing was measured.
    #[must_use]
    pub fn model(&self, spec: &StepTimesSpec) -> Option<MeasuredRoofline> {
        let card = Card::of(&self.accelerator, &spec.cards, &catalog().accelerators)?;
        let inputs = Inputs {
            compute: &self.footprint.compute,
            value_bytes: self.value_bytes,
            state_bytes: f64::from(self.footprint.state_bytes),
            card,
            spec,
            ranks: self.ranks,
            expert_parallel: self.expert_parallel,
            captured: CAPTURED,
            is_async: true,
        };
        Some(inputs.model())
    }
}

/// A server of an index, or its name and why it cannot be read.
pub type Found = Result<Server, (String, String)>;

/// Reads every server of a folder.
///
/// # Errors
/// An index that cannot be read; a server that cannot be read is told in its place.
pub fn servers(folder: &Path) -> Result<Vec<Found>, String> {
    let index = read(&folder.join("index.csv"))?;
    Ok(index
        .iter()
        .map(|row| match row {
            Ok(cells) => server(cells, folder).map_err(|reason| (text(cells, "name").to_owned(), reason)),
            Err(reason) => Err(("unreadable row of the index".into(), reason.clone())),
        })
        .collect())
}

/// The servers to fit to: all but those named as left out.
///
/// # Errors
/// Every server that cannot be read and is not left out, and every name that no server has.
pub fn fitted(found: Vec<Found>, left_out: &[String]) -> Result<Vec<Server>, String> {
    let name_of = |found: &Found| match found {
        Ok(server) => server.name.clone(),
        Err((name, _)) => name.clone(),
    };
    let names: Vec<String> = found.iter().map(name_of).collect();
    let unknown = left_out.iter().filter(|name| !names.contains(name));
    let mut problems: Vec<String> = unknown.map(|name| format!("there is no server {name} to leave out")).collect();
    let mut servers = Vec::new();
    for (found, name) in found.into_iter().zip(names) {
        match found {
            _ if left_out.contains(&name) => {}
            Ok(server) => servers.push(server),
            Err((_, reason)) => problems.push(format!("{name}: {reason}; --without {name} leaves it out")),
        }
    }
    if problems.is_empty() { Ok(servers) } else { Err(problems.join("\n")) }
}

fn server(cells: &Cells, folder: &Path) -> Result<Server, String> {
    let name = text(cells, "name").to_owned();
    let path = path_of(&name, text(cells, "config"), folder)?;
    let config = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let said = |problems: Vec<plimsoll_core::diagnostic::Diagnostic>| {
        problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let footprint = footprint_from_hf_config(&config, BesideConfig::default()).map_err(said)?.value;
    let hardware = text(cells, "hardware");
    let accelerator = catalog().accelerator(hardware).ok_or_else(|| format!("{hardware} is not known"))?.clone();
    let arguments = text(cells, "engine_args");
    let steps = read_whole(&folder.join(format!("{name}.csv")))?.iter().map(step).collect::<Result<_, _>>()?;
    Ok(Server {
        accelerator,
        ranks: number(cells, "tp")?,
        replicas: flag(arguments, "--data-parallel-size").unwrap_or(1),
        expert_parallel: arguments.contains("--enable-expert-parallel"),
        value_bytes: if text(cells, "kv_dtype") == "fp8" { 1.0 } else { f64::from(footprint.value_bytes) },
        footprint,
        steps,
        name,
    })
}

/// The number behind a flag.
fn flag(arguments: &str, name: &str) -> Option<u32> {
    arguments.split_whitespace().skip_while(|word| *word != name).nth(1)?.parse().ok()
}

fn step(cells: &Cells) -> Result<Step, String> {
    let prompts: u32 = number(cells, "prefill_reqs")?;
    let prompt_tokens: u64 = number(cells, "prefill_tokens")?;
    let past: u64 = number(cells, "prefill_past")?;
    let variance: f64 = number(cells, "prefill_len_var")?;
    let mean = if prompts > 0 { prompt_tokens as f64 / f64::from(prompts) } else { 0.0 };
    // Which tokens are behind which is not told, so all have what the mean has.
    let pairs = f64::from(prompts) * (variance + mean * mean) + 2.0 * mean * past as f64 + prompt_tokens as f64;
    let kind = match text(cells, "kind") {
        "decode" => Kind::Decode,
        "prefill" => Kind::Prompt,
        "mixed" => Kind::Mixed,
        other => return Err(format!("kind is {other}")),
    };
    Ok(Step {
        index: number(cells, "i")?,
        kind,
        batch: Batch {
            prompt_tokens,
            prompts,
            past,
            pairs: pairs.round() as u64,
            decodes: number(cells, "decode_reqs")?,
            context: number(cells, "decode_ctx")?,
        },
        micros: number::<f64>(cells, "ms")? * 1000.0,
    })
}

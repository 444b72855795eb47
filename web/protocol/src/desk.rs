//! What the page asks of the desk, the part of the worker's module that knows the scenario.
//!
//! The page holds the scenario as text that it passes on unread, and beside it everything its controls show.
//! Each edit goes to the desk with that text and comes back as a whole new [`DeskState`], so the desk remembers nothing
//! and parts of the scenario that the page knows nothing about pass through unharmed.

use crate::view::View;
use plimsoll_core::curve::CurveScenario;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{Basis, Choice, Slo};
use serde::{Deserialize, Serialize};

/// A change of the scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Edit {
    /// The scenario the page starts with.
    Base,
    /// The same scenario under vLLM's rules.
    NewRules,
    /// The scenario of a link.
    Link {
        /// The address's fragment.
        fragment: String,
    },
    /// Another scenario altogether.
    Scenario {
        /// It as JSON.
        text: String,
    },
    /// A number of a control.
    Number {
        /// Path of the field.
        path: String,
        /// Finite and not negative; none where the field may be empty.
        value: Option<f64>,
    },
    /// A choice of a picker.
    Choice {
        /// Path of the field.
        path: String,
        /// What was chosen.
        id: String,
    },
    /// A value that came as JSON, such as a model of one's own.
    Value {
        /// Path of the field.
        path: String,
        /// The value.
        text: String,
    },
    /// An accelerator of one's own.
    Accelerator {
        /// Its figures.
        sheet: AcceleratorSheet,
    },
    /// The server that a `vllm serve` line starts; only the workers' second form reads it.
    ServeLine {
        /// The line as it was pasted. It may hold secrets, so nothing keeps it.
        text: String,
    },
}

/// The figures of an accelerator that a person can state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorSheet {
    /// Name.
    pub id: String,
    /// Dense BF16 peak in TFLOP/s, memory bandwidth in TB/s, memory in GiB, share of the peak in prefill and in decode.
    pub figures: [f64; 5],
}

/// The scenario as the page's controls show it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskState {
    /// The scenario as JSON; equal scenarios have equal texts.
    pub scenario: String,
    /// Its parts of a link ([`crate::view::fragment`]); empty for the base.
    pub changes: String,
    /// Numbers by field; none where the field is empty.
    pub numbers: Vec<(String, Option<f64>)>,
    /// Choices in force by field.
    pub choices: Vec<(String, String)>,
    /// What pickers offer by field, where that is little; long lists are asked for when they open.
    pub offers: Vec<(String, Vec<Choice>)>,
    /// The accelerator's figures, if they are known.
    pub accelerator: Option<AcceleratorSheet>,
    /// Hash of the trace it replays.
    pub trace: Option<String>,
    /// Requests per second at which the part of it that is replayed was recorded, once the worker has read it.
    pub recorded_rate_per_s: Option<f64>,
    /// Clients of a mix, whose own arrivals, lengths and prefixes replace those of the controls; 0 where there is none.
    pub num_clients: u32,
    /// What `resolve` says about it.
    pub diagnostics: Vec<Diagnostic>,
    /// What it resolves to; none with an error among the diagnostics.
    pub resolved: Option<Resolved>,
}

impl DeskState {
    /// The number of a field.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<f64> {
        find(&self.numbers, path).copied().flatten()
    }

    /// The choice of a field; empty if it has none.
    #[must_use]
    pub fn choice(&self, path: &str) -> &str {
        find(&self.choices, path).map_or("", String::as_str)
    }

    /// What is in force where the field is empty, if that is known.
    #[must_use]
    pub fn default_of(&self, path: &str) -> Option<&DefaultSetting> {
        self.resolved.as_ref()?.basics.defaults.iter().find(|default| default.path == path)
    }

    /// What the picker of a field offers.
    #[must_use]
    pub fn offers(&self, path: &str) -> &[Choice] {
        find(&self.offers, path).map_or(&[], Vec::as_slice)
    }
}

fn find<'a, T>(entries: &'a [(String, T)], path: &str) -> Option<&'a T> {
    entries.iter().find(|(name, _)| name == path).map(|(_, value)| value)
}

/// What the page needs of a resolved scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// For the study of its curve.
    pub curve: CurveScenario,
    /// For the panels.
    pub basics: Basics,
}

/// What is known of a scenario once it is resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basics {
    /// What must hold.
    pub slo: Slo,
    /// What the prediction rests on.
    pub basis: Basis,
    /// The logs behind a fit, as a badge names them; empty without one.
    pub calibrated_on: String,
    /// The range in which the fit stands, in words.
    pub calibrated_range: String,
    /// The lowest and the highest rate of its logs for as many replicas, requests per second; 0 if they are not known.
    pub calibrated_rates: [f64; 2],
    /// Where the memory goes.
    pub ledger: Option<LedgerView>,
    /// Settings of the engine in force.
    pub settings: EngineLimits,
    /// What was filled in, in words.
    pub filled_in: Vec<String>,
    /// Settings of the engine that are left out, with what is in force in their place.
    pub defaults: Vec<DefaultSetting>,
    /// Price of the accelerators, US dollars per hour, if the catalogue has one.
    pub price_usd_per_hour: Option<f64>,
    /// Model, accelerator and parallelism in words.
    pub deployment: String,
}

/// Where the memory goes, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerView {
    /// Whose memory it is.
    pub whole: String,
    /// Parts of it, which make the whole.
    pub parts: Vec<LedgerItem>,
    /// What follows for the KV cache.
    pub facts: Vec<LedgerItem>,
    /// Which source of the number of blocks is in force, and what the others say.
    pub source: String,
}

/// An item of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerItem {
    /// Name.
    pub label: String,
    /// Amount with unit.
    pub value: String,
    /// How it comes about, its figures filled in; may be empty.
    pub equation: String,
    /// Share of the whole, 0–1; none for what is no part of it.
    pub ratio: Option<f64>,
}

/// A setting that is left out, and what is in force in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultSetting {
    /// Path of the field.
    pub path: String,
    /// What is in force, as it would be given: a number, `true` or `false`.
    pub value: String,
    /// Whose default it is, e.g. `default of vLLM 0.33 on H100`.
    pub source: String,
}

/// The limits of one replica's engine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineLimits {
    /// KV blocks.
    pub num_blocks: u32,
    /// Tokens per block.
    pub block_size: u32,
    /// Most requests in one batch.
    pub max_num_seqs: u32,
    /// Token budget of one step.
    pub max_num_batched_tokens: u32,
}

/// What an edit had to say besides the new state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The view of a link.
    pub view: Option<View>,
    /// What of a link was not understood.
    pub notices: Vec<Diagnostic>,
    /// What was changed along with it, one sentence; empty if nothing was.
    pub remark: String,
    /// What was understood of a `vllm serve` line.
    pub serve_line: Option<ServeLineRead>,
}

/// What was understood of a `vllm serve` line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeLineRead {
    /// Every setting it decides, or leaves out although it was set.
    pub settings: Vec<ServerSetting>,
    /// Flags that are gone, not modelled or not known, and what else is to be said of it: notes and warnings.
    pub remarks: Vec<Diagnostic>,
}

/// A setting of the server that a `vllm serve` line decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSetting {
    /// Path of the field.
    pub path: String,
    /// What it was; none for the server's own choice.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
    /// The flag that decides it, with its dashes; empty for the line itself, none where no flag does.
    pub flag: Option<String>,
}

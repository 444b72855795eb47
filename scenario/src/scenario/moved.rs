//! From the rules of the reference to vLLM's own, in one step.

use super::deployment::KnownDeployment;
use super::{BlocksSource, EngineDefault, EngineSettings, Scenario, Scheduling};
use crate::catalog::{Catalog, ModelSpec};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A scenario moved to vLLM's rules.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRules {
    /// The scenario under the new rules.
    pub scenario: Scenario,
    /// What is different in it, one line each, e.g. `max_num_seqs: 256 becomes 1024 (default of vLLM 0.33 on H100)`.
    pub changes: Vec<String>,
}

/// A setting that is left to the server: its path, and what it was.
type LeftOut = (&'static str, String);

impl Scenario {
    /// The same scenario under vLLM's rules; none if it has these already.
    ///
    /// Settings of the engine that are as version 1 of the schema had them by default are left to the server's version
    /// and the accelerator. All others stay, those too that the new rules refuse.
    #[must_use]
    pub fn under_new_rules(&self, catalog: &Catalog) -> Option<NewRules> {
        let (scenario, left_out) = self.moved()?;
        let resolved = scenario.resolve(catalog).ok().map(|warned| warned.value);
        let defaults = resolved.as_ref().map_or(&[][..], |resolved| &resolved.defaults);
        let ledger = resolved.as_ref().and_then(|resolved| resolved.ledger.as_ref());
        let has_row = ledger.is_some_and(|ledger| ledger.source() == BlocksSource::CoefficientRow);
        Some(NewRules { changes: changes(&left_out, defaults, has_row), scenario })
    }

    /// Leaves out the server version where it only names the coefficients of the model, which changes.
    pub fn forget_coefficients_version(&mut self) {
        if self.engine.scheduling == Scheduling::Reference {
            self.deployment.server_version = None;
        }
    }

    fn moved(&self) -> Option<(Self, Vec<LeftOut>)> {
        if self.engine.scheduling == Scheduling::VllmV1 {
            return None;
        }
        let mut scenario = self.clone();
        let usual = EngineSettings::of_version_1();
        let engine = &mut scenario.engine;
        engine.scheduling = Scheduling::VllmV1;
        let places = engine.max_num_seqs.take_if(|places| Some(*places) == usual.max_num_seqs);
        let tokens = engine.max_num_batched_tokens.take_if(|tokens| Some(*tokens) == usual.max_num_batched_tokens);
        let share = engine.gpu_memory_utilization.take_if(|share| Some(*share) == usual.gpu_memory_utilization);
        // What nobody set is the reference's, which the new rules leave to the server as well.
        let places = places.or(usual.max_num_seqs).filter(|_| engine.max_num_seqs.is_none());
        let tokens = tokens.or(usual.max_num_batched_tokens).filter(|_| engine.max_num_batched_tokens.is_none());
        let left_out = [
            ("engine.max_num_seqs", places.map(|value| value.to_string())),
            ("engine.max_num_batched_tokens", tokens.map(|value| value.to_string())),
            ("engine.gpu_memory_utilization", share.map(|value| value.to_string())),
        ];
        Some((scenario, left_out.into_iter().filter_map(|(path, was)| Some((path, was?))).collect()))
    }

    /// The note that there are newer rules, and what moving over would change; none if the scenario has these already.
    pub(super) fn newer_rules(&self, deployment: &KnownDeployment<'_>, has_row: bool) -> Option<Diagnostic> {
        let (scenario, left_out) = self.moved()?;
        let message = "the rules are those of the reference simulator; vLLM's own are newer";
        let hint = match scenario.engine.obstacles_to_vllm().first() {
            Some(obstacle) => format!("they do not take this scenario as it is: {}", obstacle.message),
            None => {
                let defaults =
                    scenario.in_force(deployment, deployment.model.map_or(0, ModelSpec::longest_context)).defaults;
                format!("moving over changes {}", changes(&left_out, &defaults, has_row).join("; "))
            }
        };
        Some(Diagnostic::note("newer-rules", "engine.scheduling", message).with_hint(hint))
    }
}

/// The changes in words; a setting whose default is what it was is none.
fn changes(left_out: &[LeftOut], defaults: &[EngineDefault], has_row: bool) -> Vec<String> {
    let mut changes = Vec::from([String::from("scheduling: reference becomes vllm-v1")]);
    changes.extend(left_out.iter().filter_map(|(path, was)| {
        let name = path.rsplit('.').next().unwrap_or(path);
        if has_row && *path == "engine.gpu_memory_utilization" {
            return Some(format!("{name}: {was} is left out, so the KV blocks are those of the coefficients"));
        }
        match defaults.iter().find(|default| default.path == *path) {
            Some(default) if default.value == *was => None,
            Some(default) => Some(format!("{name}: {was} becomes {} ({})", default.value, default.source)),
            None => Some(format!("{name}: {was} is left to the server")),
        }
    }));
    changes
}

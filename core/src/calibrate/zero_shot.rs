//! What is predicted of a server that nobody has fitted.

use super::{ClientEffects, Deployment, Prediction, Replay, RunErrors};
use crate::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::kv_plan::KvDtype;
use crate::latency::LatencyModel;
use crate::measurement::{MeasuredDeployment, Measurement};
use crate::scenario::{Batching, EngineConfig, MeasuredServer, Rules, ServerVersion, VllmRules};
use alloc::vec::Vec;

/// A server's step times from measured kernels, without a fit.
#[derive(Debug, Clone)]
pub struct ZeroShot {
    latency: LatencyModel,
    engine: EngineConfig,
    /// Whether kernels were measured on its accelerator itself.
    pub is_measured: bool,
}

impl ZeroShot {
    /// The server as stated, with guesses for the rest.
    ///
    /// # Errors
    /// The model or its layers are not known.
    pub fn new(catalog: &Catalog, stated: &MeasuredDeployment, guess: &Deployment) -> Result<Self, Vec<Diagnostic>> {
        let (Some(model), Some(accelerator)) = (&guess.model, &guess.accelerator) else {
            let message = match &stated.model {
                Some(id) => alloc::format!("the catalogue has no model {id}"),
                None => "no log says which model was served".into(),
            };
            let problem = Diagnostic::error("unknown-model", "deployment.model", message);
            return Err(alloc::vec![problem.with_hint("name one of the catalogue with --model, or give a fit")]);
        };
        let version = stated.engine_version.as_deref().and_then(ServerVersion::parse).unwrap_or(ServerVersion::NEWEST);
        let async_scheduling = version.async_scheduling();
        let server = MeasuredServer {
            model,
            accelerator,
            tensor_parallel_size: guess.tensor_parallel_size,
            enable_expert_parallel: false,
            kv_cache_dtype: KvDtype::Auto,
            max_num_seqs: guess.engine.max_num_seqs,
            async_scheduling,
        };
        let (latency, is_measured) = server.latency(catalog)?;
        let batching = if async_scheduling { Batching::Async } else { Batching::Sync };
        let rules = match guess.engine.rules {
            Rules::VllmV1(rules) => Rules::VllmV1(VllmRules { batching, ..rules }),
            Rules::Reference => Rules::Reference,
        };
        Ok(Self { latency, engine: EngineConfig { rules, ..guess.engine }, is_measured })
    }

    /// What is predicted of a run.
    #[must_use]
    pub fn predict(&self, run: &Measurement) -> Prediction {
        Replay::new(run, usize::MAX).run(self.engine, &self.latency, ClientEffects::default())
    }

    /// How far that is from the run.
    #[must_use]
    pub fn errors(&self, run: &Measurement) -> RunErrors {
        RunErrors::new(run, &self.predict(run))
    }
}

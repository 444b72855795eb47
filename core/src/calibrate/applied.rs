//! A fit in a scenario: the calibrated model, the server it was fitted to, and the range it holds in.

use super::{ClientEffects, Deployment, Fit, FittedModel};
use crate::catalog::Catalog;
use crate::measurement::{ClientLoad, MeasuredDeployment, Measurement};
use crate::scenario::{
    AcceleratorChoice, CalibratedOn, LatencyFit, LatencyModelChoice, LatencySettings, ModelChoice, Scenario, Scheduling,
};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// Significant digits of a coefficient in a scenario: more than any fit can tell, few enough for a link.
const DIGITS: i32 = 7;
/// Significant digits of a rate.
const RATE_DIGITS: i32 = 3;

/// What a fit to these runs of one server was calibrated on.
#[must_use]
pub fn calibrated_on(runs: &[&Measurement], stated: &MeasuredDeployment, server: &Deployment) -> CalibratedOn {
    let mut on = CalibratedOn {
        scheduling: Scheduling::VllmV1,
        logs: label(runs),
        num_requests: runs.iter().map(|run| run.requests.len() as u32).sum(),
        model: model_id(stated, server),
        accelerator: server.accelerator.as_ref().map_or_else(String::new, |spec| spec.id.clone()),
        tensor_parallel_size: server.tensor_parallel_size,
        ..CalibratedOn::default()
    };
    let requests = || runs.iter().flat_map(|run| &run.requests);
    on.input_tokens = range(requests().map(|request| request.input_tokens));
    on.output_tokens = range(requests().map(|request| request.output_tokens));
    on.concurrency = range(runs.iter().map(|run| ClientLoad::of(run).most_in_flight));
    let rates = runs.iter().filter_map(|run| {
        let seconds = run.span()?.as_seconds();
        (seconds > 0.0).then(|| significant(run.requests.len() as f64 / seconds, RATE_DIGITS))
    });
    let range = rates.fold(None, |range: Option<[f64; 2]>, rate| {
        Some(range.map_or([rate; 2], |[low, high]| [low.min(rate), high.max(rate)]))
    });
    on.request_rate = range.unwrap_or_default();
    on
}

impl Fit {
    /// The fit as a scenario holds it.
    #[must_use]
    pub fn settings(&self, calibrated_on: CalibratedOn) -> LatencyFit {
        let short = |values: &[f64]| values.iter().map(|value| significant(*value, DIGITS)).collect();
        LatencyFit {
            model: self.model.choice(),
            alpha: short(&self.alpha),
            beta: short(&self.beta),
            client: ClientEffects {
                idle_delay_us: significant(self.client.idle_delay_us, DIGITS),
                busy_delay_us: significant(self.client.busy_delay_us, DIGITS),
            },
            calibrated_on,
        }
    }

    /// Puts the fit into a scenario, with the server it was fitted to.
    ///
    /// `stated` is what is known of the server: model, accelerator, parallelism and the limits of its engine take the
    /// place of the scenario's own, with guesses where nothing is known but for the model. Workload and limits on
    /// latency stay.
    pub fn apply(
        &self,
        scenario: &mut Scenario,
        catalog: &Catalog,
        stated: &MeasuredDeployment,
        calibrated_on: CalibratedOn,
    ) {
        let server = Deployment::guess(catalog, stated);
        let (known_blocks, block_size) = (server.known_blocks(), server.block_size_in_force(stated));
        let scheduling = calibrated_on.scheduling;
        scenario.latency = LatencySettings {
            model: LatencyModelChoice::Calibrated,
            alpha: None,
            beta: None,
            fit: Some(self.settings(calibrated_on)),
        };
        let id = model_id(stated, &server);
        scenario.deployment.server_version = None;
        match server.model {
            Some(mut spec) if catalog.model(&id).is_none() => {
                spec.id = id;
                scenario.deployment.model = ModelChoice::Custom(Box::new(spec));
            }
            _ if id.is_empty() => {}
            _ => scenario.deployment.model = ModelChoice::Id(id),
        }
        scenario.deployment.accelerator = server.accelerator.map(|spec| AcceleratorChoice::Id(spec.id));
        scenario.deployment.tensor_parallel_size = Some(server.tensor_parallel_size);
        let engine = &mut scenario.engine;
        engine.scheduling = scheduling;
        // A model that does not tell was fitted to a server that plans synchronously.
        let is_told = self.model == FittedModel::Calibrated;
        engine.async_scheduling = (scheduling == Scheduling::VllmV1 && !is_told).then_some(false);
        engine.max_num_seqs = Some(server.engine.max_num_seqs);
        engine.max_num_batched_tokens = Some(server.engine.max_num_batched_tokens);
        engine.block_size = block_size;
        engine.num_gpu_blocks = stated.num_gpu_blocks.or(known_blocks).or(engine.num_gpu_blocks);
        engine.enable_prefix_caching = stated.enable_prefix_caching.unwrap_or(engine.enable_prefix_caching);
    }
}

/// The model's id as in the catalogue if it is there, else as stated.
fn model_id(stated: &MeasuredDeployment, server: &Deployment) -> String {
    match (&stated.model, &server.model) {
        (Some(name), Some(spec)) if name.eq_ignore_ascii_case(&spec.id) => spec.id.clone(),
        (Some(name), _) => name.clone(),
        (None, _) => String::new(),
    }
}

fn range(values: impl Iterator<Item = u32>) -> [u32; 2] {
    let range = values.fold(None, |range: Option<[u32; 2]>, value| {
        Some(range.map_or([value; 2], |[low, high]| [low.min(value), high.max(value)]))
    });
    range.unwrap_or_default()
}

/// The first log's name without its folders, and how many others there are.
fn label(runs: &[&Measurement]) -> String {
    let first = runs.first().map_or("", |run| run.name.rsplit(['/', '\\']).next().unwrap_or_default());
    let first: String = first.chars().take(80).collect();
    match runs.len() {
        0 | 1 => first,
        count => format!("{first} and {} more", count - 1),
    }
}

/// A number with so many significant digits.
#[must_use]
pub fn significant(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Through decimal text, so that the result is the number a reader of the text gets.
    let digits = (digits - 1).max(0) as usize;
    format!("{value:.digits$e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::FittedModel;
    use crate::measurement::{LogFormat, MeasuredRequest};
    use crate::time::SimTime;
    use alloc::vec;

    fn run(name: &str, tokens: &[(u32, u32)]) -> Measurement {
        let mut run = Measurement::new(name, LogFormat::VllmBench);
        run.requests = tokens
            .iter()
            .map(|&(input_tokens, output_tokens)| MeasuredRequest {
                arrive: SimTime(0),
                send: SimTime(0),
                input_tokens,
                output_tokens,
                ttft: None,
                e2e: None,
                session: None,
                gaps: 0..0,
            })
            .collect();
        run.duration = Some(SimTime(3_000_000));
        run
    }

    #[test]
    fn numbers_keep_their_significant_digits() {
        for (value, digits, expected) in
            [(1234.5678912, 7, 1234.568), (0.000_123_456_789, 3, 0.000_123), (0.0, 7, 0.0), (2.0 / 3.0, 3, 0.667)]
        {
            assert_eq!(significant(value, digits), expected);
        }
    }

    #[test]
    fn a_scenario_takes_the_fit_its_server_and_its_range() {
        let runs = [run("logs/a.json", &[(10, 3), (40, 9)]), run("logs/b.json", &[(5, 30)])];
        let stated = MeasuredDeployment {
            model: Some("acme/tiny".into()),
            tensor_parallel_size: Some(2),
            num_gpu_blocks: Some(77),
            max_num_seqs: Some(12),
            ..MeasuredDeployment::default()
        };
        let catalog = crate::calibrate::tests::catalog();
        let server = Deployment::guess(&catalog, &stated);
        let on = calibrated_on(&[&runs[0], &runs[1]], &stated, &server);
        assert_eq!((on.logs.as_str(), on.num_requests), ("a.json and 1 more", 3));
        assert_eq!((on.input_tokens, on.output_tokens), ([5, 40], [3, 30]));
        // Nobody knows when they ended.
        assert_eq!(on.concurrency, [0, 0]);
        // One and two requests in three seconds each.
        assert_eq!(on.request_rate, [0.333, 0.667]);
        let fit = Fit {
            model: FittedModel::Calibrated,
            alpha: vec![1.0; 3],
            beta: vec![10.0 / 3.0; 7],
            client: ClientEffects::default(),
            loss: 0.0,
            evaluations: 1,
        };
        let mut scenario = Scenario::default();
        fit.apply(&mut scenario, &catalog, &stated, on.clone());
        let held = scenario.latency.fit.as_ref().unwrap();
        assert_eq!((scenario.latency.model, held.beta[0]), (LatencyModelChoice::Calibrated, 3.333_333));
        assert_eq!(scenario.deployment.model, ModelChoice::Id("acme/tiny".into()));
        assert_eq!((scenario.engine.num_gpu_blocks, scenario.engine.max_num_seqs), (Some(77), Some(12)));
        assert_eq!((held.calibrated_on.clone(), scenario.deployment.tensor_parallel_size), (on, Some(2)));
    }
}

//! The optimizer's file as its user wrote it, and malformed twins of it.

use super::*;
use plimsoll_core::measurement::{LogFormat, MeasuredRequest};
use plimsoll_core::time::SimTime;

/// As specified for the optimizer of August 2025.
const FILE: &str = "\
tokens_dir: data/tokens
sim_dir: results/sim
vllm_dir: results/vllm
kv_blocks: 94060
error_function: mape
seed: 42
pbounds:
  sum_decode_tokens: [0, 1]
  sum_prefill_tokens: [0, 1]
  num_prefills: [0, 1]
  intercept: [0, 1]
  schedule_time: [0, 1]
  vllm_overhead: [0.5, 0.5]
scaling:
  sum_decode_tokens: 1e-4
  sum_prefill_tokens: 1.0e-4
  num_prefills: 0.0001
  intercept: 0.02
  schedule_time: 2000
  vllm_overhead: 6000
train_config:
  num_prompts: [2]
  request_rate: [10, 30]
  temperature: [0.0]
  max_num_batched_tokens: [256, 2048]
  long_prefill_token_threshold: [256]
  datasets: [sharegpt]
test_config:
  request_rate: [20]
";

fn run(name: &str, rate: f64, budget: Option<u32>) -> Measurement {
    let mut run = Measurement::new(name, LogFormat::VllmBench);
    run.load.request_rate = Some(rate);
    run.deployment.max_num_batched_tokens = budget;
    let request = MeasuredRequest {
        arrive: SimTime(0),
        send: SimTime(0),
        input_tokens: 1,
        output_tokens: 1,
        ttft: None,
        e2e: None,
        session: None,
        gaps: 0..0,
    };
    run.requests = vec![request.clone(), request];
    run
}

fn problems(text: &str) -> Vec<String> {
    let Err(found) = optimizer_from_yaml(text, "o.yaml") else { panic!("it is taken") };
    found.into_iter().map(|found| format!("{} {} {}", found.path, found.code, found.hint)).collect()
}

#[test]
fn every_key_is_taken_as_it_was_meant() {
    let file = optimizer_from_yaml(FILE, "o.yaml").unwrap();
    assert_eq!((file.objective, file.seed, file.kv_blocks), (Some(Objective::Mape), Some(42), Some(94_060)));
    assert_eq!((file.tokens_dir.as_deref(), file.vllm_dir.as_deref()), (Some("data/tokens"), Some("results/vllm")));
    assert_eq!(file.remarks.len(), 1, "sim_dir has no effect, and that is said");
    assert_eq!(file.model(), FittedModel::Quadratic);
    let mut space = Space::default();
    space.fixed.push(("update_time".into(), 80.0));
    file.apply(FittedModel::Quadratic, &mut space).unwrap();
    // What the file does not name is 0, as it was for the optimizer.
    assert_eq!(space.fixed, [("vllm_overhead".to_owned(), 3000.0)]);
    let intercept = space.parameters.iter().find(|parameter| parameter.name == "intercept").unwrap();
    assert_eq!((intercept.value(0.0), intercept.value(0.5), intercept.value(1.0)), (0.0, 0.01, 0.02));
    assert_eq!(space.parameters.len(), 5);
    let problem = file.apply(FittedModel::Blackbox, &mut space).unwrap_err();
    assert_eq!((problem.code.as_str(), space.parameters.len()), ("parameters-mixed", 5));
    assert!(file.searched().any(|found| found == ("intercept", [0.0, 0.02])));
    assert_eq!(file.fixed().collect::<Vec<_>>(), [("vllm_overhead", 3000.0)]);
    let mut settings = FitSettings::default();
    file.put_into(&mut settings);
    let chosen =
        FitSettings { model: FittedModel::Quadratic, objective: Objective::Mape, seed: 42, ..FitSettings::default() };
    assert_eq!(settings, chosen);
    // A file that says nothing of it leaves it as it was.
    optimizer_from_yaml("kv_blocks: 9\n", "o.yaml").unwrap().put_into(&mut settings);
    assert_eq!(settings, chosen);
}

#[test]
fn runs_are_the_product_of_their_lists_matched_by_what_logs_tell() {
    let file = optimizer_from_yaml(FILE, "o.yaml").unwrap();
    let logs = [
        run("a.json", 10.0, Some(256)),
        run("b.json", 20.0, Some(256)),
        // Says its budget in its name alone.
        run("logs/exp_2p_30r_0.0t_2048mbt_256lpt_sharegpt.json", 30.0, None),
        run("exp_2p_30r_0.7t_256mbt_256lpt_sharegpt.json", 30.0, None),
    ];
    let train = file.train.as_ref().unwrap();
    assert_eq!(train.chosen(&logs), [0, 2]);
    assert_eq!(file.test.as_ref().unwrap().chosen(&logs), [1]);
    // Rate 10 with a budget of 2048, and rate 30 with 256 at temperature 0, are in no log.
    let split = file.split(&logs);
    assert_eq!((split.train, split.held_out, split.unmatched.len()), (vec![0, 2], vec![1], 2));
    let mut rest = file.clone();
    rest.train = None;
    assert_eq!(rest.split(&logs).train, [0, 2, 3], "all that are not kept aside");
    let missing = train.unmatched(&logs);
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].starts_with("num_prompts 2, request_rate 10, temperature 0, max_num_batched_tokens 2048"));
    assert!(missing[1].contains("request_rate 30") && missing[1].contains("max_num_batched_tokens 256,"));
}

#[test]
fn parameters_of_other_models_are_known_by_their_names() {
    let model = |names: &[&str]| {
        let bounds: String = names.iter().map(|name| format!("  {name}: [1, 2]\n")).collect();
        optimizer_from_yaml(&format!("pbounds:\n{bounds}"), "o.yaml").map(|file| file.model())
    };
    assert_eq!(model(&["alpha0", "alpha2", "beta0", "beta2"]), Ok(FittedModel::Blackbox));
    assert_eq!(model(&["beta0", "beta7", "idle"]), Ok(FittedModel::Calibrated));
    assert_eq!(model(&["beta1", "beta10"]), Ok(FittedModel::TrainedPhysics));
    assert_eq!(model(&["alpha1", "mfu_decode"]), Ok(FittedModel::Roofline));
    let mixed = model(&["beta10", "mfu_decode"]).unwrap_err();
    assert_eq!(mixed[0].code, "parameters-mixed");
    assert_eq!(optimizer_from_yaml("seed: 1\n", "o.yaml").unwrap().model(), FittedModel::default());
    // What a file for another model does not name stays as it is.
    let file = optimizer_from_yaml("pbounds: { beta0: [3, 3] }\n", "o.yaml").unwrap();
    let usual = |name: &str| Parameter { name: name.into(), ..optimizer_parameter() };
    let mut space = Space::new(vec![usual("beta0"), usual("beta1")]);
    file.apply(FittedModel::Blackbox, &mut space).unwrap();
    assert_eq!((space.parameters.len(), space.fixed.clone()), (1, vec![("beta0".to_owned(), 3.0)]));
}

fn optimizer_parameter() -> Parameter {
    Parameter {
        name: String::new(),
        low: 1.0,
        high: 2.0,
        is_log: false,
        scale: 1.0,
        center: None,
        starts: Vec::new(),
        is_choice: false,
    }
}

#[test]
fn malformed_twins_are_told_at_their_places() {
    let with = |from: &str, to: &str| {
        assert!(FILE.contains(from), "{from}");
        problems(&FILE.replacen(from, to, 1))
    };
    assert_eq!(
        with("error_function: mape", "error_function: mpe"),
        ["o.yaml:5:1 invalid-value did you mean mape? valid are mape, mse"]
    );
    assert!(with("kv_blocks:", "kv_block:")[0].starts_with("o.yaml:4:1 unknown-field did you mean kv_blocks?"));
    assert_eq!(with("kv_blocks: 94060", "kv_blocks: 0"), ["o.yaml:4:1 invalid-value give 1 or more"]);
    assert_eq!(with("kv_blocks: 94060", "kv_blocks: -3").len(), 1);
    assert_eq!(with("seed: 42", "seed: many").len(), 1);
    assert_eq!(with("seed: 42", "seed: 42\nseed: 43"), ["o.yaml:7:1 repeated-field keep one of them"]);
    assert_eq!(
        with("intercept: [0, 1]", "intercept: [1, 0]"),
        ["o.yaml:11:3 invalid-value give [low, high] with low <= high"]
    );
    assert_eq!(with("intercept: [0, 1]", "intercept: [0, 1, 2]").len(), 1);
    assert_eq!(with("intercept: [0, 1]", "intercept: [0, one]").len(), 1);
    assert_eq!(
        with("  num_prefills: [0, 1]", "  num_prefill: [0, 1]")[0],
        "o.yaml:10:3 unknown-field did you mean num_prefills?"
    );
    assert_eq!(
        with("  intercept: 0.02", "  intercept: none"),
        ["o.yaml:18:3 invalid-value give a number other than 0"]
    );
    assert_eq!(
        with("  schedule_time: [0, 1]\n", ""),
        ["o.yaml:18:3 unknown-field give its bounds in pbounds, or leave it out"]
    );
    assert_eq!(with("request_rate: [20]", "request_rate: 20"), ["o.yaml:29:3 invalid-value give a list, e.g. [100]"]);
    assert_eq!(with("datasets: [sharegpt]", "datasets: [7]").len(), 1);
    assert_eq!(with("  temperature: [0.0]", "  temperatur: [0.0]").len(), 1);
    let long = format!("request_rate: [{}]", "1, ".repeat(6000) + "1");
    assert_eq!(with("request_rate: [10, 30]", &long).len(), 1, "more runs than anybody measured");
    assert_eq!(problems("- 1\n").len(), 1);
    assert!(problems("pbounds: [")[0].contains("syntax"));
    assert_eq!(problems("pbounds: 7\ntrain_config: []\n").len(), 2);
}

//! Calibration as a user calls it: configurations of the 2025 optimizer, saved studies, the published experiment.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().expect("the program starts")
}

/// Standard error of a command that must succeed.
fn told(output: &Output) -> &str {
    let text = std::str::from_utf8(&output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("created");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The number after a word.
fn number(told: &str, after: &str) -> f64 {
    let rest = told.split(after).nth(1).unwrap_or_else(|| panic!("{after} in {told}"));
    rest.split([' ', ',', ';']).next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{rest}"))
}

#[test]
fn the_published_experiment_is_fitted_from_its_baseline_and_gone_on_with() {
    let folder = folder("experiment");
    let out = folder.join("fit.yaml");
    let output =
        plimsoll(&["calibrate", "--example=experiment-01", "--out", text(&out), "--n_trials=600", "--save_study"]);
    let first = told(&output);
    // The records are figures of 2025, with what is wrong with them.
    for record in
        ["3.4914", "2.374", "204321.9", "in order of completion", "not comparable", "cannot be identified: the level"]
    {
        assert!(first.contains(record), "{record} in {first}");
    }
    let (before, after) = (number(first, "(the baseline): loss "), number(first, "after: loss "));
    assert!(after < 0.8 * before, "{before} {after}");
    // The polynomial is in seconds; its ends are told in the microseconds that follow them.
    assert!((1e3..2e4).contains(&number(first, "\nintercept: ")), "{first}");
    assert!(!first.contains(" 0 to 0 "), "{first}");
    let study = folder.join("fit.study.json");
    let again = folder.join("again.yaml");
    let output = plimsoll(&["calibrate", "--study", text(&study), "--out", text(&again), "--budget=200"]);
    told(&output);
    let loss = |path: &Path| {
        let yaml = fs::read_to_string(path).expect("written");
        let line = yaml.lines().find_map(|line| line.strip_prefix("loss: ")).expect("it has a loss");
        line.parse::<f64>().expect("a number")
    };
    assert!(loss(&again) <= loss(&out), "{} {}", loss(&again), loss(&out));
    // The fit serves a scenario.
    let output = plimsoll(&["run", "--fit", text(&out), "--rate=5", "--num-requests=20"]);
    assert!(told(&output).contains("experiment-01"), "{}", told(&output));
}

/// A run of the benchmark client: requests one after the other, whose steps took 8 ms and whose prompts 12 ms more.
fn log(folder: &Path, name: &str, rate: u32) {
    let count = 12;
    let list = |value: &str| vec![value; count].join(", ");
    let mut json = format!(
        "{{\"model_id\": \"my/server\", \"num_prompts\": {count}, \"request_rate\": {rate}, \"burstiness\": 1.0, \"duration\": 2.0, \"completed\": {count}"
    );
    let itls = list(&format!("[{}]", ["0.008"; 9].join(", ")));
    let starts: Vec<String> = (0..count).map(|at| format!("{:.3}", at as f64 / f64::from(rate))).collect();
    write!(
        json,
        ", \"start_times\": [{}], \"input_lens\": [{}], \"output_lens\": [{}], \"ttfts\": [{}], \"itls\": [{itls}], \"errors\": [{}]}}",
        starts.join(", "),
        list("50"),
        list("10"),
        list("0.020"),
        list("\"\"")
    )
    .expect("a text grows");
    fs::write(folder.join(name), json).expect("written");
}

#[test]
fn a_configuration_of_2025_chooses_parameters_and_runs() {
    let folder = folder("optimizer");
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).expect("created");
    log(&logs, "exp_12p_2r_0.0t_2048mbt_256lpt_sharegpt.json", 2);
    log(&logs, "exp_12p_4r_0.0t_2048mbt_256lpt_sharegpt.json", 4);
    let config = folder.join("optimizer_config.yaml");
    let text_of = |error: &str| {
        format!(
            "vllm_dir: {}\nsim_dir: results\nkv_blocks: 94060\nerror_function: {error}\nseed: 42\n\
             pbounds:\n  intercept: [0, 1]\n  num_prefills: [0, 1]\n  schedule_time: [0.25, 0.25]\n\
             scaling: {{ intercept: 0.02, num_prefills: 0.02, schedule_time: 2000 }}\n\
             train_config: {{ request_rate: [2, 8], max_num_batched_tokens: [2048], datasets: [sharegpt] }}\n\
             test_config: {{ request_rate: [4] }}\n",
            text(&logs)
        )
    };
    fs::write(&config, text_of("mape")).expect("written");
    let out = folder.join("fit.yaml");
    let output = plimsoll(&["calibrate", "--config_file", text(&config), "--out", text(&out), "--n_trials=400"]);
    let said = told(&output);
    assert!(said.contains("no log is a run of request_rate 8, max_num_batched_tokens 2048"), "{said}");
    assert!(said.contains("sim_dir has no effect") && said.contains("kept aside: "), "{said}");
    let fit = fs::read_to_string(&out).expect("written");
    // What the file does not name is 0, and what it fixes stays: a quarter of 2000 µs.
    assert!(fit.contains("model: quadratic") && fit.contains("- 500.0\n  - 0.0\n  - 0.0\n  - 0.0\n"), "{fit}");
    // A step of 8 ms alone, so the intercept is 7.5 ms.
    let beta = fit.split("beta:").nth(1).expect("it has coefficients");
    let intercept: f64 =
        beta.lines().nth(15).and_then(|line| line.trim().strip_prefix("- ")?.parse().ok()).expect("15");
    assert!((intercept - 7.5e-3).abs() < 2e-4, "{intercept}");
    let study = folder.join("fit.study.json");
    let saved = fs::read_to_string(&study).expect("a configuration saves its study");
    assert!(saved.contains("\"test_errors\":[{"));
    fs::remove_file(&study).expect("it is there");
    let output =
        plimsoll(&["calibrate", "--config", text(&config), "--out", text(&out), "--n-trials=50", "--no-save_study"]);
    told(&output);
    assert!(!study.exists());
    // A fit to begin at decides the model, and must be of the one that is asked for.
    let first = logs.join("exp_12p_2r_0.0t_2048mbt_256lpt_sharegpt.json");
    let warm = folder.join("warm.yaml");
    let begun = ["calibrate", "--log", text(&first), "--start", text(&out), "--out", text(&warm), "--budget=20"];
    told(&plimsoll(&begun));
    assert!(fs::read_to_string(&warm).expect("written").contains("model: quadratic"));
    let output = plimsoll(&[&begun[..], &["--latency-model=blackbox"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the fit is of quadratic, and blackbox is to be fitted"));
    // What searches and what counts is said by flags, kept in the study, and gone on with.
    let begun = ["calibrate", "--log", text(&first), "--out", text(&warm), "--save-study", "--budget=20"];
    let chosen = ["--optimizer=random", "--weights=ttft=2,e2e=0", "--overload=exclude", "--validate-last=20%"];
    let output = plimsoll(&[&begun[..], &chosen].concat());
    assert!(told(&output).contains("kept aside, its end: "), "{}", told(&output));
    let study = folder.join("warm.study.json");
    let saved = fs::read_to_string(&study).expect("written");
    for part in
        ["\"optimizer\":\"random\"", "\"weights\":{\"ttft\":2.0,\"tpot\":1.0,\"e2e\":0.0}", "\"overload\":\"exclude\""]
    {
        assert!(saved.contains(part), "{part} in {}", &saved[saved.len() - 2000..]);
    }
    let more = ["calibrate", "--study", text(&study), "--out", text(&out), "--optimizer=tpe", "--budget=15"];
    told(&plimsoll(&more));
    for (bad, told) in [
        ("--optimizer=grid", "multi-start"),
        ("--weights=ttft=0,tpot=0,e2e=0", "not all of them 0"),
        ("--weights=latency=1", "not one of ttft, tpot, e2e"),
        ("--validate-last=95%", "from 0% to 90%"),
    ] {
        let output = plimsoll(&[&begun[..], &[bad]].concat());
        assert_eq!(output.status.code(), Some(1), "{bad}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{bad}: {output:?}");
    }
    let output = plimsoll(&[&more[..], &["--overload=exclude"]].concat());
    assert_eq!(output.status.code(), Some(2), "a study has its own");
    fs::write(&config, text_of("mpe")).expect("written");
    let output = plimsoll(&["calibrate", "--config", text(&config), "--out", text(&out)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean mape?"));
}

#[test]
fn a_log_is_judged_without_a_fit_and_by_its_own_server() {
    let folder = folder("evaluate");
    log(&folder, "run.json", 2);
    let log = folder.join("run.json");
    let evaluate = |more: &[&str]| plimsoll(&[&["evaluate", "--log", text(&log), "--json"], more].concat());
    let llama = ["--model=meta-llama/llama-3.1-8b-instruct", "--hardware=H100", "--tp=1"];
    let output = evaluate(&llama);
    let said = told(&output);
    assert!(said.contains("assumed: max_num_seqs 1024"), "{said}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tpot = &value["runs"][0]["metrics"]["tpot_mean"];
    let [predicted, measured, error] =
        ["predicted", "measured", "error_percent"].map(|key| tpot[key].as_f64().expect(key));
    // Steps of the log take 8 ms. Reading 16 GB of weights takes an H100 at least 4.8.
    assert!((measured - 8.0).abs() < 1e-9 && (4.8..8.0).contains(&predicted), "{tpot}");
    assert!((error - (predicted / measured - 1.0) * 100.0).abs() < 1e-9, "{tpot}");
    let older = evaluate(&[&llama[..], &["--vllm-version=0.8.5"]].concat());
    let older: serde_json::Value = serde_json::from_slice(&older.stdout).expect("JSON");
    let slower = older["runs"][0]["metrics"]["tpot_mean"]["predicted"].as_f64().expect("a number");
    assert!(slower > predicted, "{slower} of a server without asynchronous scheduling");
    for (more, expected) in [
        (&["--model=meta-llama/llama-3.1-8b-instruct", "--hardware=H1000"][..], "error[unknown-accelerator]"),
        (&["--hardware=H100"], "the catalogue has no model my/server"),
        (&["--vllm-version=old"], "give a release like 0.33"),
    ] {
        let output = evaluate(more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
    // A fit of one server on the log of another: the log's is predicted, and that is told.
    let fit = folder.join("fit.yaml");
    let fitted = ["calibrate", "--log", text(&log), "--out", text(&fit), "--budget=200"];
    told(&plimsoll(&[&fitted[..], &llama].concat()));
    let output = evaluate(&["--fit", text(&fit), "--model=meta-llama/llama-3.1-8b-instruct", "--hardware=A100-SXM"]);
    let said = told(&output);
    assert!(
        said.contains("warning[deployment-differs]")
            && said.contains("accelerator of the log is A100-SXM, and H100 of the fit"),
        "{said}"
    );
    assert!(!said.contains("model of the log"), "{said}");
}

#[test]
fn the_quadratic_model_serves_a_run_by_hand() {
    let output = plimsoll(&[
        "run",
        "--model=qwen/qwen2.5-0.5b",
        "--latency-model=quadratic",
        "--total-kv-blocks=94060",
        "--rate=1",
        "--num-requests=1",
        "--prompt-tokens=20",
        "--prompt-tokens-stdev=0",
        "--output-tokens=3",
        "--output-tokens-stdev=0",
    ]);
    let summary = std::str::from_utf8(&output.stdout).expect("UTF-8");
    // The prompt: 196.4 − 62.2 + 1500 − 3.088 + 10.68 + 144 − 4.28 − 210 − 920 + 5709 = 6360.512 µs, and 1624; two decodes
    // of 33.8 + 0.0424 + 5709 = 5742.8424 and 1624; 6000 for the client.
    assert_eq!(number(summary, "\"ttft_mean_ms\": "), 13.984, "{summary}");
    assert_eq!(number(summary, "\"e2e_mean_ms\": "), 28.716, "{summary}");
}

//! Names of models that people type, and models whose memory is not planned.

use std::process::{Command, Output};

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_part_of_a_name_in_any_case_is_the_model_that_alone_has_it() {
    for (part, id) in [
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"),
        ("LLAMA-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),
        // There is one with 8-bit weights as well, whose name says it.
        ("llama-3.1-70b", "meta-llama/Llama-3.1-70B-Instruct"),
        ("llama-3.1-70b-instruct-fp8", "nvidia/Llama-3.1-70B-Instruct-FP8"),
        ("v2-lite", "deepseek-ai/DeepSeek-V2-Lite"),
    ] {
        let output = plimsoll(&["fits", part, "--hardware", "H200", "--tp", "2"]);
        assert!(text(&output.stdout).starts_with(id), "{part}: {}", text(&output.stderr));
    }
    let given = plimsoll(&["run", "--model", "llama-3.1-8b", "--hardware", "H100", "--tp", "1", "--num-requests", "5"]);
    assert!(given.status.success(), "{}", text(&given.stderr));
}

#[test]
fn a_name_that_is_not_known_or_of_several_is_answered_with_the_nearest() {
    for (typed, near) in [
        ("lamma-3.1-8b", &["meta-llama/Llama-3.1-8B-Instruct"][..]),
        ("mixtral", &["mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x22B-v0.1"]),
    ] {
        for command in [
            &["fits", typed, "--hardware", "H100"][..],
            &["run", "--model", typed, "--hardware", "H100", "--tp", "1", "--num-requests", "5"],
        ] {
            let output = plimsoll(command);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("unknown-model") && said.contains("did you mean"), "{said}");
            assert!(near.iter().all(|name| said.contains(name)), "{said}");
            // Five names at most, not the whole catalogue.
            assert!(said.matches('/').count() <= 5, "{said}");
        }
    }
    let output = plimsoll(&["fits", "nothing-of-the-kind-at-all", "--hardware", "H100"]);
    assert!(text(&output.stderr).contains("plimsoll catalog models"), "{}", text(&output.stderr));
}

#[test]
fn what_is_not_described_of_a_cache_is_told_with_a_way_that_works() {
    for (folder, what, tp) in
        [("deepseek-v4-flash", "DeepSeek-V4", "8"), ("recurrentgemma-default", "RecurrentGemma", "1")]
    {
        let config = format!("{}/../tests/truth/hf-configs/{folder}", env!("CARGO_MANIFEST_DIR"));
        let output = plimsoll(&["fits", &config, "--hardware", "H200", "--tp", tp]);
        let said = text(&output.stderr);
        assert!(said.contains("kv-cache-unknown") && said.contains(what), "{said}");
        assert!(said.contains("--total-kv-blocks") && !said.contains("caches["), "{said}");
        let run = [
            "run",
            "--model",
            "mine",
            "--model-config-folder",
            &config,
            "--hardware",
            "H200",
            "--tp",
            tp,
            "--num-requests",
            "5",
        ];
        assert_eq!(plimsoll(&run).status.code(), Some(1));
        // The way that the hint names.
        let told: Vec<&str> = run.iter().copied().chain(["--total-kv-blocks", "20000"]).collect();
        let output = plimsoll(&told);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

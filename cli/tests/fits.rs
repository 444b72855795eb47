//! `plimsoll fits`: what it prints, and how it ends.

use serde_json::Value;
use std::process::{Command, Output};

fn fits(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("fits").args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_slice(&fits(&all).stdout).expect("JSON")
}

const LLAMA: &str = "meta-llama/Llama-3.1-8B-Instruct";

#[test]
fn the_fields_of_a_model_are_those_of_its_config() {
    let answer = json(&[LLAMA, "--hardware", "H100"]);
    assert_eq!(answer["parameters"], 8_030_261_248_u64);
    assert_eq!(answer["weight_bytes"], 16_060_522_496_u64);
    assert_eq!(answer["kv_bytes_per_token"], 131_072.0);
    assert_eq!(answer["fixed_state_bytes_per_sequence"], 0);
    assert_eq!((&answer["smallest_tensor_parallel_size"], &answer["fits"]), (&Value::from(1), &Value::from(true)));
    let tokens = answer["kv_cache_tokens"].as_f64().expect("a number");
    assert!((380_000.0..460_000.0).contains(&tokens), "{tokens}");
    assert_eq!(answer["max_concurrency"].as_f64().expect("a number"), tokens / 131_072.0);
}

/// A folder of its own for a model, with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    folder
}

const SMALL: &str = r#"{"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "torch_dtype": "bfloat16"}"#;

#[test]
fn what_lies_in_the_folder_of_a_model_is_heard() {
    let of = |name: &str, beside: &[(&str, &str)]| {
        let files: Vec<(&str, &str)> = std::iter::once(("config.json", SMALL)).chain(beside.iter().copied()).collect();
        json(&[folder(name, &files).to_str().expect("UTF-8"), "--hardware", "H100"])
    };
    let bare = of("fits-bare", &[]);
    assert_eq!(bare["weight_bytes"], 16_060_522_496_u64);
    let index =
        r#"{"metadata": {"total_size": 16060522500}, "weight_map": {"lm_head.weight": "model-00001.safetensors"}}"#;
    let indexed = of("fits-index", &[("model.safetensors.index.json", index)]);
    assert_eq!(indexed["weight_bytes"], 16_060_522_500_u64);
    assert_eq!(indexed["parameters"], bare["parameters"]);
    assert_eq!(indexed["memory"]["rank_weight_bytes"], 16_060_522_500.0);
    let quantizer =
        r#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}"#;
    let fp8 = of("fits-modelopt", &[("hf_quant_config.json", quantizer)]);
    // Layers at a byte with a scale for each of seven matrices; embedding, head and norms at two.
    let linear = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096);
    assert_eq!(fp8["weight_bytes"], 16_060_522_496_u64 - linear + 32 * 7 * 4);
}

#[test]
fn an_unknown_quantizer_lists_those_that_are_known_and_can_be_overruled() {
    let config = SMALL.replacen('{', r#"{"quantization_config": {"quant_method": "magic"}, "#, 1);
    let folder = folder("fits-magic", &[("config.json", &config)]);
    let path = folder.to_str().expect("UTF-8");
    let output = fits(&[path, "--hardware", "H100"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in ["magic", "compressed-tensors", "bitsandbytes", "--quantization"] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let told = json(&[path, "--hardware", "H100", "--quantization", "int4"]);
    assert!(told["weight_bytes"].as_u64().expect("a number") < 7_000_000_000, "{told}");
}

#[test]
fn a_merged_name_is_the_model_it_became() {
    let of = |name: &str| {
        let mut answer = json(&[name, "--hardware", "H100"]);
        let name = answer["model"].take();
        (name, answer)
    };
    let (name, answer) = of("openai/gpt-oss-120b-mxfp4");
    assert_eq!((name, answer), of("openai/gpt-oss-120b"));
}

#[test]
fn blocks_and_bytes_are_taken_as_vllm_takes_them() {
    let overridden = json(&[LLAMA, "--hardware", "H100", "--num-gpu-blocks-override", "29205"]);
    assert_eq!(overridden["kv_cache_tokens"], 29_205 * 16);
    let wide = json(&[LLAMA, "--hardware", "H100", "--num-gpu-blocks-override", "29205", "--block-size", "32"]);
    assert_eq!(wide["kv_cache_tokens"], 29_205 * 32);
    let stated = json(&[LLAMA, "--hardware", "H100", "--kv-cache-memory-bytes", "42949672960"]);
    assert_eq!(stated["num_gpu_blocks"], 20_480);
    let fp8 = json(&[LLAMA, "--hardware", "H100", "--kv-cache-memory-bytes", "42949672960", "--kv-cache-dtype=fp8"]);
    assert_eq!(fp8["num_gpu_blocks"], 40_960);
}

#[test]
fn what_does_not_fit_says_what_to_change() {
    let output = fits(&["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "H100", "--tp", "2"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for expected in ["does not fit", "--tp 4", "--max-model-len "] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let shorter = fits(&["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "H100", "--tp", "4"]);
    assert_eq!(shorter.status.code(), Some(0), "{}", text(&shorter.stdout));
}

#[test]
fn every_problem_is_told_at_once() {
    let output = fits(&[LLAMA, "--hardware", "H10", "--vllm-version", "new", "--gpu-memory-utilization", "1.5"]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 3), "{said}");
    assert!(said.contains("did you mean"), "{said}");
    let heads = fits(&[LLAMA, "--hardware", "H100", "--tp", "3"]);
    assert!(text(&heads.stderr).contains("32 attention heads cannot be split over 3 ranks"), "{}", text(&heads.stderr));
    let unknown = fits(&["no/such-model", "--hardware", "H100"]);
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn pipeline_stages_have_their_layers_and_the_smallest_rules() {
    let told = "--kv-cache-memory-bytes=42949672960";
    let of = |more: &[&str]| json(&[&[LLAMA, "--hardware", "H100", told], more].concat());
    // 16 layers of 65,536 bytes in a block of a stage.
    assert_eq!(of(&["--pp", "2"])["num_gpu_blocks"], 40_960);
    // 11, 11 and 10 layers: those left over go to the stages before the last.
    let three = of(&["--pipeline-parallel-size", "3"]);
    assert_eq!(three["num_gpu_blocks"], 42_949_672_960_u64 / (11 * 65_536));
    assert_eq!((&three["pipeline_parallel_size"], &three["tightest_stage"]), (&Value::from(3), &Value::from(1)));
    // The last of two has the head and the last norm, and samples.
    let two = json(&[LLAMA, "--hardware", "H100", "--pp", "2"]);
    assert_eq!(two["memory"]["rank_weight_bytes"], (16 * 436_224_000_u64 + 1_050_673_152 + 8192) as f64);
    let output = fits(&[LLAMA, "--hardware", "H100", "--pp", "33"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn replicas_share_their_experts() {
    let rank = |more: &[&str]| {
        let answer = json(&[&["mistralai/Mixtral-8x7B-v0.1", "--hardware", "H200", "--tp", "2"], more].concat());
        answer["memory"]["rank_weight_bytes"].as_f64().expect("a number")
    };
    // A quarter of 32 layers with 8 experts of three matrices, instead of half.
    let experts = 2 * 32 * 8 * 3 * 4096 * 14_336_u64;
    assert_eq!(rank(&[]) - rank(&["--dp", "2"]), (experts / 4) as f64);
}

#[test]
fn the_longest_sequence_that_fits_is_found_where_that_is_asked() {
    let of = |more: &[&str]| {
        json(&[&["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "H100", "--tp", "2"], more].concat())
    };
    let longest = of(&[])["longest_context"].clone();
    assert!(longest.as_u64().expect("a number") < 131_072, "{longest}");
    for word in ["-1", "auto"] {
        let auto = of(&["--max-model-len", word]);
        assert_eq!((&auto["fits"], &auto["max_model_len"]), (&Value::from(true), &longest), "{word}");
    }
    assert_eq!(of(&["--max-model-len", "2k"])["max_model_len"], 2000);
    assert_eq!(of(&["--max-model-len", "2K"])["max_model_len"], 2048);
}

#[test]
fn the_answer_has_the_named_fields() {
    let answer = json(&[LLAMA, "--hardware", "H100"]);
    for field in [
        "parameters",
        "weight_bytes",
        "kv_bytes_per_token",
        "fixed_state_bytes_per_sequence",
        "kv_cache_tokens",
        "max_concurrency",
        "smallest_tensor_parallel_size",
    ] {
        assert!(answer[field].is_number(), "{field}: {answer}");
    }
}

#[test]
fn a_cache_that_is_told_must_fit_beside_the_weights() {
    // 810 GB of weights beside 20 and 50 GB of cache on each card.
    for (told, ranks) in [("--num-gpu-blocks-override=20000", 16), ("--kv-cache-memory-bytes=50000000000", 32)] {
        let output = fits(&["meta-llama/Meta-Llama-3.1-405B", "--hardware", "H100", "--max-model-len=4096", told]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let advice = format!("--tp {ranks}");
        assert!(said.contains("the cache is told to have") && said.contains(&advice), "{said}");
        let larger = ["meta-llama/Meta-Llama-3.1-405B", "--hardware", "H100", "--max-model-len=4096", told, "--tp"];
        let larger = fits(&[&larger[..], &[&ranks.to_string()]].concat());
        assert_eq!(larger.status.code(), Some(0), "{}", text(&larger.stdout));
    }
}

#[test]
fn whoever_tells_too_little_is_told_what_would_do() {
    // 8,192 blocks of 2,097,152 bytes and the one that is never given out.
    let of = |told: &str| {
        let output = fits(&[LLAMA, "--hardware", "H100", told]);
        assert_eq!(output.status.code(), Some(3), "{told}");
        text(&output.stdout).to_owned()
    };
    let blocks = of("--num-gpu-blocks-override=1000");
    assert!(blocks.contains("the server is told to have 1,000 blocks"), "{blocks}");
    assert!(blocks.contains("\n  --num-gpu-blocks-override 8193\n"), "{blocks}");
    let bytes = of("--kv-cache-memory-bytes=2G");
    assert!(bytes.contains("the cache is told to have 2,147,483,648 bytes, which make 1,024 blocks"), "{bytes}");
    assert!(bytes.contains(&format!("\n  --kv-cache-memory-bytes {}\n", 8193_u64 * 2_097_152)), "{bytes}");
    // What the advice says does.
    let enough = format!("--kv-cache-memory-bytes={}", 8193_u64 * 2_097_152);
    for told in ["--num-gpu-blocks-override=8193", &enough] {
        assert_eq!(fits(&[LLAMA, "--hardware", "H100", told]).status.code(), Some(0), "{told}");
    }
    let answer = json(&[LLAMA, "--hardware", "H100", "--num-gpu-blocks-override=1000"]);
    assert_eq!(answer["advice"][0], "--num-gpu-blocks-override 8193");
    assert!(answer["refusal"].as_str().expect("text").starts_with("the server is told to have"), "{answer}");
    assert_eq!(answer["uncertainty"], Value::Null);
}

#[test]
fn what_vllm_refuses_is_refused() {
    let of = |more: &[&str]| {
        let output = fits(&[&[LLAMA, "--hardware", "H100"], more].concat());
        (output.status.code(), text(&output.stderr).to_owned())
    };
    let (code, said) = of(&["--block-size", "7", "--max-model-len", "200000"]);
    assert_eq!((code, said.lines().filter(|line| line.contains("server-refuses")).count()), (Some(1), 2), "{said}");
    assert!(said.contains("a multiple of 16") && said.contains("give at most 131072"), "{said}");
    let (_, said) = of(&["--block-size", "7", "--tp", "3"]);
    assert!(said.contains("--block-size") && said.contains("32 attention heads"), "{said}");
    let (code, said) = of(&["--max-model-len", "200000", "--allow-long-max-model-len"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(of(&["--block-size", "48"]).0, Some(0));
    // Eight KV heads stand twice on 16 ranks, and once on eight.
    assert_eq!(of(&["--tp", "16", "--decode-context-parallel-size", "2"]).0, Some(0));
    for (ranks, context) in [("8", "2"), ("16", "4"), ("16", "3")] {
        let (code, said) = of(&["--tp", ranks, "--decode-context-parallel-size", context]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("decode_context_parallel_size"), "{said}");
    }
}

/// The figure is that of the specification's C5.
#[test]
fn ranks_may_split_the_tokens() {
    let told = ["--hardware=H100", "--tp=16", "--kv-cache-memory-bytes=40G"];
    let tokens = |more: &[&str]| json(&[&[LLAMA], &told[..], more].concat())["kv_cache_tokens"].clone();
    assert_eq!(tokens(&[]), 2_621_440);
    assert_eq!(tokens(&["--decode-context-parallel-size", "2"]), 5_242_880);
}

#[test]
fn types_of_values_and_states_are_heard() {
    let rank = |more: &[&str]| {
        let answer = json(&[&[LLAMA, "--hardware", "H200"], more].concat());
        (answer["memory"]["rank_weight_bytes"].as_u64(), answer["bytes_per_block"].as_u64())
    };
    let (weights, block) = rank(&[]);
    assert_eq!(rank(&["--dtype", "half"]), (weights, block));
    let twice = |value: Option<u64>| value.map(|value| 2 * value);
    assert_eq!(rank(&["--dtype", "float32"]), (twice(weights), twice(block)));
    let nemotron = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/truth/hf-configs/nemotron-3-nano-30b-a3b");
    let block = |more: &[&str]| {
        json(&[&[nemotron, "--hardware", "H200"], more].concat())["groups"][0][0]["block_size"].as_u64()
    };
    assert!(block(&["--mamba-ssm-cache-dtype", "float32"]) > block(&["--mamba-ssm-cache-dtype", "float16"]));
    let wrong = fits(&[LLAMA, "--hardware", "H100", "--dtype", "float8", "--mamba-ssm-cache-dtype", "int4"]);
    assert_eq!((wrong.status.code(), text(&wrong.stderr).lines().count()), (Some(1), 2));
}

#[test]
fn ranks_with_whole_experts_have_those_that_do_not_divide() {
    let rank = |more: &[&str]| {
        let told = ["mistralai/Mixtral-8x7B-v0.1", "--hardware", "H200", "--tp", "4"];
        let answer = json(&[&told[..], more].concat());
        answer["memory"]["rank_weights"]["routed_experts"].as_u64().expect("a number")
    };
    // 32 layers of experts of three matrices: two of eight on each of four ranks, one of eight on each of twelve.
    let expert = 2 * 32 * 3 * 4096 * 14_336_u64;
    assert_eq!((rank(&[]), rank(&["--enable-expert-parallel"])), (2 * expert, 2 * expert));
    assert_eq!(rank(&["--enable-expert-parallel", "--dp", "3"]), expert);
    assert_eq!(rank(&["--dp", "3"]), 8 * expert / 12);
}

#[test]
fn a_line_says_what_flags_do_not() {
    let line = "docker run --gpus all vllm/vllm-openai:v0.18.0 --model meta-llama/Llama-3.1-8B-Instruct -tp 2 \
        --max-model-len 16k --gpu-memory-utilization 0.8 --kv-cache-dtype fp8 --max-num-seqs 64 --api-key secret \
        --decode-context-parallel-size 1 --dtype half --enforce-eager";
    let output = fits(&["--hardware", "H100", "--serve", line, "--json"]);
    let said = text(&output.stderr);
    let of_line: Value = serde_json::from_slice(&output.stdout).expect(said);
    let flags = [
        LLAMA,
        "--hardware=H100",
        "--tp=2",
        "--max-model-len=16000",
        "--gpu-memory-utilization=0.8",
        "--kv-cache-dtype=fp8",
        "--max-num-seqs=64",
        "--vllm-version=0.18",
    ];
    assert_eq!(of_line, json(&flags));
    assert!(said.contains("--serve says") && !said.contains("secret"), "{said}");
    assert!(said.contains("planned without --enforce-eager"), "{said}");
    // A flag wins, and a model beside the line too.
    let more = json(&["--hardware", "H100", "--serve", line, "--tp", "1"]);
    assert_eq!(more["tensor_parallel_size"], 1);
    let quantized =
        |line: &str| json(&["--hardware", "H100", "--serve", line])["weight_bytes"].as_u64().expect("known");
    let plain = quantized("vllm serve meta-llama/Llama-3.1-8B-Instruct");
    assert!(quantized("vllm serve meta-llama/Llama-3.1-8B-Instruct -q fp8") < plain * 6 / 10);
    let nameless = fits(&["--hardware", "H100", "--serve", "vllm serve --max-num-seqs 3"]);
    assert_eq!(nameless.status.code(), Some(1), "{}", text(&nameless.stderr));
}

#[test]
fn a_folder_may_stand_beside_a_name() {
    let folder = folder("fits-named", &[("config.json", SMALL)]);
    let path = folder.to_str().expect("UTF-8");
    let named = json(&["mine/llama", "--model-config-folder", path, "--hardware", "H100"]);
    assert_eq!(
        (&named["model"], &named["weight_bytes"]),
        (&Value::from("mine/llama"), &Value::from(16_060_522_496_u64))
    );
    assert_eq!(json(&["--model-config-folder", path, "--hardware", "H100"])["weight_bytes"], named["weight_bytes"]);
}

#[test]
fn the_band_is_wider_where_less_was_measured() {
    let band = |more: &[&str]| {
        let answer = json(&[&[LLAMA, "--max-model-len", "8192"], more].concat());
        let of = |field: &str| answer["uncertainty"][field].as_u64().expect("bytes") as f64 / 1_073_741_824.0;
        let notes = answer["notes"].as_array().expect("notes").len();
        ((of("usual_bytes") * 10.0).round() / 10.0, (of("widest_bytes") * 10.0).round() / 10.0, notes)
    };
    // The card's memory is read off one, and servers of the release were measured.
    assert_eq!(band(&["--hardware", "H100", "--vllm-version", "0.20"]), (0.8, 3.3, 0));
    // A derived figure, 0.92 of 0.3 GiB.
    assert_eq!(band(&["--hardware", "H200", "--vllm-version", "0.20"]), (1.1, 3.6, 1));
    assert_eq!(band(&["--hardware", "H100", "--vllm-version", "0.33"]), (1.6, 6.6, 1));
    assert_eq!(band(&["--hardware", "RTX5090", "--vllm-version", "0.20"]), (1.6, 6.6, 1));
    let answer = json(&[LLAMA, "--hardware", "H100", "--vllm-version", "0.20"]);
    let ratio = answer["uncertainty"]["usual_ratio"].as_f64().expect("a share");
    let cache = answer["memory"]["kv_cache_bytes"].as_f64().expect("bytes");
    assert!((ratio * cache / 1_073_741_824.0 - 0.8).abs() < 1e-6, "{ratio}");
    let told = text(&fits(&[LLAMA, "--hardware", "H100"]).stdout).to_owned();
    assert!(told.contains("give or take") && told.contains("half of 28 measured servers"), "{told}");
}

#[test]
fn a_close_call_is_told_and_so_is_a_share_that_would_do() {
    // 131,072 tokens take 16 GiB; at 0.45 there are 18.8 GiB for them, at 0.4 14.8, and the band is 6.6.
    let notes = |share: &str| {
        let answer = json(&[LLAMA, "--hardware", "H100", "--gpu-memory-utilization", share]);
        (answer["fits"].as_bool(), answer["notes"].to_string(), answer["advice"].to_string())
    };
    let (fits, said, _) = notes("0.45");
    assert!(fits == Some(true) && said.contains("it may not start"), "{said}");
    let (fits, said, advice) = notes("0.4");
    assert!(fits == Some(false) && said.contains("it may start all the same"), "{said}");
    assert!(advice.contains("--gpu-memory-utilization 0.42"), "{advice}");
    let (fits, said, _) = notes("0.9");
    assert!(fits == Some(true) && !said.contains("may"), "{said}");
}

#[test]
fn bytes_are_whole_numbers() {
    fn check(value: &Value, path: &str) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| check(value, name)),
            Value::Array(values) => values.iter().for_each(|value| check(value, path)),
            Value::Number(number) if path.contains("bytes") => assert!(number.is_u64(), "{path} {number}"),
            _ => {}
        }
    }
    for more in [&["--tp", "2"][..], &["--dtype", "float32"], &["--vllm-version", "0.11", "--kv-cache-dtype", "fp8"]] {
        let answer = json(&[&["openai/gpt-oss-20b", "--hardware", "L40S"], more].concat());
        assert!(answer["kv_bytes_per_token"].is_u64() && answer["vision_bytes"] == 0, "{answer}");
        check(&answer, "");
    }
}

#[test]
fn a_model_that_no_server_is_known_to_plan_is_still_described() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/truth/hf-configs/deepseek-v4-flash");
    let output = fits(&[config, "--hardware", "H200", "--tp", "8", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["parameters"], 284_325_869_015_u64);
    assert_eq!((&answer["fits"], &answer["kv_cache_tokens"]), (&Value::from(false), &Value::Null));
    assert!(text(&output.stderr).contains("kv-cache-unknown"));
}

//! Lines of the kinds that people publish, each with what it changes in a scenario and what is said about it.

use super::*;
use plimsoll_core::diagnostic::Diagnostic;
use std::time::Instant;

/// A line with all that comes of it.
struct Case {
    line: &'static str,
    /// `path=value`, in order.
    changes: &'static [&'static str],
    /// `code place: part of the message and hint`, in order; without the two lists of names.
    told: &'static [&'static str],
    not_modelled: &'static [&'static str],
    not_known: &'static [&'static str],
}

fn read(line: &str) -> (Option<ServeLine>, Vec<Diagnostic>) {
    match serve_line(line, "line", ServerRelease::default()) {
        Ok(read) => (Some(read.value), read.diagnostics),
        Err(found) => (None, found),
    }
}

#[track_caller]
fn check(case: &Case) {
    let (line, diagnostics) = read(case.line);
    let is_list = |found: &&Diagnostic| {
        found.severity == Severity::Note
            && (found.message.starts_with("not modelled") || found.message.starts_with("not known"))
    };
    let told: Vec<String> = diagnostics
        .iter()
        .filter(|found| !is_list(found))
        .map(|found| format!("{} {}: {} ({})", found.code, found.path, found.message, found.hint))
        .collect();
    assert_eq!(told.len(), case.told.len(), "{}\n{told:#?}", case.line);
    for (told, expected) in told.iter().zip(case.told) {
        let (start, part) = expected.split_once(": ").expect("a code, a place and a part");
        assert!(told.starts_with(&format!("{start}: ")) && told.contains(part), "{expected} is not in {told}");
    }
    let Some(line) = line else { return assert!(case.changes.is_empty(), "{told:#?}") };
    assert_eq!(changes(&line), case.changes, "{}", case.line);
    assert_eq!(line.not_modelled, case.not_modelled, "{}", case.line);
    assert_eq!(line.not_known, case.not_known, "{}", case.line);
}

fn changes(line: &ServeLine) -> Vec<String> {
    line.changes.iter().map(|change| format!("{}={}", change.path, change.value).replace('"', "")).collect()
}

#[test]
fn a_model_card_names_parallelism_and_length() {
    check(&Case {
        line: "vllm serve Qwen/Qwen3-32B --tensor-parallel-size 2 --max-model-len 32768 --reasoning-parser qwen3",
        changes: &[
            "deployment.model=Qwen/Qwen3-32B",
            "deployment.tensor_parallel_size=2",
            "engine.max_model_len=32768",
        ],
        told: &[],
        not_modelled: &[],
        not_known: &["--reasoning-parser"],
    });
}

#[test]
fn a_card_with_tools_and_a_long_context_on_several_lines() {
    check(&Case {
        line: "vllm serve meta-llama/Llama-3.3-70B-Instruct \\\n  -tp 4 \\\n  --max-model-len 128k \\\n  \
               --enable-auto-tool-choice \\\n  --tool-call-parser llama3_json \\\n  --gpu-memory-utilization=0.95",
        changes: &[
            "deployment.model=meta-llama/Llama-3.3-70B-Instruct",
            "deployment.tensor_parallel_size=4",
            "engine.max_model_len=128000",
            "engine.gpu_memory_utilization=0.95",
        ],
        told: &[],
        not_modelled: &[],
        not_known: &["--enable-auto-tool-choice", "--tool-call-parser"],
    });
}

#[test]
fn an_old_command_of_the_python_module_with_flags_that_are_gone() {
    check(&Case {
        line: "python3 -m vllm.entrypoints.openai.api_server --model mistralai/Mistral-7B-Instruct-v0.2 \
               --host 0.0.0.0 --port 8000 --swap-space 16 --num-scheduler-steps 8 --max-seq-len-to-capture 8192 \
               --disable-log-requests --max-num-seqs 64",
        changes: &["deployment.model=mistralai/Mistral-7B-Instruct-v0.2", "engine.max_num_seqs=64"],
        told: &[
            "flag-removed line:1:117: --swap-space went in 0.18",
            "flag-removed line:1:133: --num-scheduler-steps went in 0.10.2",
            "flag-removed line:1:157: --max-seq-len-to-capture went in 0.11",
        ],
        not_modelled: &[],
        not_known: &["--host", "--port", "--disable-log-requests"],
    });
}

#[test]
fn a_container_states_the_release() {
    check(&Case {
        line: "docker run --runtime nvidia --gpus all -v ~/.cache/huggingface:/models/huggingface \\\n  \
               --env \"HUGGING_FACE_HUB_TOKEN=hf_secret\" -p 8000:8000 --ipc=host -it --rm \\\n  \
               vllm/vllm-openai:v0.11.0 \\\n  --model Qwen/Qwen2.5-14B-Instruct --api-key sk-secret \\\n  \
               --max-num-batched-tokens 16K --swap-space 4 --watermark 0.02",
        changes: &[
            "deployment.model=Qwen/Qwen2.5-14B-Instruct",
            "deployment.server_version=0.11",
            "engine.max_num_batched_tokens=16384",
        ],
        told: &[
            "flag-too-new line:5:47: --watermark came with 0.24, and the server is 0.11",
            "flags-not-known line: variables change nothing here: HUGGING_FACE_HUB_TOKEN",
        ],
        not_modelled: &["--swap-space"],
        not_known: &["--api-key"],
    });
}

#[test]
fn a_recipe_for_a_mixture_of_experts_over_eight_cards() {
    check(&Case {
        line: "VLLM_USE_DEEP_GEMM=1 VLLM_ATTENTION_BACKEND=FLASHMLA vllm serve deepseek-ai/DeepSeek-R1 -dp 8 \
               --enable-expert-parallel --all2all-backend deepep_low_latency --enable-dbo --trust-remote-code \
               --no-enable-prefix-caching",
        changes: &[
            "deployment.model=deepseek-ai/DeepSeek-R1",
            "cluster.num_replicas=8",
            "engine.enable_expert_parallel=true",
            "engine.all2all_backend=deepep_low_latency",
            "engine.enable_prefix_caching=false",
        ],
        told: &[
            "flags-not-modelled line: variables are not modelled, so predictions are without them: VLLM_ATTENTION_BACKEND, VLLM_USE_DEEP_GEMM",
            "data-parallel-as-replicas line:1:89: replicas behind a router",
        ],
        not_modelled: &["--all2all-backend", "--enable-dbo"],
        not_known: &["--trust-remote-code"],
    });
}

#[test]
fn the_args_of_a_container_in_a_manifest() {
    check(&Case {
        line: "containers:\n- name: server\n  image: vllm/vllm-openai:v0.10.1.1\n  command: [\"vllm\", \"serve\"]\n  \
               args:\n  - Qwen/Qwen3-8B\n  - --max-model-len\n  - 16384\n  - --gpu-memory-utilization=0.85\n  \
               - --max-num-seqs=128\n  - --served-model-name\n  - chat\n  env:\n  - name: HF_TOKEN\n    value: hf_secret\n",
        changes: &[
            "deployment.model=Qwen/Qwen3-8B",
            "deployment.server_version=0.10.1",
            "engine.max_model_len=16384",
            "engine.gpu_memory_utilization=0.85",
            "engine.max_num_seqs=128",
        ],
        told: &["flags-not-known line: variables change nothing here: HF_TOKEN"],
        not_modelled: &[],
        not_known: &["--served-model-name"],
    });
}

#[test]
fn args_alone_as_yaml_and_as_json() {
    for line in [
        "args: [\"--model\", \"google/gemma-2-9b-it\", \"--tensor-parallel-size\", \"1\", \"--enforce-eager\"]",
        "[\"--model=google/gemma-2-9b-it\",\n \"--tensor-parallel-size\", \"1\", \"--enforce-eager\"]",
        "- --model\n- google/gemma-2-9b-it\n- --tensor-parallel-size=1\n- --enforce-eager\n",
        "CMD [\"vllm\", \"serve\", \"google/gemma-2-9b-it\", \"-tp\", \"1\", \"--enforce-eager\"]",
        "--model google/gemma-2-9b-it --tensor-parallel-size 1 --enforce-eager",
        "google/gemma-2-9b-it --tensor-parallel-size 1 --enforce-eager",
    ] {
        check(&Case {
            line,
            changes: &["deployment.model=google/gemma-2-9b-it", "deployment.tensor_parallel_size=1"],
            told: &[],
            not_modelled: &["--enforce-eager"],
            not_known: &[],
        });
    }
}

#[test]
fn a_script_of_a_pod_starts_the_server_by_a_shell() {
    for line in [
        "command: [\"/bin/sh\", \"-c\"]\nargs: [\"pip install -U hf_transfer && vllm serve openai/gpt-oss-20b \
         --max-num-batched-tokens 8192 --async-scheduling\"]\n",
        "docker run --entrypoint bash vllm/vllm-openai -c 'vllm serve openai/gpt-oss-20b \
         --max-num-batched-tokens 8192 --async-scheduling'",
    ] {
        check(&Case {
            line,
            changes: &[
                "deployment.model=openai/gpt-oss-20b",
                "engine.max_num_batched_tokens=8192",
                "engine.async_scheduling=true",
            ],
            told: &[],
            not_modelled: &[],
            not_known: &[],
        });
    }
}

#[test]
fn a_compose_file_with_one_text() {
    check(&Case {
        line: "services:\n  llm:\n    image: vllm/vllm-openai:latest\n    environment:\n      HF_TOKEN: hf_secret\n    \
               command: >\n      --model Qwen/Qwen2.5-7B-Instruct --max-model-len 8192\n      \
               --kv-cache-dtype fp8\n",
        changes: &[
            "deployment.model=Qwen/Qwen2.5-7B-Instruct",
            "deployment.server_version=null",
            "engine.max_model_len=8192",
            "engine.kv_cache_dtype=fp8",
        ],
        told: &["flags-not-known line: variables change nothing here: HF_TOKEN"],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn a_blog_post_with_dashes_of_a_word_processor_and_underscores() {
    check(&Case {
        line: "$ vllm serve microsoft/phi-4 —max_model_len 16_384 –max-num-seqs=32 --gpu_memory_utilization .9",
        changes: &[
            "deployment.model=microsoft/phi-4",
            "engine.max_model_len=16384",
            "engine.max_num_seqs=32",
            "engine.gpu_memory_utilization=0.9",
        ],
        told: &[],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn compilation_speculation_and_levels_are_read_and_not_modelled() {
    check(&Case {
        line: "vllm serve Qwen/Qwen3-235B-A22B -tp 8 -O3 -cc.cudagraph_mode=FULL_AND_PIECEWISE \
               --compilation-config '{\"level\": 3, \"cudagraph_capture_sizes\": [1, 2]}' \
               --speculative-config.method mtp --speculative-config.num_speculative_tokens=1 \
               --cudagraph-capture-sizes 1 2 4 8 --max-model-len auto --kv-cache-dtype nvfp4",
        changes: &[
            "deployment.model=Qwen/Qwen3-235B-A22B",
            "deployment.tensor_parallel_size=8",
            "engine.max_model_len=null",
        ],
        told: &["flags-not-modelled line:1:285: keys and values of the type \"nvfp4\" are not modelled"],
        not_modelled: &[
            "--optimization-level",
            "--compilation-config",
            "--speculative-config",
            "--cudagraph-capture-sizes",
        ],
        not_known: &[],
    });
}

#[test]
fn slips_of_the_pen_and_bad_values_are_told_together() {
    check(&Case {
        line: "vllm serve Qwen/Qwen3-8B --max-num-seq 64 --gpu-memory-utilization 95 --max-model-len=32kb \
               --tensor-parallel-size $GPUS --scheduling-policy fifo --no-block-size --kv-cache-dtype",
        changes: &[],
        told: &[
            "unknown-flag line:1:26: did you mean --max-num-seqs?",
            "invalid-value line:1:43: --gpu-memory-utilization is \"95\" (give a number above 0 and up to 1)",
            "invalid-value line:1:71: --max-model-len is \"32kb\" (give a whole number of 1 or more, also like 16k",
            "invalid-value line:1:92: variable of the shell",
            "invalid-value line:1:121: --scheduling-policy is \"fifo\" (valid are fcfs, priority)",
            "invalid-value line:1:146: --block-size cannot be turned off",
            "missing-value line:1:162: --kv-cache-dtype has no value",
        ],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn a_model_behind_a_flag_without_a_value_stays_the_model() {
    for line in [
        "vllm serve --trust-remote-code Qwen/Qwen3-8B --max-num-seqs 8",
        "vllm serve --some-new-switch Qwen/Qwen3-8B --max-num-seqs 8",
        "vllm serve --hf-token Qwen/Qwen3-8B --max-num-seqs 8",
        "vllm serve --api-key secret Qwen/Qwen3-8B --max-num-seqs 8",
        "vllm serve --max-num-seqs 8 --tokenizer other/tokenizer Qwen/Qwen3-8B",
    ] {
        let (line, told) = read(line);
        let line = line.unwrap_or_else(|| panic!("{told:?}"));
        assert_eq!(changes(&line)[0], "deployment.model=Qwen/Qwen3-8B");
        assert_eq!(line.changes.len(), 2, "{line:?}");
    }
}

#[test]
fn a_job_in_the_background_and_what_follows_it_is_not_the_servers() {
    check(&Case {
        line: "export HF_TOKEN=hf_secret; nohup vllm serve Qwen/Qwen3-4B --max-num-seqs 16 > server.log 2>&1 &\n\
               sleep 60\ncurl http://localhost:8000/v1/models --max-num-seqs x\n",
        changes: &["deployment.model=Qwen/Qwen3-4B", "engine.max_num_seqs=16"],
        told: &["flags-not-known line: HF_TOKEN"],
        not_modelled: &[],
        not_known: &[],
    });
    check(&Case {
        line: "vllm serve Qwen/Qwen3-4B --max-num-seqs 16\n--block-size 32\ncurl http://localhost:8000",
        changes: &["deployment.model=Qwen/Qwen3-4B", "engine.max_num_seqs=16", "engine.block_size=32"],
        told: &[],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn the_newest_releases_knobs() {
    check(&Case {
        line: "vllm serve Qwen/Qwen3-32B --max-num-active-seqs 64 --max-num-seqs 512 --watermark 0.01 \
               --no-scheduler-reserve-full-isl --long-prefill-token-threshold 2048 \
               --long-prefill-token-threshold-adaptive --scheduling-policy priority --no-async-scheduling \
               --max-num-queued-reqs 100 --prefill-schedule-interval 2",
        changes: &[
            "deployment.model=Qwen/Qwen3-32B",
            "engine.max_num_active_seqs=64",
            "engine.max_num_seqs=512",
            "engine.watermark=0.01",
            "engine.scheduler_reserve_full_isl=false",
            "engine.long_prefill_token_threshold=2048",
            "engine.long_prefill_token_threshold_adaptive=true",
            "engine.scheduler=priority",
            "engine.async_scheduling=false",
        ],
        told: &[],
        not_modelled: &["--max-num-queued-reqs", "--prefill-schedule-interval"],
        not_known: &[],
    });
}

#[test]
fn a_budget_for_scheduling_stands_beside_that_of_the_batch() {
    for line in [
        "vllm serve a/b --max-num-batched-tokens 8192 --max-num-scheduled-tokens 4k",
        "vllm serve a/b --max-num-scheduled-tokens 4k --max-num-batched-tokens 8192",
    ] {
        let mut changes = changes(&read(line).0.expect("a line"));
        changes.sort_unstable();
        let expected =
            ["deployment.model=a/b", "engine.max_num_batched_tokens=8192", "engine.max_num_scheduled_tokens=4000"];
        assert_eq!(changes, expected);
    }
}

#[test]
fn what_changes_a_server_outside_the_table_is_not_called_harmless() {
    check(&Case {
        line: "VLLM_LOGGING_LEVEL=INFO VLLM_USE_FLASHINFER_SAMPLER=1 vllm serve --config config.yaml Qwen/Qwen3-8B \
               --dtype float32 --speculative-model Qwen/Qwen3-0.6B --enable-lora --scheduler-cls my.Scheduler --seed 1",
        changes: &["deployment.model=Qwen/Qwen3-8B"],
        told: &[
            "serve-line-ignored line:1:66: --config names a file, and what it says is not read",
            "flags-not-modelled line: so predictions are without them: VLLM_USE_FLASHINFER_SAMPLER",
            "flags-not-known line: variables change nothing here: VLLM_LOGGING_LEVEL",
        ],
        not_modelled: &["--dtype", "--speculative-model", "--enable-lora", "--scheduler-cls"],
        not_known: &["--seed"],
    });
    let line = read("vllm serve a/b --dtype=bfloat16").0.expect("a line");
    assert_eq!((line.not_modelled, line.not_known), (Vec::new(), vec!["--dtype".to_owned()]));
}

#[test]
fn the_v0_engine_is_taken_where_the_release_has_it() {
    let image = "docker run -e VLLM_USE_V1=0 vllm/vllm-openai:v0.9.2 --model a/b";
    check(&Case {
        line: image,
        changes: &["deployment.model=a/b", "deployment.server_version=0.9.2", "engine.use_v1=false"],
        told: &[],
        not_modelled: &[],
        not_known: &[],
    });
    let manifest = "image: vllm/vllm-openai:v0.9.2\nargs: [--model, a/b]\nenv:\n- {name: VLLM_USE_V1, value: '0'}\n";
    assert_eq!(changes(&read(manifest).0.expect("a line")).last().map(String::as_str), Some("engine.use_v1=false"));
    check(&Case {
        line: "VLLM_USE_V1=0 VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 vllm serve a/b",
        changes: &["deployment.model=a/b", "engine.allow_long_max_model_len=true"],
        told: &["flag-removed line: VLLM_USE_V1=0 changes nothing: vLLM 0.33 has its V1 engine alone"],
        not_modelled: &[],
        not_known: &[],
    });
}

/// By the list of flags: up to 0.11 the server falls back to V0, or refuses where V1 is asked for; then it refuses.
#[test]
fn more_partial_prefills_than_one_are_v0_or_refused() {
    let told = |version: &str, before: &str| {
        let text = format!("{before} uvx --from vllm=={version} vllm serve a/b --max-num-partial-prefills 2");
        let (line, told) = read(&text);
        let is_v0 = line.map(|line| line.changes.iter().any(|change| change.path == "engine.use_v1"));
        (is_v0, told.into_iter().map(|found| found.code).filter(|code| code != "flags-not-known").collect::<Vec<_>>())
    };
    assert_eq!(told("0.11.0", ""), (Some(true), vec!["engine-v0".into()]));
    assert_eq!(told("0.11.0", "VLLM_USE_V1=1"), (None, vec!["server-refuses".into()]));
    assert_eq!(told("0.12.0", ""), (None, vec!["server-refuses".into()]));
    assert_eq!(told("0.26.1", ""), (None, vec!["server-refuses".into()]));
    assert_eq!(told("0.27.0", ""), (Some(false), vec!["flag-removed".into()]));
}

#[test]
fn the_only_flag_that_begins_so_is_meant() {
    check(&Case {
        line: "vllm serve Qwen/Qwen3-8B --tensor-parallel 2 --gpu-memory-util=0.5 --no-enable-prefix -dcp2 --max-model 8k",
        changes: &[
            "deployment.model=Qwen/Qwen3-8B",
            "deployment.tensor_parallel_size=2",
            "engine.gpu_memory_utilization=0.5",
            "engine.enable_prefix_caching=false",
            "engine.max_model_len=8000",
        ],
        told: &[
            "flag-abbreviated line:1:26: --tensor-parallel is taken for --tensor-parallel-size",
            "flag-abbreviated line:1:46: --gpu-memory-util is taken for --gpu-memory-utilization",
            "flag-abbreviated line:1:68: --no-enable-prefix is taken for --no-enable-prefix-caching",
            "flag-abbreviated line:1:93: --max-model is taken for --max-model-len",
        ],
        not_modelled: &["--decode-context-parallel-size"],
        not_known: &[],
    });
    let joined = read("vllm serve a/b -tp2 -pp2 -dp8").0.expect("a line");
    assert_eq!(
        changes(&joined)[1..],
        ["deployment.tensor_parallel_size=2", "engine.pipeline_parallel_size=2", "cluster.num_replicas=8"]
    );
    for (line, hint) in [
        ("vllm serve a/b --max-num 8", "write one of --max-num-batched-tokens, --max-num-seqs, --max-num-active-seqs"),
        ("vllm serve a/b --data-parallel 8", "write one of --data-parallel-size, --data-parallel-address"),
        ("vllm serve a/b --max-num-seq 8", "did you mean --max-num-seqs?"),
    ] {
        let (read, told) = read(line);
        assert!(read.is_none() && told.len() == 1 && told[0].code == "unknown-flag", "{told:?}");
        assert!(told[0].hint.starts_with(hint), "{}", told[0].hint);
    }
    // A release without the others has one that begins so.
    let old = read("uvx --from vllm==0.20.0 vllm serve a/b --max-num-s 8").0.expect("a line");
    assert_eq!(changes(&old).last().map(String::as_str), Some("engine.max_num_seqs=8"));
}

#[test]
fn a_flag_given_twice_counts_as_it_is_given_last() {
    check(&Case {
        line: "uv run --with vllm==0.12.0 vllm serve Qwen/Qwen3-8B --max-num-seqs 8 --max_num_seqs=16 --model Qwen/Qwen3-4B",
        changes: &["deployment.model=Qwen/Qwen3-4B", "deployment.server_version=0.12", "engine.max_num_seqs=16"],
        told: &[
            "flag-repeated line:1:70: --max-num-seqs is given twice (the last one counts)",
            "flag-repeated line:1:88: the model is named twice",
        ],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn an_image_of_another_maker_names_the_release_in_its_own_way() {
    check(&Case {
        line: "podman run -d --device /dev/kfd rocm/vllm:rocm6.4.1_vllm_0.10.1_20250909 vllm serve \
               meta-llama/Llama-3.1-8B-Instruct --block-size 64 --quantization fp8",
        changes: &[
            "deployment.model=meta-llama/Llama-3.1-8B-Instruct",
            "deployment.server_version=0.10.1",
            "engine.block_size=64",
        ],
        told: &[],
        not_modelled: &[],
        not_known: &[],
    });
    check(&Case {
        line: "docker run nvcr.io/nvidia/vllm:25.09-py3 vllm serve a/b",
        changes: &["deployment.model=a/b"],
        told: &["serve-line-ignored line:1:12: tag \"25.09-py3\" says no release"],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn renamed_flags_name_their_successor_and_pipeline_stages_are_kept() {
    check(&Case {
        line: "vllm serve Qwen/Qwen2.5-72B-Instruct -tp=2 -pp 2 --cuda-graph-sizes 1 2 4 --max-num-partial-prefills 2 \
               --enable-chunked-prefill=False",
        changes: &[
            "deployment.model=Qwen/Qwen2.5-72B-Instruct",
            "deployment.tensor_parallel_size=2",
            "engine.pipeline_parallel_size=2",
            "engine.enable_chunked_prefill=false",
        ],
        told: &[
            "flag-removed line:1:50: it is called --cudagraph-capture-sizes since",
            "flag-removed line:1:75: --max-num-partial-prefills went in 0.27",
        ],
        not_modelled: &[],
        not_known: &[],
    });
}

#[test]
fn a_second_server_is_told_and_what_is_none_is_refused() {
    let (line, told) = read("vllm serve a/b --port 1 & vllm serve c/d --port 2");
    assert_eq!(line.expect("a line").changes[0].value, "a/b");
    assert!(told.iter().any(|found| found.message.contains("a second server")), "{told:?}");
    for nothing in ["", "   \n", "vllm bench throughput --model a/b", "hello world", "{}", "[]", "args: []", "a: b"] {
        let (line, told) = read(nothing);
        assert!(line.is_none() && told.len() == 1 && told[0].code == "not-a-serve-line", "{nothing:?}: {told:?}");
    }
}

#[test]
fn a_release_that_is_stated_wins_over_the_lines_and_another_fills_in() {
    let gone = |line: &str, release| {
        let read = serve_line(line, "line", release).expect("a line");
        read.diagnostics.iter().any(|found| found.code == "flag-removed")
    };
    let plain = "vllm serve a/b --swap-space 4";
    let image = "docker run vllm/vllm-openai:v0.17.0 --model a/b --swap-space 4";
    assert!(gone(plain, ServerRelease::default()) && !gone(image, ServerRelease::default()));
    assert!(gone(image, ServerRelease { stated: Some("0.18.0"), otherwise: None }));
    assert!(!gone(plain, ServerRelease { stated: None, otherwise: Some("vllm/vllm-openai:v0.8.4") }));
    assert!(!gone(image, ServerRelease { stated: None, otherwise: Some("0.20.0") }));
}

#[test]
fn no_secret_leaves_a_line_in_any_form() {
    for line in [
        "vllm serve a/b --api-key=topsecret",
        "vllm serve a/b --api-key topsecret topsecret2 --max-num-seqs x",
        "vllm serve a/b --api_key -topsecret",
        "vllm serve --api-key topsecret --max-num-seqs 1",
        "vllm serve a/b --hf-token topsecret --max-num-seqs 0",
        "vllm serve a/b --hf_token=topsecret",
        "vllm serve a/b --api-kye topsecret",
        "vllm serve a/b --some-key topsecret more",
        "HF_TOKEN=topsecret vllm serve a/b",
        "export HF_TOKEN=topsecret && vllm serve a/b --max-num-seqs 0",
        "docker run -e HF_TOKEN=topsecret --env=X=topsecret -eY=topsecret vllm/vllm-openai --model a/b",
        "HF_TOKEN=topsecret echo nothing",
        "vllm serve a/b --api-key 'topsecret",
        "vllm serve a/b topsecret",
        "vllm serve a/b --api-keytopsecret",
        "vllm serve a/b --hf-tokentopsecret=1 --max-num-seqs 0",
        "vllm serve a/b --speculative-config '{\"token\": \"topsecret\"'",
        "env:\n- name: HF_TOKEN\n  value: topsecret\nargs: [--model, a/b, --api-key, topsecret]\n",
        "args: [--api-key, topsecret, --max-num-seqs, 0]\nenv: {HF_TOKEN: topsecret}\n",
    ] {
        let (read, told) = read(line);
        let all = format!("{read:?} {told:?}");
        assert!(!all.contains("topsecret"), "{line}\n{all}");
    }
}

#[test]
fn hostile_lines_end_in_milliseconds() {
    let long = |part: &str, bytes: usize| part.repeat(bytes / part.len());
    let texts = [
        long("x", 1 << 20),
        format!("vllm serve a/b {}", long("'", (1 << 16) - 101)),
        format!("vllm serve a/b {}", long("--max-num-seq 1 ", 60_000)),
        format!("vllm serve a/b {}", long("-- ", 60_000)),
        format!("vllm serve a/b {}", long("--api-key a ", 60_000)),
        format!("vllm serve a/b --{}", long("y", 60_000)),
        format!("vllm serve a/b -cc '{}'", long("[", 60_000)),
        format!("vllm serve a/b -cc '{}'", long("{\"a\":", 60_000)),
        format!("args: {}", long("[", 60_000)),
        format!("- {}", long("- ", 60_000)),
        long("- a\n", 60_000),
        format!("a: &a [x]\nb: [{}]", long("*a, ", 60_000)),
        format!("docker run {}", long("-e A=b ", 60_000)),
        format!("vllm serve a/b {}", long("\\\n", 60_000)),
        format!("vllm serve a/b {}", long("#", 60_000)),
        "vllm serve a/b --max-num-seqs \0".to_owned(),
        "\u{feff}vllm serve ä/ö —–- --= -O -O. -cc. --no-".to_owned(),
    ];
    for text in texts {
        let start = Instant::now();
        let _ = read(&text);
        let took = start.elapsed();
        // Unoptimized, on a busy machine; a release build takes a hundredth.
        assert!(took.as_millis() < 1500, "{took:?}: {}", text.chars().take(40).collect::<String>());
    }
}

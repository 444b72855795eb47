//! Putting a line into a scenario.

use super::ServeLine;
use super::flags::flags;
use plimsoll_core::catalog::{Catalog, ModelSpec};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{AcceleratorChoice, ModelChoice, Scenario};
use serde_json::Value;

pub(super) const MODEL: &str = "deployment.model";

/// Ways of quantizing weights that the server carries out itself while loading, with the bytes a weight has then,
/// without its scales. All others say what a checkpoint is already.
const QUANTIZED_WHILE_LOADING: [(&str, f64); 3] = [("fp8", 1.0), ("ptpc_fp8", 1.0), ("bitsandbytes", 0.5)];

impl ServeLine {
    /// Makes the server of a scenario the one of this line.
    ///
    /// What a flag could decide and none of the line does is left to the server again, as if it had been started by the
    /// line; a server without `--tensor-parallel-size` has one accelerator. What no flag decides stays: the accelerator,
    /// the workload, the goal, and the model and the release where the line names none.
    ///
    /// Gives notes and warnings about what could not be taken as it stands; with an error among them the scenario is as
    /// before.
    pub fn apply(&self, scenario: &mut Scenario, catalog: &Catalog) -> Vec<Diagnostic> {
        let mut told = Vec::new();
        match self.applied(scenario, catalog, &mut told) {
            Ok(applied) => *scenario = applied,
            Err(problem) => told.push(problem),
        }
        told
    }

    fn applied(
        &self,
        scenario: &Scenario,
        catalog: &Catalog,
        told: &mut Vec<Diagnostic>,
    ) -> Result<Scenario, Diagnostic> {
        let unfit = |error: serde_json::Error| {
            Diagnostic::error("invalid-value", "", format!("the line does not fit into the scenario: {error}"))
        };
        let mut tree = serde_json::to_value(scenario).map_err(unfit)?;
        let usual = serde_json::to_value(Scenario::default()).map_err(unfit)?;
        for path in flags().iter().filter_map(|flag| flag.sets.as_deref()).chain(OF_VARIABLES) {
            leave_out(&mut tree, path, &usual);
        }
        for change in self.changes.iter().filter(|change| change.path != MODEL) {
            set(&mut tree, change.path, change.value.clone());
        }
        let mut applied: Scenario = serde_json::from_value(tree).map_err(unfit)?;
        let named = self.changes.iter().find(|change| change.path == MODEL);
        if let Some(name) = named.and_then(|change| change.value.as_str()) {
            applied.deployment.model = model(name, &scenario.deployment.model, catalog, told);
        }
        if let Some(way) = &self.quantization {
            quantize(way, &mut applied, catalog, told);
        }
        if !applied.engine.use_v1 {
            self.leave_to_v0(&mut applied, catalog);
        }
        Ok(applied)
    }

    /// Leaves to the V0 engine what the line does: no prefix is kept, and prompts come in chunks where they may be long.
    ///
    /// # Source
    /// Read in the releases that have it; without windows and latent attention, for which it makes no chunks.
    fn leave_to_v0(&self, scenario: &mut Scenario, catalog: &Catalog) {
        /// Longer sequences are computed in chunks.
        const LONG: u64 = 32_768;
        let says = |path: &str| self.changes.iter().any(|change| change.path == path);
        let spec = spec(&scenario.deployment.model, catalog);
        let engine = &mut scenario.engine;
        if !says("engine.enable_prefix_caching") {
            engine.enable_prefix_caching = false;
        }
        if !says("engine.enable_chunked_prefill") {
            let made_for = spec.map_or(0, ModelSpec::longest_context);
            let takes_chunks = spec.is_none_or(|spec| spec.sliding_window == 0 && spec.kv_lora_rank == 0);
            engine.enable_chunked_prefill = takes_chunks && engine.max_model_len.map_or(made_for, u64::from) > LONG;
        }
    }
}

/// Fields that variables decide.
pub(super) const OF_VARIABLES: [&str; 2] = ["engine.use_v1", "engine.allow_long_max_model_len"];

/// Gives a field what it has where no flag decides it; one that is not the server's alone stays.
fn leave_out(tree: &mut Value, path: &str, usual: &Value) {
    let Some((section @ ("engine" | "deployment"), key)) = path.split_once('.') else { return };
    let Some(fields) = tree.get_mut(section).and_then(Value::as_object_mut) else { return };
    match (path, field(usual, path)) {
        ("deployment.tensor_parallel_size", _) => {
            fields.insert(key.to_owned(), 1.into());
        }
        _ if section == "deployment" => {}
        (_, Some(value)) => {
            fields.insert(key.to_owned(), value.clone());
        }
        // Such a field is written only where it is not as usual.
        (_, None) => {
            fields.remove(key);
        }
    }
}

/// The architecture of a model, where it is known.
fn spec<'s>(choice: &'s ModelChoice, catalog: &'s Catalog) -> Option<&'s ModelSpec> {
    match choice {
        ModelChoice::Id(id) => catalog.model_meant(id),
        ModelChoice::Custom(spec) => Some(spec),
    }
}

pub(super) fn field<'v>(tree: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(tree, |value, key| value.get(key))
}

/// Sets a field below a section that is there.
fn set(tree: &mut Value, path: &str, value: Value) {
    if let Some((section, key)) = path.split_once('.')
        && let Some(fields) = tree.get_mut(section).and_then(Value::as_object_mut)
    {
        fields.insert(key.to_owned(), value);
    }
}

fn last_component(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or(id)
}

/// The model of this name: the one that the scenario has under it, an entry of the catalogue, or what the name says.
fn model(name: &str, present: &ModelChoice, catalog: &Catalog, told: &mut Vec<Diagnostic>) -> ModelChoice {
    let is_same = |id: &str| id.eq_ignore_ascii_case(name);
    // Ids differ by more than their case.
    if is_same(match present {
        ModelChoice::Id(id) => id,
        ModelChoice::Custom(spec) => &spec.id,
    }) {
        return present.clone();
    }
    if catalog.model(name).is_none() {
        let is_like = |spec: &&ModelSpec| last_component(&spec.id).eq_ignore_ascii_case(last_component(name));
        let mut like = catalog.models.iter().filter(is_like);
        if let (Some(spec), None) = (like.next(), like.next()) {
            let message = format!("{name} is taken for {}, whose name it has", spec.id);
            told.push(
                Diagnostic::warning("model-by-name", MODEL, message).with_hint("give its config.json if it is another"),
            );
            return ModelChoice::Id(spec.id.clone());
        }
    }
    ModelChoice::Id(name.to_owned())
}

/// Gives the weights the type that a server makes of them while loading.
fn quantize(way: &str, scenario: &mut Scenario, catalog: &Catalog, told: &mut Vec<Diagnostic>) {
    // A model that is not known is told by `resolve`; weights that are quantized already are what the flag confirms.
    let Some(spec) = spec(&scenario.deployment.model, catalog).filter(|spec| spec.weight_bytes_per_param.is_none())
    else {
        return;
    };
    let Some((_, bytes)) = QUANTIZED_WHILE_LOADING.iter().find(|(name, _)| *name == way) else {
        let message =
            format!("quantization {way} says what a checkpoint is already, and the one of {} is not", spec.id);
        let hint = "name the quantized model, or paste its config.json";
        told.push(Diagnostic::warning("quantization-of-checkpoint", MODEL, message).with_hint(hint));
        return;
    };
    let mut quantized = spec.clone();
    quantized.weight_bytes_per_param = Some(*bytes);
    if let Some(footprint) = &mut quantized.footprint {
        footprint.narrow(*bytes / spec.torch_dtype.bytes());
    }
    // It runs where the model as it is published does, whose coefficients say nothing of this one.
    if let (None, Some(default)) = (&scenario.deployment.accelerator, catalog.model_default(&spec.id)) {
        scenario.deployment.accelerator = Some(AcceleratorChoice::Id(default.accelerator.clone()));
    }
    quantized.id = format!("{}-{way}", spec.id);
    scenario.deployment.model = ModelChoice::Custom(Box::new(quantized));
}

#[cfg(test)]
mod tests {
    use super::super::{ServerRelease, serve_line};
    use super::*;
    use plimsoll_core::scenario::{Batching, Rules};

    fn applied(line: &str, scenario: &mut Scenario) -> Vec<Diagnostic> {
        let read = serve_line(line, "line", ServerRelease::default()).expect("a line");
        read.value.apply(scenario, plimsoll_configs::catalog())
    }

    #[test]
    fn the_server_is_the_lines_and_all_else_the_scenarios() {
        let mut scenario = Scenario::default();
        scenario.deployment.tensor_parallel_size = Some(4);
        scenario.engine.block_size = 64;
        scenario.engine.gpu_memory_utilization = Some(0.5);
        scenario.engine.kv_cache_dtype = Some("fp8".into());
        scenario.workload.request_rate = 7.0;
        let line = "vllm serve Qwen/Qwen3-14B --max-num-seqs 99 --max-model-len 16k --no-enable-prefix-caching -dp 3";
        assert!(applied(line, &mut scenario).is_empty());
        let mut expected = Scenario::default();
        expected.deployment.model = ModelChoice::Id("Qwen/Qwen3-14B".into());
        expected.engine.max_num_seqs = Some(99);
        expected.engine.max_model_len = Some(16_000);
        expected.engine.enable_prefix_caching = false;
        expected.cluster.num_replicas = 3;
        expected.workload.request_rate = 7.0;
        assert_eq!(scenario, expected);
        assert!(scenario.resolve(plimsoll_configs::catalog()).is_ok());
    }

    #[test]
    fn every_field_that_a_flag_sets_is_one_of_a_scenario() {
        let usual = serde_json::to_value(Scenario::default()).expect("JSON");
        for path in flags().iter().filter_map(|flag| flag.sets.as_deref()).chain(["deployment.server_version"]) {
            // Some are written only where they are not as usual.
            let unwritten = ["scheduled_tokens", "memory_bytes", "performance_mode", "all2all_backend"];
            assert!(field(&usual, path).is_some() || unwritten.iter().any(|end| path.ends_with(end)), "{path}");
        }
    }

    /// The figures are those of the list of flags: twice 8,192 and 1,024 on an H100, twice 16,384 and 1,024 on a B200.
    #[test]
    fn the_mode_for_throughput_doubles_what_is_left_out_on_any_card() {
        let limits = |line: &str, card: Option<&str>| {
            let mut scenario = Scenario::default();
            scenario.deployment.accelerator = None;
            assert!(applied(&format!("vllm serve meta-llama/Llama-3.1-8B-Instruct {line}"), &mut scenario).is_empty());
            assert_eq!((scenario.engine.max_num_seqs, scenario.engine.max_num_batched_tokens), (None, None));
            // As `--hardware` does, behind the line.
            scenario.deployment.accelerator = card.map(|id| AcceleratorChoice::Id(id.into()));
            let engine = scenario.resolve(plimsoll_configs::catalog()).expect("valid").value.engine;
            (engine.max_num_seqs, engine.max_num_batched_tokens)
        };
        const MODE: &str = "--performance-mode throughput";
        assert_eq!(limits(MODE, Some("H100")), (2048, 16_384));
        assert_eq!(limits(MODE, Some("B200-SXM")), (2048, 32_768));
        assert_eq!(limits(MODE, Some("L40S")), (512, 4096));
        // The model's own card is an H100.
        assert_eq!(limits(MODE, None), (2048, 16_384));
        assert_eq!(limits("", None), (1024, 8192));
        // A batch of 2,048 sequences of 7 tokens has no more than 14,336.
        assert_eq!(limits(&format!("{MODE} --max-model-len 7"), Some("H100")), (2048, 14_336));
    }

    #[test]
    fn a_model_in_a_folder_is_known_by_its_name() {
        let mut scenario = Scenario::default();
        let told = applied("vllm serve /models/Llama-3.1-8B-Instruct", &mut scenario);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].code, "model-by-name");
        assert!(
            matches!(&scenario.deployment.model, ModelChoice::Id(id) if id.eq_ignore_ascii_case("meta-llama/Llama-3.1-8B-Instruct"))
        );
        let told = applied("vllm serve /models/none-such", &mut scenario);
        assert!(told.is_empty(), "{told:?}");
        assert!(scenario.resolve(plimsoll_configs::catalog()).is_err());
    }

    #[test]
    fn an_architecture_of_ones_own_stays_under_its_name() {
        let mut spec = plimsoll_configs::catalog().model("meta-llama/llama-3.1-8b-instruct").expect("there").clone();
        spec.id = "mine/model".into();
        let own = ModelChoice::Custom(Box::new(spec));
        let mut scenario = Scenario::default();
        scenario.deployment.model = own.clone();
        applied("vllm serve Mine/Model -tp 2", &mut scenario);
        assert_eq!(scenario.deployment.model, own);
    }

    #[test]
    fn weights_are_quantized_while_loading_or_the_checkpoint_is_asked_for() {
        let mut scenario = Scenario::default();
        let line = "vllm serve meta-llama/Llama-3.1-8B-Instruct --quantization";
        assert!(applied(&format!("{line} fp8"), &mut scenario).is_empty());
        let ModelChoice::Custom(spec) = &scenario.deployment.model else { panic!("{:?}", scenario.deployment) };
        assert_eq!(spec.weight_bytes_per_param, Some(1.0));
        let told = applied(&format!("{line} awq"), &mut scenario);
        assert_eq!(told.iter().map(|found| found.code.as_str()).collect::<Vec<_>>(), ["quantization-of-checkpoint"]);
        assert!(matches!(&scenario.deployment.model, ModelChoice::Id(_)));
    }

    /// Llama 3.1 8B: 32 layers, 8 heads of 128, keys and values of two bytes are 131,072 bytes a token; on each of two
    /// accelerators half of that.
    #[test]
    fn memory_of_the_cache_is_counted_in_blocks_of_the_server_in_force() {
        let blocks = |flags: &str, change: fn(&mut Scenario)| {
            let mut scenario = Scenario::default();
            let line = "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 8192 --kv-cache-memory-bytes 20G";
            applied(&format!("{line} {flags}"), &mut scenario);
            assert_eq!(scenario.engine.kv_cache_memory_bytes, Some(20 << 30));
            change(&mut scenario);
            scenario.resolve(plimsoll_configs::catalog()).expect("valid").value.engine.num_blocks
        };
        // 20 · 2³⁰ / 2¹⁷ / 2⁴
        assert_eq!(blocks("", |_| ()), 10_240);
        assert_eq!(blocks("-tp 2 --block-size 32", |_| ()), 10_240);
        // As flags do behind the line.
        assert_eq!(blocks("", |scenario| scenario.engine.block_size = 32), 5120);
        assert_eq!(blocks("", |scenario| scenario.deployment.tensor_parallel_size = Some(2)), 20_480);
        assert_eq!(blocks("--num-gpu-blocks-override 777", |_| ()), 777);
        assert_eq!(blocks("--gpu-memory-utilization 0.1", |_| ()), 10_240);
    }

    #[test]
    fn a_quantized_model_has_the_card_of_the_published_one() {
        let mut scenario = Scenario::default();
        scenario.deployment.accelerator = None;
        assert!(applied("vllm serve meta-llama/Llama-3.1-8B-Instruct --quantization fp8", &mut scenario).is_empty());
        assert_eq!(scenario.deployment.accelerator, Some(AcceleratorChoice::Id("H100".into())));
        assert!(scenario.resolve(plimsoll_configs::catalog()).is_ok());
    }

    /// Of the list of flags and the sources of these releases: 256 places, no prefixes kept, chunks above 32,768 tokens.
    #[test]
    fn the_v0_engine_has_its_own_defaults() {
        let v0 = |flags: &str| {
            let mut scenario = Scenario::default();
            let line =
                format!("VLLM_USE_V1=0 uv run --with vllm==0.8.5 vllm serve meta-llama/Llama-3.1-8B-Instruct {flags}");
            assert!(applied(&line, &mut scenario).is_empty());
            let engine = scenario.resolve(plimsoll_configs::catalog()).expect("valid").value.engine;
            let Rules::VllmV1(rules) = engine.rules else { panic!("{:?}", engine.rules) };
            (engine.max_num_seqs, engine.max_num_batched_tokens, engine.enable_prefix_caching, rules.batching)
        };
        assert_eq!(v0(""), (256, 2048, false, Batching::Sync));
        assert_eq!(v0("--max-model-len 16384 --enable-prefix-caching"), (256, 16_384, true, Batching::V0));
        assert_eq!(v0("--max-model-len 1024"), (256, 2048, false, Batching::V0));
        assert_eq!(v0("--enable-chunked-prefill --max-model-len 4096"), (256, 2048, false, Batching::Sync));
    }

    /// A type that is listed as modelled can be resolved.
    #[test]
    fn every_modelled_type_of_the_cache_is_one_of_a_scenario() {
        for name in super::super::settings::KV_CACHE_TYPES {
            let mut scenario = Scenario::default();
            applied(&format!("vllm serve Qwen/Qwen3-14B --kv-cache-dtype {name}"), &mut scenario);
            assert_eq!(scenario.engine.kv_cache_dtype.as_deref(), Some(name));
            assert!(scenario.resolve(plimsoll_configs::catalog()).is_ok(), "{name}");
        }
    }
}

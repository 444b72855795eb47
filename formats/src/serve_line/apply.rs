//! Putting a line into a scenario.

use super::ServeLine;
use super::flags::flags;
use plimsoll_core::catalog::{Catalog, ModelSpec};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::{AcceleratorChoice, ModelChoice, Scenario, ServerVersion};
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
        for path in flags().iter().filter_map(|flag| flag.sets.as_deref()) {
            if let Some(value) = left_out(path, &usual) {
                set(&mut tree, path, value);
            }
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
        if self.is_for_throughput {
            double_limits(&mut applied, catalog);
        }
        if let Some(bytes) = self.kv_cache_memory_bytes {
            give_memory(bytes, &mut applied, catalog, told);
        }
        Ok(applied)
    }
}

/// What a field has where no flag decides it; none for one that is not the server's alone.
fn left_out(path: &str, usual: &Value) -> Option<Value> {
    match path {
        "deployment.tensor_parallel_size" => Some(1.into()),
        _ if path.starts_with("engine.") => field(usual, path).cloned(),
        _ => None,
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
    let spec = match &scenario.deployment.model {
        ModelChoice::Id(id) => catalog.model(id),
        ModelChoice::Custom(spec) => Some(&**spec),
    };
    // A model that is not known is told by `resolve`; weights that are quantized already are what the flag confirms.
    let Some(spec) = spec.filter(|spec| spec.weight_bytes_per_param.is_none()) else { return };
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
    // Coefficients of the model as it is published say nothing of this one.
    quantized.id = format!("{}-{way}", spec.id);
    scenario.deployment.model = ModelChoice::Custom(Box::new(quantized));
}

/// Doubles the limits that are left to the server, as its mode for throughput does.
fn double_limits(scenario: &mut Scenario, catalog: &Catalog) {
    let Scenario { deployment, engine, .. } = scenario;
    let release = deployment.server_version.as_deref().and_then(ServerVersion::parse).unwrap_or(ServerVersion::NEWEST);
    let limits = release.known().limits(match &deployment.accelerator {
        Some(AcceleratorChoice::Id(id)) => catalog.accelerator(id),
        Some(AcceleratorChoice::Custom(spec)) => Some(spec),
        None => None,
    });
    engine.max_num_seqs.get_or_insert(limits.max_num_seqs.saturating_mul(2));
    engine.max_num_batched_tokens.get_or_insert(limits.max_num_batched_tokens.saturating_mul(2));
}

/// Turns memory of one accelerator into blocks, by what the scenario resolves to.
fn give_memory(bytes: u64, scenario: &mut Scenario, catalog: &Catalog, told: &mut Vec<Diagnostic>) {
    const PATH: &str = "engine.num_gpu_blocks";
    // The blocks of the formula may be too few for the length; what is asked is a block's size alone.
    let asked = Scenario { engine: asked_engine(scenario), ..scenario.clone() };
    let ledger = asked.resolve(catalog).ok().and_then(|resolved| resolved.value.ledger);
    let per_block = ledger.map(|ledger| ledger.block_bytes(scenario.engine.block_size));
    // At most 2⁵³ bytes, and blocks of at least a byte, leave no fraction to be wrong.
    let blocks = per_block.filter(|size| *size >= 1.0).map(|size| bytes as f64 / size);
    match blocks {
        Some(blocks) if (1.0..4.0e9).contains(&blocks) => {
            scenario.engine.num_gpu_blocks = Some(blocks as u32);
            let message = format!("{bytes} bytes of KV cache on each accelerator are {} blocks", blocks as u32);
            told.push(Diagnostic::note("kv-memory-as-blocks", PATH, message));
        }
        _ => {
            let message = format!("{bytes} bytes of KV cache cannot be turned into blocks of this deployment");
            let hint = "set num_gpu_blocks to what the server logs";
            told.push(Diagnostic::warning("kv-memory-as-blocks", PATH, message).with_hint(hint));
        }
    }
}

/// Blocks for more tokens than any model takes.
const MOST_BLOCKS: u32 = 10_000_000;

/// The engine of a scenario with blocks enough for any length.
fn asked_engine(scenario: &Scenario) -> plimsoll_core::scenario::EngineSettings {
    let mut engine = scenario.engine.clone();
    engine.num_gpu_blocks = Some(MOST_BLOCKS);
    engine
}

#[cfg(test)]
mod tests {
    use super::super::{ServerRelease, serve_line};
    use super::*;

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
            assert!(path == "engine" || field(&usual, path).is_some(), "{path}");
        }
    }

    #[test]
    fn the_mode_for_throughput_doubles_what_is_left_out() {
        let mut scenario = Scenario::default();
        let line = "vllm serve Qwen/Qwen3-14B --performance-mode throughput --max-num-seqs 100";
        assert!(applied(line, &mut scenario).is_empty());
        // 8,192 tokens a step are the default on an H100.
        assert_eq!(scenario.engine.max_num_seqs, Some(100));
        assert_eq!(scenario.engine.max_num_batched_tokens, Some(16_384));
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
    fn memory_of_the_cache_is_counted_in_blocks() {
        let mut scenario = Scenario::default();
        let line = "vllm serve meta-llama/Llama-3.1-8B-Instruct --kv-cache-memory-bytes 20G";
        applied(line, &mut scenario);
        // 20 · 2³⁰ / 2¹⁷ / 2⁴
        assert_eq!(scenario.engine.num_gpu_blocks, Some(10_240));
        applied(&format!("{line} -tp 2 --block-size 32"), &mut scenario);
        assert_eq!(scenario.engine.num_gpu_blocks, Some(10_240));
        let told = applied("vllm serve none/such --kv-cache-memory-bytes 20G", &mut scenario);
        assert!(told.iter().any(|found| found.message.contains("cannot be turned into blocks")), "{told:?}");
        assert_eq!(scenario.engine.num_gpu_blocks, None);
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

//! What each quantizer's settings mean for the width of weights.

use super::rules::Rules;
use super::scheme::{Scales, Scheme};
use super::settings::{BITS, Settings, whole};
use crate::config::brief;
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::Diagnostic;
use std::cell::RefCell;

/// What is done to the linear layers of a model.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(super) rules: Rules,
    /// Whether the output head is converted where no rule leaves it alone.
    pub converts_head: bool,
    /// Whether only routed experts are converted.
    pub only_experts: bool,
}

type Planned = Result<Option<Plan>, Diagnostic>;

/// A plan, none where nothing is quantized, or every problem with the settings.
pub(super) type Read = Result<Option<Plan>, Vec<Diagnostic>>;

/// Words for a width that a person gives, and what they stand for.
const WORDS: &[(&str, Option<Scheme>)] = &[
    ("none", None),
    ("bf16", None),
    ("bfloat16", None),
    ("fp16", None),
    ("float16", None),
    ("fp8", Some(FP8_ROWS)),
    ("fp8_block", Some(Scheme::block_fp8(128, 128))),
    ("fp8-block", Some(Scheme::block_fp8(128, 128))),
    ("w8a8", Some(INT8_ROWS)),
    ("int8", Some(INT8_ROWS)),
    ("w8a16", Some(INT8_ROWS)),
    ("mxfp8", Some(MXFP8)),
    ("int4", Some(INT4)),
    ("w4a16", Some(INT4)),
    ("gptq", Some(INT4)),
    ("awq", Some(AWQ)),
    ("nvfp4", Some(NVFP4)),
    ("mxfp4", Some(MXFP4)),
    ("nf4", Some(NF4)),
    ("bitsandbytes", Some(NF4)),
];

const FP8_ROWS: Scheme = Scheme::new(8.0, Scales::Rows(4));
const INT8_ROWS: Scheme = Scheme::new(8.0, Scales::Rows(2));
const MXFP8: Scheme = Scheme::new(8.0, Scales::Groups { size: 32, bytes: 1.0 });
const INT4: Scheme = Scheme::new(4.0, Scales::Groups { size: 128, bytes: 2.0 });
/// Zero points have four bits beside the scales of two bytes.
const AWQ: Scheme = Scheme::new(4.0, Scales::Groups { size: 128, bytes: 2.5 });
const NVFP4: Scheme = Scheme::new(4.0, Scales::Groups { size: 16, bytes: 1.0 });
const MXFP4: Scheme = Scheme::new(4.0, Scales::Groups { size: 32, bytes: 1.0 });
/// A byte for each 64 values, and four for each 256 of these.
const NF4: Scheme = Scheme::new(4.0, Scales::Groups { size: 64, bytes: 1.016 });

/// The methods of [`from_config`], for the message that lists them.
const METHODS: &str = "fp8, fbgemm_fp8, compressed-tensors, modelopt, gptq, awq, auto-round, bitsandbytes, torchao, hqq, \
                       quark, mxfp4, mxfp8, fp_quant, quanto, eetq, aqlm, higgs, bitnet, experts_int8, qqq, bitblas";

/// The plan for a word such as `fp8`.
pub(super) fn from_word(word: &str) -> Read {
    let name = word.trim().to_ascii_lowercase();
    let Some((_, scheme)) = WORDS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = WORDS.iter().map(|(known, _)| *known).collect();
        let problem = Diagnostic::error("invalid-value", "quantization", format!("quantization is {word}"));
        return Err(vec![problem.with_hint(format!("give one of {}", known.join(", ")))]);
    };
    let only_experts = name == "mxfp4";
    Ok(scheme.map(|scheme| Plan { rules: Rules::all(scheme), only_experts, ..Plan::default() }))
}

/// The plan of a `quantization_config`.
pub(super) fn from_config(settings: &Value<'_>, path: &str) -> Read {
    all_problems(settings, path, of_method)
}

/// The plan of the file that a producer writes beside the config.
pub(super) fn from_producer_file(settings: &Value<'_>, path: &str) -> Read {
    all_problems(settings, path, |settings| {
        let is_other = settings.get("quant_algo").is_none() && settings.get("quant_method").is_some();
        if is_other { of_method(settings) } else { settings.modelopt() }
    })
}

/// A plan with what its settings were found to be wrong in.
fn all_problems(settings: &Value<'_>, path: &str, plan: impl Fn(&Settings<'_, '_>) -> Planned) -> Read {
    let problems = RefCell::default();
    let found = plan(&Settings { settings, path: path.to_owned(), problems: &problems });
    let mut problems = problems.into_inner();
    match found {
        Ok(plan) if problems.is_empty() => return Ok(plan),
        Ok(_) => {}
        Err(problem) => problems.push(problem),
    }
    Err(problems)
}

/// How to be understood where a method is not.
fn known_methods() -> String {
    format!(
        "known are {METHODS}; name one as quant_method, or say how wide the weights are (`--quantization fp8`, or the \
         field quantization)"
    )
}

fn of_method(settings: &Settings<'_, '_>) -> Planned {
    let name = match (settings.settings, settings.get("quant_method")) {
        (Value::Map(_), None) => "",
        (Value::Map(_), Some(Value::Text(name))) => name,
        (Value::Map(_), Some(other)) => {
            let message = format!("quant_method is {}, not the name of a method", brief(other));
            let problem = Diagnostic::error("unknown-quantization", settings.at("quant_method"), message);
            return Err(problem.with_hint(known_methods()));
        }
        (other, _) => {
            let key = settings.path.rsplit(':').next().unwrap_or_default();
            let message = format!("{key} is {}, not an object that names its quant_method", brief(other));
            let problem = Diagnostic::error("unknown-quantization", &*settings.path, message);
            return Err(problem.with_hint(known_methods()));
        }
    };
    let method = name.to_ascii_lowercase().replace('_', "-");
    let mut plan = Plan::default();
    plan.rules.usual = match method.as_str() {
        "fp8" | "finegrained-fp8" | "deepgemm" => Some(settings.fp8()),
        "fbgemm-fp8" | "ptpc-fp8" | "w8a8-fp8" => Some(FP8_ROWS),
        "compressed-tensors" => return settings.compressed_tensors(),
        "modelopt" | "modelopt-fp4" | "modelopt-mixed" => return settings.modelopt(),
        "" if settings.get("quant_algo").is_some() => return settings.modelopt(),
        "" if settings.get("config_groups").is_some() => return settings.compressed_tensors(),
        "gptq" | "gptq-marlin" | "gptq-marlin-24" | "gptq-bitblas" | "bitblas" | "marlin" | "gptqmodel" | "qqq" => {
            settings.dynamic(&mut plan)?;
            Some(settings.awq()?)
        }
        "awq" | "awq-marlin" | "moe-wna16" => Some(settings.awq()?),
        "auto-round" | "inc" | "intel/auto-round" | "autoround" => {
            settings.extra(&mut plan)?;
            Some(settings.awq()?)
        }
        "bitsandbytes" | "bnb" => settings.bitsandbytes(),
        "torchao" => Some(settings.torchao()?),
        "hqq" | "hqq-marlin" | "sinq" => Some(settings.hqq()?),
        "quark" => return settings.quark(),
        "mxfp4" => {
            plan.only_experts = true;
            Some(MXFP4)
        }
        "mxfp8" => Some(MXFP8),
        "fp-quant" => {
            let is_nvidia = settings.text("forward_dtype").is_some_and(|name| name.contains("nv"));
            Some(if is_nvidia { NVFP4 } else { MXFP4 })
        }
        "quanto" => Some(settings.quanto()?),
        "eetq" | "tpu-int8" | "w8a8-int8" => Some(INT8_ROWS),
        "petit-nvfp4" => Some(NVFP4),
        "experts-int8" => {
            plan.only_experts = true;
            Some(INT8_ROWS)
        }
        "aqlm" => Some(settings.aqlm()?),
        "higgs" => Some(Scheme::grouped(settings.number("bits", BITS).unwrap_or(4.0), settings.group_size(), 2.0)),
        "bitnet" => match settings.text("quantization_mode") {
            Some("online") => None,
            _ if settings.text("linear_class") == Some("autobitlinear") => None,
            _ => Some(Scheme::new(2.0, Scales::Tensor(2))),
        },
        _ => {
            let message = match method.as_str() {
                "" => {
                    "quantization_config names no quant_method, so nothing says how the weights are stored".to_owned()
                }
                _ => format!("quant_method is {}, which is not known here", brief(&Value::from(name))),
            };
            let problem = Diagnostic::error("unknown-quantization", settings.at("quant_method"), message);
            return Err(problem.with_hint(known_methods()));
        }
    };
    plan.converts_head = matches!(settings.get("lm_head"), Some(Value::Bool(true)));
    settings.leave_alone(&mut plan.rules)?;
    Ok(Some(plan))
}

impl Settings<'_, '_> {
    fn fp8(&self) -> Scheme {
        if self.get("weight_block_size").is_none() {
            return Scheme::new(8.0, Scales::Tensor(4));
        }
        let [rows, columns] = self.block("weight_block_size");
        // Microscaling formats have a byte of exponent for each block of a row.
        let bytes = if self.text("scale_fmt") == Some("ue8m0") { 1 } else { 4 };
        Scheme::new(8.0, Scales::Blocks { rows, columns, bytes })
    }

    /// Scales of two bytes and zero points of the weights' width for each group.
    fn awq(&self) -> Result<Scheme, Diagnostic> {
        let bits = self.bits(["bits", "w_bit"])?;
        let group = self.group_size().or_else(|| self.group_under("q_group_size"));
        Ok(Scheme::grouped(bits, group, 2.0 + bits / 8.0))
    }

    /// Overrides of GPTQ: `-:` leaves modules alone, `+:` or nothing gives them settings of their own.
    fn dynamic(&self, plan: &mut Plan) -> Result<(), Diagnostic> {
        for (name, own) in self.entries("dynamic") {
            let scheme = if name.starts_with("-:") {
                None
            } else {
                let own = self.of("dynamic", own).of(name, own);
                let bits = own.number("bits", BITS).or_else(|| self.number("bits", BITS)).unwrap_or(4.0);
                Some(Scheme::grouped(bits, own.group_size().or_else(|| self.group_size()), 2.0 + bits / 8.0))
            };
            let expression = name.trim_start_matches("-:").trim_start_matches("+:");
            plan.rules.add_found(expression, scheme).map_err(self.unreadable())?;
        }
        Ok(())
    }

    /// Settings of single modules.
    fn extra(&self, plan: &mut Plan) -> Result<(), Diagnostic> {
        for (name, own) in self.entries("extra_config") {
            let own = self.of("extra_config", own).of(name, own);
            let bits = own.number("bits", BITS).or_else(|| self.number("bits", BITS)).unwrap_or(4.0);
            let group = own.group_size().or_else(|| self.group_size());
            let scheme = (bits < 16.0).then(|| Scheme::grouped(bits, group, 2.0 + bits / 8.0));
            let is_expression = name.contains(['\\', '(', '[', '^', '$']) || name.contains(".*");
            let added = if is_expression { plan.rules.add_found(name, scheme) } else { plan.rules.add(name, scheme) };
            added.map_err(self.unreadable())?;
        }
        Ok(())
    }

    fn bitsandbytes(&self) -> Option<Scheme> {
        if self.flag("load_in_4bit") || self.flag("_load_in_4bit") {
            let is_nested = self.flag("bnb_4bit_use_double_quant");
            return Some(if is_nested { NF4 } else { Scheme::new(4.0, Scales::Groups { size: 64, bytes: 4.0 }) });
        }
        (self.flag("load_in_8bit") || self.flag("_load_in_8bit")).then_some(FP8_ROWS)
    }

    fn torchao(&self) -> Result<Scheme, Diagnostic> {
        let quant_type = self.get("quant_type");
        // A word, or the class of a config with its settings.
        let (name, group) = match quant_type {
            Some(Value::Text(name)) => {
                let arguments = self.get("quant_type_kwargs").map(|settings| self.of("quant_type_kwargs", settings));
                (name.to_string(), arguments.and_then(|own| own.group_size()))
            }
            Some(value @ Value::Map(entries)) => {
                let own = value.get("default").or_else(|| entries.first().map(|(_, value)| value)).unwrap_or(value);
                let own = self.of("quant_type", own);
                let data = own.get("_data").map(|settings| own.of("_data", settings));
                (own.text("_type").unwrap_or_default().to_owned(), data.and_then(|own| own.group_size()))
            }
            None => return Err(self.problem("quant_type is missing")),
            Some(other) => return Err(self.problem(format!("quant_type is {}", brief(other)))),
        };
        let lower = name.to_ascii_lowercase();
        let has = |word: &str| lower.contains(word);
        if has("nvfp4") {
            return Ok(NVFP4);
        }
        if has("mx") && has("4") {
            return Ok(MXFP4);
        }
        if has("float8") || has("fp8") || has("f8") {
            return Ok(if has("mx") { MXFP8 } else { FP8_ROWS });
        }
        if has("int4") || has("uint4") || has("autoquant") && has("4") {
            // A scale and a zero point of two bytes each.
            return Ok(Scheme::grouped(4.0, group.or(Some(128.0)), 4.0));
        }
        if has("int8") {
            return Ok(INT8_ROWS);
        }
        Err(self.problem(format!("quant_type is {name}, which is not known here")))
    }

    fn hqq(&self) -> Result<Scheme, Diagnostic> {
        let inner = match self.get("quant_config") {
            Some(inner) => &self.of("quant_config", inner),
            None => self,
        };
        // One set of settings for all, or one for each kind of module, of which the first stands for all.
        let own = inner.get("weight_quant_params").or_else(|| {
            let entries = if let Value::Map(entries) = inner.settings { entries.as_slice() } else { &[] };
            entries.iter().find_map(|(_, value)| value.get("weight_quant_params"))
        });
        let own = match own {
            Some(own) => &inner.of("weight_quant_params", own),
            None => inner,
        };
        let bits = own.bits(["nbits", "bits"])?;
        Ok(Scheme::grouped(bits, own.group_size().or(Some(64.0)), 4.0))
    }

    fn quanto(&self) -> Result<Scheme, Diagnostic> {
        match self.text("weights").unwrap_or_default() {
            "int8" | "qint8" | "float8" | "qfloat8" => Ok(INT8_ROWS),
            "int4" | "qint4" => Ok(Scheme::grouped(4.0, Some(128.0), 4.0)),
            "int2" | "qint2" => Ok(Scheme::grouped(2.0, Some(128.0), 4.0)),
            other => Err(self.problem(format!("weights is {other}, which is not known here"))),
        }
    }

    /// Codes for groups of values, with tables of what they stand for.
    fn aqlm(&self) -> Result<Scheme, Diagnostic> {
        let side = |key, usual| self.number(key, 1.0..=4096.0).unwrap_or(usual);
        let group = side("in_group_size", 8.0) * side("out_group_size", 1.0);
        let code = self.number("nbits_per_codebook", 1.0..=24.0).unwrap_or(16.0);
        let tables = self.number("num_codebooks", 1.0..=64.0).unwrap_or(1.0);
        let bits = tables * code / group;
        if !(0.1..=32.0).contains(&bits) {
            return Err(self.problem(format!("the codes have {bits} bits per weight")));
        }
        let entries = tables * code.exp2() * group * 2.0;
        Ok(Scheme::new(bits, Scales::Table(whole(entries))))
    }

    /// Groups of modules with settings each; targets are classes, names or expressions.
    fn compressed_tensors(&self) -> Planned {
        let mut plan = Plan { converts_head: true, ..Plan::default() };
        self.leave_alone(&mut plan.rules)?;
        for (name, group) in self.entries("config_groups") {
            let group = self.of("config_groups", group).of(name, group);
            let Some(weights) = group.get("weights") else { continue };
            let format = group.text("format").or_else(|| self.text("format")).unwrap_or_default();
            let scheme = group.of("weights", weights).compressed(format)?;
            let targets = match group.get("targets") {
                Some(Value::List(targets)) => targets.as_slice(),
                _ => &[],
            };
            let mut names = targets.iter().filter_map(|target| match target {
                Value::Text(name) => Some(&**name),
                _ => None,
            });
            if targets.is_empty() || names.clone().any(|name| name == "Linear") {
                plan.rules.usual = scheme;
                continue;
            }
            names.try_for_each(|name| plan.rules.add(name, scheme)).map_err(self.unreadable())?;
        }
        Ok(Some(plan))
    }

    /// One group's weights.
    fn compressed(&self, format: &str) -> Result<Option<Scheme>, Diagnostic> {
        let bits = self.bits(["num_bits", "bits"])?;
        if bits >= 16.0 {
            return Ok(None);
        }
        let is_float = self.text("type") == Some("float");
        let is_symmetric = !matches!(self.get("symmetric"), Some(Value::Bool(false)));
        let zero = if is_symmetric { 0.0 } else { bits / 8.0 };
        let group = self.group_size();
        let is_small_float = is_float && bits <= 4.0 || format.contains("mxfp");
        Ok(Some(match self.text("strategy").unwrap_or_default() {
            "block" => {
                let [rows, columns] = self.block("block_structure");
                Scheme::block_fp8(rows, columns)
            }
            "tensor" => Scheme::new(bits, Scales::Tensor(4)),
            "group" | "tensor_group" => {
                Scheme::grouped(bits, group.or(Some(128.0)), if is_small_float { 1.0 } else { 2.0 + zero })
            }
            _ if group.is_some() => Scheme::grouped(bits, group, if is_small_float { 1.0 } else { 2.0 + zero }),
            _ => Scheme::new(bits, Scales::Rows(2)),
        }))
    }

    fn modelopt(&self) -> Planned {
        let mut plan = Plan { converts_head: true, ..Plan::default() };
        self.leave_alone(&mut plan.rules)?;
        let group = self.group_size();
        let algorithm = self.text("quant_algo").unwrap_or_default().to_ascii_uppercase();
        if algorithm == "MIXED_PRECISION" {
            for (name, own) in self.entries("quantized_layers") {
                let own = self.of("quantized_layers", own).of(name, own);
                let scheme = own.algorithm(own.text("quant_algo").unwrap_or_default(), own.group_size().or(group))?;
                plan.rules.add(name, scheme).map_err(self.unreadable())?;
            }
            return Ok(Some(plan));
        }
        if algorithm.is_empty() && self.get("config_groups").is_some() {
            return self.compressed_tensors();
        }
        plan.rules.usual = self.algorithm(&algorithm, group)?;
        Ok(Some(plan))
    }

    /// A named algorithm of the producer.
    fn algorithm(&self, name: &str, group: Option<f64>) -> Result<Option<Scheme>, Diagnostic> {
        let name = name.to_ascii_uppercase();
        Ok(Some(match name.as_str() {
            "FP8" | "FP8_DEFAULT" => Scheme::new(8.0, Scales::Tensor(4)),
            "FP8_PB_WO" | "FP8_PB_REAL" | "FP8_BLOCK_SCALES" => Scheme::block_fp8(128, 128),
            "FP8_PER_CHANNEL_PER_TOKEN" | "FP8_PC_PT" => FP8_ROWS,
            "NVFP4" | "W4A16_NVFP4" | "NVFP4_AWQ" | "NVFP4_SVDQUANT" | "W4A8_NVFP4_FP8" => {
                Scheme::grouped(4.0, group.or(Some(16.0)), 1.0)
            }
            "MXFP4" | "W4A8_MXFP4_FP8" => MXFP4,
            "MXFP8" => MXFP8,
            "W4A16_AWQ" | "W4A8_AWQ" | "W4A16" | "INT4_AWQ" => Scheme::grouped(4.0, group.or(Some(128.0)), 2.0),
            "W8A16" | "W8A8_SQ_PER_CHANNEL" | "INT8_SQ" | "INT8" => INT8_ROWS,
            "" | "NONE" | "NO_QUANT" => return Ok(None),
            _ => return Err(self.problem(format!("quant_algo is {name}, which is not known here"))),
        }))
    }

    fn quark(&self) -> Planned {
        let mut plan = Plan { converts_head: true, ..Plan::default() };
        self.leave_alone(&mut plan.rules)?;
        for (name, own) in self.entries("layer_quant_config") {
            let scheme = self.of("layer_quant_config", own).of(name, own).quark_weight()?;
            plan.rules.add(name, scheme).map_err(self.unreadable())?;
        }
        if let Some(global) = self.get("global_quant_config") {
            plan.rules.usual = self.of("global_quant_config", global).quark_weight()?;
        }
        Ok(Some(plan))
    }

    fn quark_weight(&self) -> Result<Option<Scheme>, Diagnostic> {
        let weight = match self.get("weight") {
            // Two steps of quantizing: the first one is that of the values.
            Some(Value::List(steps)) => steps.first(),
            weight => weight,
        };
        let Some(weight) = weight else { return Ok(None) };
        let weight = self.of("weight", weight);
        let name = weight.text("dtype").unwrap_or_default().to_ascii_lowercase();
        let bits = match name.as_str() {
            "float16" | "bfloat16" | "float32" => return Ok(None),
            _ if name.contains("fp4") || name.contains("int4") || name.contains("mx4") => 4.0,
            _ if name.contains("fp6") || name.contains("mx6") => 6.0,
            _ if name.contains("fp8") || name.contains("int8") || name.contains("mx9") => 8.0,
            _ if name.contains("int3") => 3.0,
            _ if name.contains("int2") => 2.0,
            _ => return Err(self.problem(format!("dtype of the weights is {name}, which is not known here"))),
        };
        let is_exponent = weight.text("scale_format") == Some("e8m0") || name.contains("mx");
        Ok(Some(match weight.text("qscheme").unwrap_or_default() {
            "per_group" => {
                let bytes = if is_exponent { 1.0 } else { 2.0 };
                Scheme::grouped(bits, weight.group_size().or(Some(32.0)), bytes)
            }
            "per_channel" => Scheme::new(bits, Scales::Rows(4)),
            _ => Scheme::new(bits, Scales::Tensor(4)),
        }))
    }
}

//! What each quantizer's settings mean for the width of weights.

use super::rules::Rules;
use super::scheme::{Scales, Scheme};
use plimsoll_json::Value;
use plimsoll_scenario::diagnostic::Diagnostic;

/// What is done to the linear layers of a model.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub rules: Rules,
    /// Whether the output head is converted where no rule leaves it alone.
    pub converts_head: bool,
    /// Whether only routed experts are converted.
    pub only_experts: bool,
}

type Planned = Result<Option<Plan>, Diagnostic>;

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

/// Keys under which methods name modules that they leave alone.
const LEFT_ALONE: [&str; 8] = [
    "ignore",
    "modules_to_not_convert",
    "exclude",
    "exclude_modules",
    "ignored_layers",
    "llm_int8_skip_modules",
    "skip_modules",
    "linear_weights_not_to_quantize",
];

/// The plan for a word such as `fp8`.
pub(super) fn from_word(word: &str) -> Planned {
    let name = word.trim().to_ascii_lowercase();
    let Some((_, scheme)) = WORDS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = WORDS.iter().map(|(known, _)| *known).collect();
        return Err(Diagnostic::error("invalid-value", "quantization", format!("quantization is {word}"))
            .with_hint(format!("give one of {}", known.join(", "))));
    };
    let only_experts = name == "mxfp4";
    Ok(scheme.map(|scheme| Plan { rules: Rules::all(scheme), only_experts, ..Plan::default() }))
}

/// The plan of a `quantization_config`.
pub(super) fn from_config(settings: &Value<'_>, path: &str) -> Planned {
    let settings = Settings { settings, path };
    let method = settings.text("quant_method").unwrap_or_default().to_ascii_lowercase().replace('_', "-");
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
            Some(settings.gptq())
        }
        "awq" | "awq-marlin" | "moe-wna16" => Some(settings.awq()?),
        "auto-round" | "inc" | "intel/auto-round" | "autoround" => {
            settings.extra(&mut plan)?;
            Some(settings.awq()?)
        }
        "" if settings.number("bits").is_some() => Some(settings.gptq()),
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
        "higgs" => Some(Scheme::grouped(settings.number("bits").unwrap_or(4.0), settings.number("group_size"), 2.0)),
        "bitnet" => match settings.text("quantization_mode") {
            Some("online") => None,
            _ if settings.text("linear_class") == Some("autobitlinear") => None,
            _ => Some(Scheme::new(2.0, Scales::Tensor(2))),
        },
        _ => {
            let message = match method.as_str() {
                "" => "quantization_config names no quant_method".to_owned(),
                _ => format!("quant_method is {method}, which is not known here"),
            };
            let hint = format!(
                "known are {METHODS}; or say how wide the weights are (`--quantization fp8`, or the field quantization)"
            );
            return Err(Diagnostic::error("unknown-quantization", path, message).with_hint(hint));
        }
    };
    plan.converts_head = matches!(settings.get("lm_head"), Some(Value::Bool(true)));
    settings.leave_alone(&mut plan.rules)?;
    Ok(Some(plan))
}

/// The plan of the file that a producer writes beside the config.
pub(super) fn from_producer_file(settings: &Value<'_>, path: &str) -> Planned {
    let settings = Settings { settings, path };
    if settings.get("quant_algo").is_none() && settings.get("quant_method").is_some() {
        return from_config(settings.settings, path);
    }
    settings.modelopt()
}

/// Settings of a quantizer.
struct Settings<'s, 'v> {
    settings: &'s Value<'v>,
    path: &'s str,
}

impl<'s, 'v> Settings<'s, 'v> {
    fn get(&self, key: &str) -> Option<&'s Value<'v>> {
        self.settings.get(key).filter(|value| !matches!(value, Value::Null))
    }

    fn of(&self, settings: &'s Value<'v>) -> Self {
        Settings { settings, path: self.path }
    }

    fn text(&self, key: &str) -> Option<&'s str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Number(number) if number.is_finite() => Some(*number),
            Value::Text(text) => plimsoll_json::decimal::read(text.trim()),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Value::Bool(true)))
    }

    fn entries(&self, key: &str) -> impl Iterator<Item = (&'s str, &'s Value<'v>)> + use<'s, 'v> {
        let entries = match self.get(key) {
            Some(Value::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(name, value)| (&**name, value))
    }

    fn problem(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error("unknown-quantization", self.path, message)
            .with_hint("say how wide the weights are (`--quantization fp8`, or the field quantization)")
    }

    fn unreadable(&self) -> impl Fn(String) -> Diagnostic + '_ {
        |name| self.problem(format!("the name {name} of modules is not understood"))
    }

    /// Bits of a value, which must be said and believable.
    fn bits(&self, key: &str) -> Result<f64, Diagnostic> {
        let bits = self.number(key).filter(|bits| (1.0..=32.0).contains(bits));
        bits.ok_or_else(|| self.problem(format!("{key} of the weights is missing or no number from 1 to 32")))
    }

    /// Modules that stay as they are.
    fn leave_alone(&self, rules: &mut Rules) -> Result<(), Diagnostic> {
        for key in LEFT_ALONE {
            if let Some(Value::List(names)) = self.get(key) {
                for name in names {
                    if let Value::Text(name) = name {
                        rules.add(name, None).map_err(self.unreadable())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn fp8(&self) -> Scheme {
        match self.get("weight_block_size") {
            Some(Value::List(sizes)) => {
                let side = |index: usize| match sizes.get(index) {
                    Some(Value::Number(side)) if *side >= 1.0 && *side <= 1e6 => whole(*side),
                    _ => 128,
                };
                // Microscaling formats have a byte of exponent for each block of a row.
                let bytes = if self.text("scale_fmt") == Some("ue8m0") { 1 } else { 4 };
                Scheme::new(8.0, Scales::Blocks { rows: side(0), columns: side(1), bytes })
            }
            _ => Scheme::new(8.0, Scales::Tensor(4)),
        }
    }

    fn group_size(&self) -> Option<f64> {
        self.number("group_size").filter(|size| *size > 0.0)
    }

    /// Scales of two bytes and zero points of the weights' width for each group, and the order of the columns.
    fn gptq(&self) -> Scheme {
        let bits = self.number("bits").or_else(|| self.number("w_bit")).unwrap_or(4.0).clamp(1.0, 32.0);
        Scheme::grouped(bits, self.group_size(), 2.0 + bits / 8.0)
    }

    fn awq(&self) -> Result<Scheme, Diagnostic> {
        let bits = self.bits("bits").or_else(|problem| self.number("w_bit").ok_or(problem))?;
        let group = self.group_size().or_else(|| self.number("q_group_size"));
        Ok(Scheme::grouped(bits, group, 2.0 + bits / 8.0))
    }

    /// Overrides of GPTQ: `-:` leaves modules alone, `+:` or nothing gives them settings of their own.
    fn dynamic(&self, plan: &mut Plan) -> Result<(), Diagnostic> {
        for (name, own) in self.entries("dynamic") {
            let scheme = if name.starts_with("-:") {
                None
            } else {
                let own = self.of(own);
                let bits = own.number("bits").or_else(|| self.number("bits")).unwrap_or(4.0).clamp(1.0, 32.0);
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
            let own = self.of(own);
            let bits = own.number("bits").or_else(|| self.number("bits")).unwrap_or(4.0).clamp(1.0, 32.0);
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
                let arguments = self.get("quant_type_kwargs").map(|settings| self.of(settings));
                (name.to_string(), arguments.and_then(|own| own.group_size()))
            }
            Some(value @ Value::Map(entries)) => {
                let own = value.get("default").or_else(|| entries.first().map(|(_, value)| value)).unwrap_or(value);
                let data = own.get("_data").map(|settings| self.of(settings));
                (self.of(own).text("_type").unwrap_or_default().to_owned(), data.and_then(|own| own.group_size()))
            }
            _ => return Err(self.problem("quant_type is missing")),
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
        let inner = self.get("quant_config").map_or(self.settings, |inner| inner);
        let inner = self.of(inner);
        // One set of settings for all, or one for each kind of module, of which the first stands for all.
        let own = inner.get("weight_quant_params").or_else(|| {
            let entries = if let Value::Map(entries) = inner.settings { entries.as_slice() } else { &[] };
            entries.iter().find_map(|(_, value)| value.get("weight_quant_params"))
        });
        let own = own.map_or(inner, |own| self.of(own));
        let bits = own.bits("nbits").or_else(|_| own.bits("bits"))?;
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
        let group = self.number("in_group_size").unwrap_or(8.0) * self.number("out_group_size").unwrap_or(1.0);
        let code = self.number("nbits_per_codebook").unwrap_or(16.0);
        let tables = self.number("num_codebooks").unwrap_or(1.0);
        let bits = tables * code / group.max(1.0);
        if !(0.1..=32.0).contains(&bits) || !(1.0..=24.0).contains(&code) {
            return Err(self.problem(format!("the codes have {bits} bits per weight")));
        }
        let entries = tables * code.exp2() * group * 2.0;
        Ok(Scheme::new(bits, Scales::Table(whole(entries))))
    }

    /// Groups of modules with settings each; targets are classes, names or expressions.
    fn compressed_tensors(&self) -> Planned {
        let mut plan = Plan { converts_head: true, ..Plan::default() };
        self.leave_alone(&mut plan.rules)?;
        for (_, group) in self.entries("config_groups") {
            let group = self.of(group);
            let Some(weights) = group.get("weights") else { continue };
            let format = group.text("format").or_else(|| self.text("format")).unwrap_or_default();
            let scheme = self.of(weights).compressed(format)?;
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
        let bits = self.bits("num_bits")?;
        if bits >= 16.0 {
            return Ok(None);
        }
        let is_float = self.text("type") == Some("float");
        let is_symmetric = !matches!(self.get("symmetric"), Some(Value::Bool(false)));
        let zero = if is_symmetric { 0.0 } else { bits / 8.0 };
        let group = self.group_size();
        let is_small_float = is_float && bits <= 4.0 || format.contains("mxfp");
        Ok(Some(match self.text("strategy").unwrap_or_default() {
            "block" => match self.get("block_structure") {
                Some(Value::List(sides)) => {
                    let side = |index: usize| match sides.get(index) {
                        Some(Value::Number(side)) if *side >= 1.0 && *side <= 1e6 => whole(*side),
                        _ => 128,
                    };
                    Scheme::block_fp8(side(0), side(1))
                }
                _ => Scheme::block_fp8(128, 128),
            },
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
                let own = self.of(own);
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
            let scheme = self.of(own).quark_weight()?;
            plan.rules.add(name, scheme).map_err(self.unreadable())?;
        }
        if let Some(global) = self.get("global_quant_config") {
            plan.rules.usual = self.of(global).quark_weight()?;
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
        let weight = self.of(weight);
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

/// A number of 0 or more without its fraction.
fn whole(number: f64) -> u64 {
    u64::try_from(plimsoll_scenario::time::truncate(number)).unwrap_or(0)
}

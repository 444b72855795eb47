//! What the flags of a command decide.

use super::command::{Command, is_dashed, looks_like_model, shown};
use super::flags::{Flag, Kind, find, flags};
use super::value::value;
use super::version::Version;
use super::words::Word;
use super::{Change, ServeLine};
use plimsoll_core::catalog::edit_distance;
use plimsoll_core::diagnostic::Diagnostic;
use serde_json::Value;

/// A flag of the table with its value.
struct Setting {
    flag: &'static Flag,
    value: Value,
    word: Word,
}

/// Flags that are given a secret. All that follows them is taken for theirs.
const SECRETS: [&str; 2] = ["--api-key", "--hf-token"];

/// Types of cached keys and values that a scenario knows, by the server's names.
pub(super) const KV_CACHE_TYPES: [&str; 7] = ["auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc"];

/// Flags outside the table whose value may look like a model's name.
const VALUED: [&str; 14] = [
    "--served-model-name",
    "--tokenizer",
    "--hf-config-path",
    "--chat-template",
    "--download-dir",
    "--generation-config",
    "--speculative-model",
    "--lora-modules",
    "--revision",
    "--load-format",
    "--model-weights",
    "--config",
    "--root-path",
    "--qlora-adapter-name-or-path",
];

/// Flags outside the table that take no value and do not say so by `--enable-`, `--disable-` or `--no-`.
const SWITCHES: [&str; 8] = [
    "--trust-remote-code",
    "--headless",
    "--skip-tokenizer-init",
    "--return-tokens-as-token-ids",
    "--skip-mm-profiling",
    "--mm-encoder-only",
    "--language-model-only",
    "--data-parallel-hybrid-lb",
];

/// What the reader knows so far.
struct Reader<'a> {
    file: &'a str,
    /// Release it reads for; none = the newest.
    release: Option<Version>,
    words: &'a [Word],
    at: usize,
    model: Option<Word>,
    /// Words behind flags that may have no value.
    perhaps_models: Vec<Word>,
    settings: Vec<Setting>,
    not_known: Vec<String>,
    diagnostics: Vec<Diagnostic>,
    is_usable: bool,
}

/// Reads the flags of a command for a release: one that wins over the command's own, and one for a command without.
///
/// There is no line where a diagnostic is an error.
pub(super) fn read(
    command: Command,
    file: &str,
    [stated, otherwise]: [Option<Version>; 2],
) -> (Option<ServeLine>, Vec<Diagnostic>) {
    let Command { arguments, version, environment, remarks } = command;
    let mut reader = Reader {
        file,
        release: stated.or(version).or(otherwise),
        words: &arguments,
        at: 0,
        model: None,
        perhaps_models: Vec::new(),
        settings: Vec::new(),
        not_known: Vec::new(),
        diagnostics: remarks,
        is_usable: true,
    };
    while let Some(word) = reader.next() {
        reader.word(word);
    }
    if reader.model.is_none() && !reader.perhaps_models.is_empty() {
        reader.model = Some(reader.perhaps_models.swap_remove(0));
    }
    if !environment.is_empty() {
        let mut names = environment;
        names.sort_unstable();
        names.dedup();
        let message = format!("variables change nothing here: {}", names.join(", "));
        reader.diagnostics.push(Diagnostic::note("flags-not-known", file, message));
    }
    reader.finish(version)
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Word> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    /// The next word if it can be a value: no flag, but perhaps a negative number.
    fn next_value(&mut self) -> Option<&'a Word> {
        let word = self.words.get(self.at)?;
        let is_number = word.text.strip_prefix('-').is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
        if is_dashed(&word.text) && !is_number {
            return None;
        }
        self.at += 1;
        Some(word)
    }

    fn fail(&mut self, code: &str, word: &Word, message: String, hint: String) {
        self.is_usable = false;
        self.diagnostics.push(Diagnostic::error(code, word.place.in_file(self.file), message).with_hint(hint));
    }

    fn warn(&mut self, code: &str, word: &Word, message: String, hint: String) {
        self.diagnostics.push(Diagnostic::warning(code, word.place.in_file(self.file), message).with_hint(hint));
    }

    fn word(&mut self, word: &'a Word) {
        if !is_dashed(&word.text) {
            return self.positional(word);
        }
        if word.text.chars().all(|character| character == '-') {
            return;
        }
        let (given, inline) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.text.as_str(), None),
        };
        let name = canonical(given);
        if name == "--model" {
            return self.named_model(word, inline);
        }
        if SECRETS.contains(&name.as_str()) {
            return self.secret(name, inline);
        }
        // `-O3` has its value in itself.
        let (name, inline) = match name.strip_prefix("-O") {
            Some(level) if !level.is_empty() && !level.starts_with('.') => ("-O".to_owned(), inline.or(Some(level))),
            _ => (name.clone(), inline),
        };
        if let Some(flag) = find(&name) {
            return self.flag(flag, word, inline, false);
        }
        if let Some(flag) = name.split_once('.').and_then(|(base, _)| find(base))
            && (flag.kind == Kind::Json || flag.name == "--optimization-level")
        {
            return self.key_of_json(flag, word, inline);
        }
        if let Some(flag) = name.strip_prefix("--no-").and_then(|rest| find(&format!("--{rest}"))) {
            return self.flag(flag, word, inline, true);
        }
        self.stranger(&name, word, inline.is_some());
    }

    fn positional(&mut self, word: &'a Word) {
        if self.model.is_none() {
            self.take_model(word, &word.text);
            return;
        }
        // What it says is not repeated: it may be anything.
        let message = "a word here belongs to no flag".to_owned();
        self.warn("serve-line-ignored", word, message, "it is left out".to_owned());
    }

    fn named_model(&mut self, word: &'a Word, inline: Option<&str>) {
        let value = match inline {
            Some(text) => Some(text),
            None => self.next_value().map(|word| word.text.as_str()),
        };
        match value {
            Some(text) => self.take_model(word, text),
            None => {
                self.fail("missing-value", word, "--model has no value".to_owned(), "give a model's name".to_owned())
            }
        }
    }

    fn take_model(&mut self, word: &Word, text: &str) {
        let is_variable = text.contains(['$', '`', '<', '{']);
        if is_variable || text.trim().is_empty() || text.len() > 256 {
            let hint = "write the name of the model, like meta-llama/Llama-3.1-8B-Instruct";
            return self.fail("invalid-value", word, format!("the model is {}", shown(text)), hint.to_owned());
        }
        let named = Word { text: text.trim().to_owned(), ..word.clone() };
        if self.model.as_ref().is_some_and(|model| model.text != named.text) {
            let message = "the model is named twice".to_owned();
            self.warn("flag-repeated", word, message, format!("{} is taken", shown(&named.text)));
        }
        self.model = Some(named);
    }

    /// Takes a secret out of the way; nothing of it is kept.
    fn secret(&mut self, name: String, inline: Option<&str>) {
        if inline.is_none() {
            let mut is_first = true;
            while let Some(word) = self.words.get(self.at) {
                let is_optional = name == "--hf-token" || !is_first;
                let may_be_model = self.model.is_none() && looks_like_model(&word.text);
                if is_optional && (is_dashed(&word.text) || may_be_model) {
                    break;
                }
                self.at += 1;
                is_first = false;
            }
        }
        self.remember(name);
    }

    fn remember(&mut self, name: String) {
        if !self.not_known.contains(&name) {
            self.not_known.push(name);
        }
    }

    fn flag(&mut self, flag: &'static Flag, word: &'a Word, inline: Option<&str>, is_negated: bool) {
        let name = &flag.name;
        if is_negated && flag.kind != Kind::Bool {
            let message = format!("{name} cannot be turned off by --no-");
            return self.fail("invalid-value", word, message, "give it a value".to_owned());
        }
        let text = match (flag.kind, inline) {
            (_, Some(text)) => text.to_owned(),
            (Kind::Bool, None) => {
                // Older releases took a word here.
                let is_word = |word: &&Word| ["true", "false"].contains(&word.text.to_ascii_lowercase().as_str());
                match self.words.get(self.at).filter(is_word) {
                    Some(word) => {
                        self.at += 1;
                        word.text.clone()
                    }
                    None => "true".to_owned(),
                }
            }
            (Kind::Counts, None) => {
                let mut counts = Vec::new();
                while let Some(word) = self.next_value() {
                    counts.push(word.text.as_str());
                }
                counts.join(",")
            }
            (_, None) => match self.next_value() {
                Some(word) => word.text.clone(),
                None => {
                    let hint = allowed(flag);
                    return self.fail("missing-value", word, format!("{name} has no value"), hint);
                }
            },
        };
        if !self.is_of_release(flag, word) {
            return;
        }
        match value(flag, &text) {
            Ok(given) => {
                if !given.remark.is_empty() {
                    let message = format!("{name} is {}", shown(&text));
                    self.warn("invalid-value", word, message, given.remark.to_owned());
                }
                let value = match given.value {
                    Value::Bool(is_on) => Value::Bool(is_on != is_negated),
                    other => other,
                };
                self.set(Setting { flag, value, word: word.clone() });
            }
            Err(hint) => self.fail("invalid-value", word, format!("{name} is {}", shown(&text)), hint),
        }
    }

    /// A key of a JSON object, like `-cc.mode=3`; the object itself changes nothing.
    fn key_of_json(&mut self, flag: &'static Flag, word: &'a Word, inline: Option<&str>) {
        if inline.is_none() && self.next_value().is_none() {
            let message = format!("{} has a key without a value", flag.name);
            return self.fail("missing-value", word, message, "give it one, like .key 1".to_owned());
        }
        if self.is_of_release(flag, word) && !self.settings.iter().any(|setting| setting.flag.name == flag.name) {
            self.settings.push(Setting { flag, value: Value::Null, word: word.clone() });
        }
    }

    fn set(&mut self, setting: Setting) {
        match self.settings.iter_mut().find(|other| other.flag.name == setting.flag.name) {
            Some(other) => {
                // Keys of an object may come one by one, and beside it.
                let is_other = other.value != setting.value && setting.flag.kind != Kind::Json;
                let word = setting.word.clone();
                let name = &setting.flag.name;
                *other = setting;
                if is_other {
                    self.warn(
                        "flag-repeated",
                        &word,
                        format!("{name} is given twice"),
                        "the last one counts".to_owned(),
                    );
                }
            }
            None => self.settings.push(setting),
        }
    }

    /// Whether the release has the flag; tells it if not.
    fn is_of_release(&mut self, flag: &Flag, word: &Word) -> bool {
        let (name, release) = (&flag.name, self.release);
        if let Some(gone) = flag.gone_in.filter(|gone| release.is_none_or(|release| release >= *gone)) {
            let hint = match &flag.successor {
                Some(successor) => format!("it is called {successor} since; it changes nothing here"),
                None => "it has no successor and changes nothing here".to_owned(),
            };
            self.warn("flag-removed", word, format!("{name} went in {gone}"), hint);
            return false;
        }
        // The table begins with 0.8.5: what that release has may be older.
        let is_dated = Version::parse(OLDEST).is_none_or(|oldest| flag.first_seen > oldest);
        if let Some(release) = release.filter(|release| is_dated && *release < flag.first_seen) {
            let message = format!("{name} came with {}, and the server is {release}", flag.first_seen);
            self.warn("flag-too-new", word, message, "it is left out".to_owned());
            return false;
        }
        true
    }

    /// A flag that is not in the table: a slip of the pen, or one that concerns no speed.
    fn stranger(&mut self, name: &str, word: &'a Word, has_value: bool) {
        if let Some(meant) = meant(name) {
            let next = self.words.get(self.at).is_some_and(|word| !is_dashed(&word.text));
            self.at += usize::from(next && !has_value && meant.kind != Kind::Bool);
            let message = format!("there is no flag {}", shown(name));
            return self.fail("unknown-flag", word, message, format!("did you mean {}?", meant.name));
        }
        let is_switch = SWITCHES.contains(&name)
            || ["--enable-", "--disable-", "--no-"].iter().any(|start| name.starts_with(start));
        if !has_value && !is_switch {
            let mut is_first = true;
            // A flag may have several values; before the model is known only the first is safely its own.
            while is_first || self.model.is_some() {
                let Some(word) = self.next_value() else { break };
                if is_first && !VALUED.contains(&name) && looks_like_model(&word.text) {
                    self.perhaps_models.push(word.clone());
                }
                is_first = false;
            }
        }
        self.remember(shortened(name));
    }

    fn finish(mut self, version: Option<Version>) -> (Option<ServeLine>, Vec<Diagnostic>) {
        let mut line = ServeLine {
            changes: Vec::new(),
            not_modelled: Vec::new(),
            not_known: std::mem::take(&mut self.not_known),
            kv_cache_memory_bytes: None,
            quantization: None,
            is_for_throughput: false,
        };
        match self.model.take() {
            Some(model) => line.change("deployment.model", model.text.into(), ""),
            None => {
                let message = "the line names no model; the scenario's own stays";
                self.diagnostics.push(Diagnostic::note("serve-line-ignored", self.file, message));
            }
        }
        if let Some(version) = version {
            line.change("deployment.server_version", version.to_string().into(), "");
        }
        let settings = std::mem::take(&mut self.settings);
        for Setting { flag, value, word } in settings {
            self.decide(&mut line, flag, value, &word);
        }
        for (code, names, message) in [
            ("flags-not-modelled", &line.not_modelled, "not modelled, so predictions are without it"),
            ("flags-not-known", &line.not_known, "not known here, changes nothing"),
        ] {
            if !names.is_empty() {
                self.diagnostics.push(Diagnostic::note(code, self.file, format!("{message}: {}", names.join(", "))));
            }
        }
        (self.is_usable.then_some(line), self.diagnostics)
    }

    /// Puts one setting into the line.
    fn decide(&mut self, line: &mut ServeLine, flag: &'static Flag, value: Value, word: &Word) {
        let Some(path) = flag.sets.as_deref() else {
            line.not_modelled.push(flag.name.clone());
            return;
        };
        if let Some(number) = value.as_u64()
            && number > u64::from(u32::MAX)
            && flag.name != "--kv-cache-memory-bytes"
        {
            let hint = format!("give at most {}", u32::MAX);
            return self.fail("invalid-value", word, format!("{} is {number}", flag.name), hint);
        }
        match flag.name.as_str() {
            "--kv-cache-memory-bytes" => line.kv_cache_memory_bytes = value.as_u64(),
            "--kv-cache-dtype" if value.as_str().is_some_and(|name| !KV_CACHE_TYPES.contains(&name)) => {
                let message = format!(
                    "keys and values of the type {} are not modelled",
                    shown(value.as_str().unwrap_or_default())
                );
                let hint = format!("the cache is taken as auto; modelled are {}", KV_CACHE_TYPES.join(", "));
                self.warn("flags-not-modelled", word, message, hint);
            }
            "--quantization" => line.quantization = value.as_str().map(str::to_owned),
            "--performance-mode" => match value.as_str() {
                Some("throughput") => line.is_for_throughput = true,
                Some("interactivity") => line.not_modelled.push(flag.name.clone()),
                _ => {}
            },
            "--max-num-scheduled-tokens" => {
                // The step's budget is the smaller of the two.
                match line.changes.iter_mut().find(|change| change.path == path) {
                    Some(change) => {
                        let least = value.as_u64().into_iter().chain(change.value.as_u64()).min();
                        change.value = least.map_or(Value::Null, Value::from);
                    }
                    None => line.change(path, value, &flag.name),
                }
            }
            "--max-num-batched-tokens" => {
                let scheduled = line.changes.iter().find(|change| change.path == path);
                let least = scheduled.and_then(|change| change.value.as_u64()).into_iter().chain(value.as_u64()).min();
                line.change(path, least.map_or(Value::Null, Value::from), &flag.name);
            }
            "--data-parallel-size" => {
                if value.as_u64().is_some_and(|size| size > 1) {
                    let message = "the ranks of one server are taken for replicas behind a router";
                    let place = word.place.in_file(self.file);
                    self.diagnostics.push(Diagnostic::note("data-parallel-as-replicas", place, message));
                }
                line.change(path, value, &flag.name);
            }
            _ => line.change(path, value, &flag.name),
        }
    }
}

/// The oldest release of the table.
const OLDEST: &str = "0.8.5";

impl ServeLine {
    /// Sets a field; what it was is forgotten.
    fn change(&mut self, path: &'static str, value: Value, flag: &'static str) {
        self.changes.retain(|change| change.path != path);
        self.changes.push(Change { path, value, flag });
    }
}

/// What a flag takes, in words.
fn allowed(flag: &Flag) -> String {
    match value(flag, "") {
        Err(hint) => hint,
        Ok(_) => "give it one".to_owned(),
    }
}

/// The name of a flag as the table has it: hyphens for underscores, and for the dashes that a word processor made of
/// two hyphens. The keys of JSON behind a dot stay as they are.
fn canonical(given: &str) -> String {
    let given = match given.strip_prefix(['–', '—']) {
        Some(rest) => format!("--{}", rest.trim_start_matches(['-', '–', '—'])),
        None => given.to_owned(),
    };
    match given.split_once('.') {
        Some((name, key)) => format!("{}.{key}", name.replace('_', "-")),
        None => given.replace('_', "-"),
    }
}

/// The flag within two letters of a name.
fn meant(name: &str) -> Option<&'static Flag> {
    const FARTHEST: usize = 2;
    /// Shorter names are near to too many.
    const SHORTEST: usize = 6;
    let positive = name.strip_prefix("--no-").map(|rest| format!("--{rest}"));
    let names = [Some(name), positive.as_deref()].into_iter().flatten().filter(|name| name.len() >= SHORTEST);
    let distances = names.flat_map(|name| {
        let near = flags().iter().filter(|flag| flag.name.len().abs_diff(name.len()) <= FARTHEST);
        near.map(|flag| (edit_distance(name, &flag.name), flag))
    });
    let nearest = distances.min_by_key(|(distance, _)| *distance)?;
    (nearest.0 <= FARTHEST).then_some(nearest.1)
}

/// The name of a flag as it is told: only what such names are made of, and not too long.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 60;
    let is_inner = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
    name.chars().take_while(is_inner).take(LONGEST).collect()
}

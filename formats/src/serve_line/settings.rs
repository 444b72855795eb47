//! What the flags of a command decide.

use super::command::{Command, is_dashed, looks_like_model, shown};
use super::environment::{ALLOW_LONG, USE_V1, Variable};
use super::flags::{Flag, Kind, find};
use super::names::{Meant, SECRETS, SWITCHES, VALUED, abbreviated, canonical, joined, matters, meant, shortened};
use super::value::value;
use super::words::Word;
use super::{Change, OF_MEMORY, ServeLine, TYPES};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::ServerVersion;
use serde_json::Value;

/// A flag of the table with its value.
struct Setting {
    flag: &'static Flag,
    value: Value,
    word: Word,
}

/// Types of cached keys and values that a scenario knows, by the server's names.
pub(super) const KV_CACHE_TYPES: [&str; 8] =
    ["auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla"];

/// What the reader knows so far.
struct Reader<'a> {
    file: &'a str,
    /// Release it reads for.
    release: ServerVersion,
    words: &'a [Word],
    at: usize,
    model: Option<Word>,
    /// Words behind flags that may have no value.
    perhaps_models: Vec<Word>,
    settings: Vec<Setting>,
    not_known: Vec<String>,
    /// Flags outside the table that change what the server does.
    mattering: Vec<String>,
    /// What concerns memory alone.
    of_memory: Vec<(String, Value)>,
    diagnostics: Vec<Diagnostic>,
    is_usable: bool,
}

/// Reads the flags of a command for a release: one that wins over the command's own, and one for a command without.
///
/// There is no line where a diagnostic is an error.
pub(super) fn read(
    command: Command,
    file: &str,
    [stated, otherwise]: [Option<ServerVersion>; 2],
) -> (Option<ServeLine>, Vec<Diagnostic>) {
    let Command { arguments, version, is_newest, environment, remarks } = command;
    let mut reader = Reader {
        file,
        release: stated.or(version).or(otherwise).unwrap_or(ServerVersion::NEWEST),
        words: &arguments,
        at: 0,
        model: None,
        perhaps_models: Vec::new(),
        settings: Vec::new(),
        not_known: Vec::new(),
        mattering: Vec::new(),
        of_memory: Vec::new(),
        diagnostics: remarks,
        is_usable: true,
    };
    while let Some(word) = reader.next() {
        reader.word(word);
    }
    if reader.model.is_none() && !reader.perhaps_models.is_empty() {
        reader.model = Some(reader.perhaps_models.swap_remove(0));
    }
    let version = version.map(|version| if is_newest { Value::Null } else { version.to_string().into() });
    reader.finish(version, &environment)
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
        // A space was forgotten: what follows the name is the secret.
        if let Some(secret) = SECRETS.into_iter().find(|secret| name.starts_with(secret)) {
            return self.secret(secret.to_owned(), Some(""));
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
        if let (Some((flag, number)), None) = (joined(&name), inline) {
            return self.flag(flag, word, Some(number), false);
        }
        self.abbreviation(&name, word, inline);
    }

    /// A name that is none of the table: what it abbreviates, as the server takes it, or a stranger.
    fn abbreviation(&mut self, name: &str, word: &'a Word, inline: Option<&str>) {
        if meant(name).is_some() {
            return self.stranger(name, word, inline);
        }
        match abbreviated(name, self.release).as_slice() {
            [] => self.stranger(name, word, inline),
            [Meant::Flag(flag, is_negated)] => {
                let whole = Meant::Flag(flag, *is_negated).name();
                let message = format!("{name} is taken for {whole}, which alone begins so");
                let place = word.place.in_file(self.file);
                self.diagnostics.push(Diagnostic::note("flag-abbreviated", place, message));
                self.flag(flag, word, inline, *is_negated);
            }
            several => {
                let names: Vec<String> = several.iter().map(|meant| meant.name()).collect();
                let message = format!("{} is the beginning of more than one flag", shown(name));
                self.skip_value(inline.is_some());
                self.fail("unknown-flag", word, message, format!("write one of {}", names.join(", ")));
            }
        }
    }

    /// Takes the value of a flag that is refused out of the way.
    fn skip_value(&mut self, has_value: bool) {
        let next = self.words.get(self.at).is_some_and(|word| !is_dashed(&word.text));
        self.at += usize::from(next && !has_value);
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
            // An object that does not end to be one may hold anybody's token.
            Err(hint) if text.contains('{') => {
                self.fail("invalid-value", word, format!("{name} is no JSON object"), hint);
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
        if let Some(gone) = flag.gone_in.filter(|gone| release >= *gone) {
            let hint = match &flag.successor {
                Some(successor) => format!("it is called {successor} since; it changes nothing here"),
                None => "it has no successor and changes nothing here".to_owned(),
            };
            self.warn("flag-removed", word, format!("{name} went in {gone}"), hint);
            return false;
        }
        if !flag.is_in(release) {
            let message = format!("{name} came with {}, and the server is {release}", flag.first_seen);
            self.warn("flag-too-new", word, message, "it is left out".to_owned());
            return false;
        }
        true
    }

    /// A flag that is not in the table: a slip of the pen, or one that concerns no speed.
    fn stranger(&mut self, name: &str, word: &'a Word, inline: Option<&str>) {
        if let Some(meant) = meant(name) {
            if meant.kind != Kind::Bool {
                self.skip_value(inline.is_some());
            }
            let message = format!("there is no flag {}", shown(name));
            return self.fail("unknown-flag", word, message, format!("did you mean {}?", meant.name));
        }
        let is_switch = SWITCHES.contains(&name)
            || ["--enable-", "--disable-", "--no-"].iter().any(|start| name.starts_with(start));
        let mut value = inline.map(str::to_owned);
        if inline.is_none() && !is_switch {
            let mut is_first = true;
            // A flag may have several values; before the model is known only the first is safely its own.
            while is_first || self.model.is_some() {
                let Some(word) = self.next_value() else { break };
                if is_first && !VALUED.contains(&name) && !matters(name) && looks_like_model(&word.text) {
                    self.perhaps_models.push(word.clone());
                }
                value.get_or_insert_with(|| word.text.clone());
                is_first = false;
            }
        }
        if let Some(value) = value.as_deref().filter(|value| OF_MEMORY.contains(&name) && TYPES.contains(value)) {
            self.of_memory.push((name.to_owned(), value.into()));
        }
        match name {
            "--config" => {
                let message = "--config names a file, and what it says is not read".to_owned();
                let hint = "write its settings as flags; without them predictions are of another server".to_owned();
                self.warn("serve-line-ignored", word, message, hint);
            }
            // Of the types of 16 bits none changes anything for a model that has one of them.
            "--dtype" if value.is_none_or(|value| !value.starts_with("float32") && value != "float") => {
                self.remember(name.to_owned());
            }
            _ if matters(name) => {
                let name = shortened(name);
                if !self.mattering.contains(&name) {
                    self.mattering.push(name);
                }
            }
            _ => self.remember(shortened(name)),
        }
    }

    /// What the variables decide; those that may matter are told apart from those that do not.
    fn variables(&mut self, line: &mut ServeLine, environment: &[Variable]) {
        let (mut not_modelled, mut without_effect) = (Vec::new(), Vec::new());
        for variable in environment {
            match (variable.name.as_str(), variable.is_on) {
                (USE_V1, Some(false)) if self.release.has_v0() => line.change("engine.use_v1", false.into(), USE_V1),
                (USE_V1, Some(false)) => {
                    let message = format!("{USE_V1}=0 changes nothing: vLLM {} has its V1 engine alone", self.release);
                    let hint = "state the release that the server has, if it is an older one";
                    self.diagnostics.push(Diagnostic::warning("flag-removed", self.file, message).with_hint(hint));
                }
                (ALLOW_LONG, Some(true)) => line.change("engine.allow_long_max_model_len", true.into(), ALLOW_LONG),
                (USE_V1, Some(true)) | (ALLOW_LONG, Some(false)) => without_effect.push(variable.name.as_str()),
                (name, _) if variable.may_matter() => not_modelled.push(name),
                (name, _) => without_effect.push(name),
            }
        }
        for (code, mut names, message) in [
            ("flags-not-modelled", not_modelled, "variables are not modelled, so predictions are without them"),
            ("flags-not-known", without_effect, "variables change nothing here"),
        ] {
            names.sort_unstable();
            names.dedup();
            if !names.is_empty() {
                self.diagnostics.push(Diagnostic::note(code, self.file, format!("{message}: {}", names.join(", "))));
            }
        }
    }

    /// More partial prefills than one, which only the V0 engine has.
    fn partial_prefills(&mut self, line: &mut ServeLine, flag: &'static Flag, word: &Word, environment: &[Variable]) {
        let asks_for_v1 = environment.iter().any(|variable| variable.name == USE_V1 && variable.is_on == Some(true));
        if self.release.has_v0() && !asks_for_v1 {
            line.change("engine.use_v1", false.into(), &flag.name);
            let message = format!("{} is not of the V1 engine, so the server takes V0", flag.name);
            self.warn("engine-v0", word, message, "leave it out for V1; 1 is all that V1 takes".to_owned());
        } else {
            let message = format!("{} is more than 1, and vLLM {} does not start with that", flag.name, self.release);
            self.fail("server-refuses", word, message, "leave it out".to_owned());
        }
    }

    fn finish(mut self, version: Option<Value>, environment: &[Variable]) -> (Option<ServeLine>, Vec<Diagnostic>) {
        let mut line = ServeLine {
            changes: Vec::new(),
            not_modelled: Vec::new(),
            not_known: std::mem::take(&mut self.not_known),
            of_memory: std::mem::take(&mut self.of_memory),
            quantization: None,
        };
        match self.model.take() {
            Some(model) => line.change("deployment.model", model.text.into(), ""),
            None => {
                let message = "the line names no model; the scenario's own stays";
                self.diagnostics.push(Diagnostic::note("serve-line-ignored", self.file, message));
            }
        }
        if let Some(version) = version {
            line.change("deployment.server_version", version, "");
        }
        self.variables(&mut line, environment);
        let settings = std::mem::take(&mut self.settings);
        for Setting { flag, value, word } in settings {
            let is_partial =
                ["--max-num-partial-prefills", "--max-long-partial-prefills"].contains(&flag.name.as_str());
            if is_partial && value.as_u64().is_some_and(|count| count > 1) {
                self.partial_prefills(&mut line, flag, &word, environment);
            } else {
                self.decide(&mut line, flag, value, &word);
            }
        }
        line.not_modelled.append(&mut self.mattering);
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
            line.of_memory.push((flag.name.clone(), value));
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
            "--kv-cache-dtype" if value.as_str().is_some_and(|name| !KV_CACHE_TYPES.contains(&name)) => {
                let message = format!(
                    "keys and values of the type {} are not modelled",
                    shown(value.as_str().unwrap_or_default())
                );
                let hint = format!("the cache is taken as auto; modelled are {}", KV_CACHE_TYPES.join(", "));
                self.warn("flags-not-modelled", word, message, hint);
            }
            "--quantization" => line.quantization = value.as_str().map(str::to_owned),
            "--performance-mode" | "--all2all-backend" => {
                // Of the one mode, and of how experts are reached, only the default limits are modelled.
                if flag.name == "--all2all-backend" || value.as_str() == Some("interactivity") {
                    line.not_modelled.push(flag.name.clone());
                }
                line.change(path, value, &flag.name);
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

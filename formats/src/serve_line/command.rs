//! Finding the server's command in what was pasted: behind a shell's assignments, in `docker run`, in a manifest.

use super::environment::{Variable, assigned};
use super::words::{Word, words};
use crate::place::Place;
use crate::value::from_yaml;
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::scenario::ServerVersion;
use serde_json::Value;

/// The command that starts a server.
#[derive(Debug, Default)]
pub(super) struct Command {
    /// What stands behind `vllm serve`.
    pub arguments: Vec<Word>,
    /// The release that an image or a package names.
    pub version: Option<ServerVersion>,
    /// Whether that is whatever is the newest, and not named.
    pub is_newest: bool,
    /// Variables that are set for it.
    pub environment: Vec<Variable>,
    pub remarks: Vec<Diagnostic>,
}

/// No command has as many words.
const MAX_WORDS: usize = 1000;

/// Finds the command in a text that [`super::words::check_text`] let pass.
pub(super) fn command(text: &str, file: &str) -> Result<Command, Vec<Diagnostic>> {
    let command = match manifest(text) {
        Some(manifest) => of_manifest(manifest, text, file)?,
        None => of_shell(words(text, file)?, file)?,
    };
    if command.arguments.len() > MAX_WORDS { Err(too_long(command.arguments.len(), file)) } else { Ok(command) }
}

fn too_long(num_words: usize, file: &str) -> Vec<Diagnostic> {
    let message = format!("the command has {num_words} words");
    let hint = format!("at most {MAX_WORDS} are read; paste one command alone");
    vec![Diagnostic::error("not-a-serve-line", file, message).with_hint(hint)]
}

fn no_command(file: &str, message: &str) -> Vec<Diagnostic> {
    let hint = "paste a line like `vllm serve MODEL --max-model-len 8192`, `python -m \
                vllm.entrypoints.openai.api_server …`, a docker command, or the args of a container";
    vec![Diagnostic::error("not-a-serve-line", file, message).with_hint(hint)]
}

fn of_shell(words: Vec<Word>, file: &str) -> Result<Command, Vec<Diagnostic>> {
    let Some(first) = words.first() else { return Err(no_command(file, "nothing was pasted")) };
    // The sign of a prompt was copied too.
    let skipped = usize::from(matches!(first.text.as_str(), "$" | "%" | ">" | "#"));
    let words = with_scripts(words.get(skipped..).unwrap_or_default(), file)?;
    let words = words.as_slice();
    let mut command = Command::default();
    let start = match find_start(words, file, &mut command) {
        Some(start) => start,
        None if is_bare(words) => 0,
        None => return Err(no_command(file, "there is no vllm serve in the text")),
    };
    let behind = words.get(start..).unwrap_or_default();
    let end = end_of_command(behind);
    command.arguments = behind.iter().take(end).cloned().collect();
    if let Some(last) = command.arguments.last_mut().filter(|word| word.text.len() > 1 && word.text.ends_with(';')) {
        last.text.pop();
    }
    let rest = behind.get(end..).unwrap_or_default();
    if let Some(again) = find_start(rest, file, &mut Command::default()) {
        let place = rest.get(again.saturating_sub(1)).map_or(Place::START, |word| word.place).in_file(file);
        let message = "a second server is started here; only the first one is read";
        let hint = "paste each of them for itself";
        command.remarks.push(Diagnostic::warning("serve-line-ignored", place, message).with_hint(hint));
    }
    Ok(command)
}

/// The words, with those of a script in place of the one word behind `-c` that it is.
fn with_scripts(words: &[Word], file: &str) -> Result<Vec<Word>, Vec<Diagnostic>> {
    let mut found = Vec::with_capacity(words.len());
    let mut is_script = false;
    for word in words {
        if is_script && word.text.contains(char::is_whitespace) {
            let inner = super::words::words(&word.text, file)?;
            found.extend(inner.into_iter().map(|inner| Word { place: word.place, ..inner }));
        } else {
            found.push(word.clone());
        }
        is_script = matches!(word.text.as_str(), "-c" | "-lc");
    }
    Ok(found)
}

/// The position behind what starts the server; notes on the way which release it is and which variables are set.
fn find_start(words: &[Word], file: &str, command: &mut Command) -> Option<usize> {
    let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
    let mut at = 0;
    while at < words.len() {
        let word = text(at);
        if let Some(variable) = assigned(word) {
            command.environment.push(variable);
        } else if let Some(version) = word.strip_prefix("vllm==").or_else(|| word.strip_prefix("vllm@")) {
            command.version = ServerVersion::parse(version).or(command.version);
        } else if matches!(base_name(word), "docker" | "podman" | "nerdctl") && text(at + 1) == "run" {
            return of_container(words, at + 2, file, command);
        }
        if let Some(length) = server_at(words, at) {
            return Some(at + length);
        }
        at += 1;
    }
    None
}

/// How many words from this one on start a server; none if they do not.
fn server_at(words: &[Word], at: usize) -> Option<usize> {
    let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
    match text(at) {
        word if base_name(word) == "vllm" && text(at + 1) == "serve" => Some(2),
        "-m" if text(at + 1).starts_with("vllm.entrypoints.") && text(at + 1).ends_with("api_server") => Some(2),
        "-m" if text(at + 1) == "vllm.entrypoints.cli.main" && text(at + 2) == "serve" => Some(3),
        word if base_name(word) == "api_server.py" => Some(1),
        _ => None,
    }
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Whether the words are flags of a server alone, or a model and its flags.
fn is_bare(words: &[Word]) -> bool {
    let is_flag = |word: &Word| is_dashed(&word.text);
    match words {
        [first, ..] if is_flag(first) => true,
        [first, second, ..] => looks_like_model(&first.text) && is_flag(second),
        [only] => looks_like_model(&only.text),
        [] => false,
    }
}

/// Whether a word begins like a flag; dashes that a word processor made of two hyphens count.
pub(super) fn is_dashed(word: &str) -> bool {
    word.starts_with(['-', '–', '—'])
}

/// Whether a word is like `organization/model`.
pub(super) fn looks_like_model(word: &str) -> bool {
    let is_part = |part: &str| {
        let is_inner = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        part.starts_with(|character: char| character.is_ascii_alphanumeric()) && part.chars().all(is_inner)
    };
    word.len() < 128 && word.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// How many of the words belong to the command that they begin in.
fn end_of_command(words: &[Word]) -> usize {
    let is_operator = |text: &str| {
        matches!(text, "&" | "&&" | "||" | "|" | ";" | ")" | "\\")
            || text.starts_with(['>', '<', '|', ';'])
            || text.starts_with("1>")
            || text.starts_with("2>")
            || text.starts_with("&>")
    };
    let mut line = words.first().map_or(0, |word| word.line);
    for (at, word) in words.iter().enumerate() {
        // On a line of its own, without a `\` before it, a flag was meant to belong here, and anything else was not.
        if is_operator(&word.text) || (at > 0 && word.line > line && !is_dashed(&word.text)) {
            return at;
        }
        if word.text.len() > 1 && word.text.ends_with(';') {
            return at + 1;
        }
        line = word.line;
    }
    words.len()
}

/// Options of `docker run` that take no value.
const SWITCHES: [&str; 12] = [
    "--rm",
    "--detach",
    "--interactive",
    "--tty",
    "--init",
    "--privileged",
    "--read-only",
    "--publish-all",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--quiet",
    "--sig-proxy",
];

/// The position behind the image of `docker run`, and behind what it is told to start.
fn of_container(words: &[Word], from: usize, file: &str, command: &mut Command) -> Option<usize> {
    let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
    let mut at = from;
    while is_dashed(text(at)) {
        let option = text(at);
        let is_cluster = option.strip_prefix('-').is_some_and(|letters| {
            !letters.is_empty() && letters.chars().all(|letter| matches!(letter, 'd' | 'i' | 't' | 'P' | 'q'))
        });
        let has_value = !(SWITCHES.contains(&option) || is_cluster || option.contains('='));
        let variable = if has_value && matches!(option, "-e" | "--env") { text(at + 1) } else { option };
        command.environment.extend(assigned(variable));
        at += 1 + usize::from(has_value);
    }
    let image = words.get(at)?;
    read_image(&image.text, image.place, file, command);
    Some(behind_image(words, at + 1))
}

/// The position of the server's own arguments in what an image is told to run.
fn behind_image(words: &[Word], from: usize) -> usize {
    let end = words.len().min(from + 6);
    let started = (from..end).find_map(|at| server_at(words, at).map(|length| at + length));
    let is_serve = words.get(from).is_some_and(|word| word.text == "serve");
    started.unwrap_or(from + usize::from(is_serve))
}

/// Notes the release in the name of an image.
fn read_image(image: &str, place: Place, file: &str, command: &mut Command) {
    let (path, tag) = match image.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (image, ""),
    };
    let is_official = path.starts_with("vllm/") || base_name(path).starts_with("vllm-openai");
    let version = if is_official || tag.contains("vllm") { ServerVersion::parse(tag) } else { None };
    if version.is_some() {
        command.version = version;
        command.is_newest = ServerVersion::is_newest(tag);
    } else if !matches!(tag, "" | "latest") {
        let message = format!("the image's tag {} says no release of the server", shown(tag));
        let hint = "set server_version to the one it has";
        command.remarks.push(Diagnostic::note("serve-line-ignored", place.in_file(file), message).with_hint(hint));
    }
}

/// A text in quotes, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// The text as YAML if it is a list or a part of a manifest, and no command of a shell.
fn manifest(text: &str) -> Option<&str> {
    let is_key = |line: &str| {
        line.split_once(':').is_some_and(|(key, rest)| {
            let is_inner = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
            !key.is_empty() && key.chars().all(is_inner) && (rest.is_empty() || rest.starts_with([' ', '\t']))
        })
    };
    // The two lines of a Dockerfile that say what a container starts.
    for instruction in ["CMD", "ENTRYPOINT"] {
        if let Some(list) =
            text.trim_start().strip_prefix(instruction).filter(|list| list.trim_start().starts_with('['))
        {
            return Some(list);
        }
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    (first.starts_with(['[', '{']) || first.starts_with("- ") || is_key(first)).then_some(text)
}

fn of_manifest(manifest: &str, text: &str, file: &str) -> Result<Command, Vec<Diagnostic>> {
    if is_too_deep(manifest) {
        return Err(no_command(file, "the text is nested deeper than any manifest"));
    }
    let tree = from_yaml(manifest, file)?;
    let container = container(&tree, 0).ok_or_else(|| no_command(file, "the text has no args and no command"))?;
    if container.items.len() > MAX_WORDS {
        return Err(too_long(container.items.len(), file));
    }
    let mut cursor = Finder { text, offset: 0 };
    let mut found = Vec::new();
    for item in container.items {
        let place = cursor.place_of(&item);
        // What a shell is to run is one item.
        if container.is_text || (item.contains(char::is_whitespace) && item.contains("vllm")) {
            found.extend(words(&item, file)?.into_iter().map(|word| Word { place, ..word }));
        } else {
            found.push(Word { text: item, place, line: 0 });
        }
    }
    let mut command = Command { environment: container.environment, ..Command::default() };
    if let Some(image) = &container.image {
        read_image(image, Place::START, file, &mut command);
    }
    let start = find_start(&found, file, &mut command).unwrap_or_else(|| behind_image(&found, 0));
    let behind = found.get(start..).unwrap_or_default();
    command.arguments = behind.iter().take(end_of_command(behind)).cloned().collect();
    if command.arguments.is_empty() {
        return Err(no_command(file, "the args of the container are empty"));
    }
    Ok(command)
}

/// Manifests are no deeper; the time to read others grows with the square of their depth.
const DEEPEST: usize = 32;

fn is_too_deep(text: &str) -> bool {
    let mut depth = 0usize;
    let mut deepest = 0;
    for character in text.chars() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let lists = text.lines().map(|line| line.split_whitespace().take_while(|word| matches!(*word, "-" | "?")).count());
    deepest.max(lists.max().unwrap_or(0)) > DEEPEST
}

/// What a manifest says of the container that runs a server.
#[derive(Default)]
struct Container {
    image: Option<String>,
    /// Its command and its args.
    items: Vec<String>,
    /// Whether these were one text for a shell to split.
    is_text: bool,
    environment: Vec<Variable>,
}

/// The first container with a command, or a list of words.
fn container(tree: &Value, depth: usize) -> Option<Container> {
    if depth > DEEPEST {
        return None;
    }
    match tree {
        Value::Array(items) if items.iter().all(|item| scalar(item).is_some()) && !items.is_empty() => {
            Some(Container { items: items.iter().filter_map(scalar).collect(), ..Container::default() })
        }
        Value::Array(items) => items.iter().find_map(|item| container(item, depth + 1)),
        Value::Object(fields) => {
            let mut found = Container::default();
            for key in ["entrypoint", "command", "args"] {
                match fields.get(key) {
                    Some(Value::Array(items)) => found.items.extend(items.iter().filter_map(scalar)),
                    Some(Value::String(text)) => {
                        found.items.push(text.clone());
                        found.is_text = true;
                    }
                    _ => {}
                }
            }
            if found.items.is_empty() {
                return fields.values().filter(|value| value.is_object() || value.is_array()).find_map(|value| {
                    // The words of a list of something else are none of a server's.
                    container(value, depth + 1)
                        .filter(|found| found.items.iter().any(|item| is_dashed(item) || item.contains("vllm")))
                });
            }
            found.image = fields.get("image").and_then(Value::as_str).map(str::to_owned);
            found.environment = match fields.get("env").or_else(|| fields.get("environment")) {
                Some(Value::Array(items)) => items
                    .iter()
                    .filter_map(|item| match item.get("name").and_then(Value::as_str) {
                        Some(name) => {
                            Some(Variable::new(name, &item.get("value").and_then(scalar).unwrap_or_default()))
                        }
                        None => assigned(item.as_str()?),
                    })
                    .collect(),
                Some(Value::Object(fields)) => {
                    fields.iter().map(|(name, value)| Variable::new(name, &scalar(value).unwrap_or_default())).collect()
                }
                _ => Vec::new(),
            };
            Some(found)
        }
        _ => None,
    }
}

/// A scalar as the word that a container is given.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Finds the items of a list in the text they were read from, one behind the other.
struct Finder<'a> {
    text: &'a str,
    offset: usize,
}

impl Finder<'_> {
    fn place_of(&mut self, item: &str) -> Place {
        let wanted = item.lines().next().unwrap_or_default();
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let found = rest.find(wanted).map_or(self.offset, |at| self.offset + at);
        self.offset = found + if found > self.offset || rest.starts_with(wanted) { wanted.len() } else { 0 };
        Place::of_offset(self.text, found)
    }
}

//! Names of flags: as people write them, and what is known of those that are not in the table.

use super::flags::{Flag, Kind, flags};
use plimsoll_core::catalog::edit_distance;
use plimsoll_core::scenario::ServerVersion;

/// Flags that are given a secret. All that follows them is taken for theirs.
pub(super) const SECRETS: [&str; 2] = ["--api-key", "--hf-token"];

/// Flags outside the table whose value may look like a model's name.
pub(super) const VALUED: [&str; 14] = [
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
pub(super) const SWITCHES: [&str; 8] = [
    "--trust-remote-code",
    "--headless",
    "--skip-tokenizer-init",
    "--return-tokens-as-token-ids",
    "--skip-mm-profiling",
    "--mm-encoder-only",
    "--language-model-only",
    "--data-parallel-hybrid-lb",
];

/// Flags outside the table that change what the server does, in a way that is not simulated.
const MATTERING: [&str; 35] = [
    "--additional-config",
    "--attention-config",
    "--cpu-offload-params",
    "--data-parallel-start-rank",
    "--device",
    "--disable-sliding-window",
    "--dtype",
    "--enable-eplb",
    "--enable-lora",
    "--fully-sharded-loras",
    "--hf-overrides",
    "--kernel-config",
    "--kv-offloading-backend",
    "--kv-sharing-fast-prefill",
    "--kv-transfer-config",
    "--language-model-only",
    "--limit-mm-per-prompt",
    "--lora-modules",
    "--mamba-block-size",
    "--mamba-cache-dtype",
    "--mamba-cache-mode",
    "--max-cpu-loras",
    "--max-lora-rank",
    "--max-loras",
    "--max-parallel-loading-workers",
    "--mm-encoder-only",
    "--model-impl",
    "--ngram-prompt-lookup-max",
    "--ngram-prompt-lookup-min",
    "--num-redundant-experts",
    "--num-speculative-tokens",
    "--prefill-context-parallel-size",
    "--rope-scaling",
    "--rope-theta",
    "--scheduler-cls",
];

/// Whether a flag outside the table changes what the server does, in a way that is not simulated.
pub(super) fn matters(name: &str) -> bool {
    MATTERING.contains(&name) || name.starts_with("--speculative-") || name.starts_with("--eplb-config")
}

/// Flags of the server outside the table that begin as some in it do, so that an abbreviation may mean them.
const SIBLINGS: [&str; 22] = [
    "--block-hash-algo",
    "--compilation-mode",
    "--data-parallel-address",
    "--data-parallel-backend",
    "--data-parallel-external-lb",
    "--data-parallel-hybrid-lb",
    "--data-parallel-rank",
    "--data-parallel-rpc-port",
    "--data-parallel-size-local",
    "--data-parallel-start-rank",
    "--enable-auto-tool-choice",
    "--enable-eplb",
    "--enable-force-include-usage",
    "--enable-log-requests",
    "--enable-lora",
    "--enable-prompt-adapter",
    "--enable-prompt-embeds",
    "--enable-prompt-tokens-details",
    "--enable-reasoning",
    "--enable-request-id-headers",
    "--enable-sleep-mode",
    "--kv-cache-metrics",
];

/// A flag that a name may abbreviate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meant {
    /// One of the table, and whether it is turned off.
    Flag(&'static Flag, bool),
    /// One outside.
    Stranger(&'static str),
}

impl Meant {
    /// Its whole name.
    pub fn name(self) -> String {
        match self {
            Meant::Flag(flag, false) => flag.name.clone(),
            Meant::Flag(flag, true) => negated(flag),
            Meant::Stranger(name) => name.to_owned(),
        }
    }
}

fn negated(flag: &Flag) -> String {
    format!("--no-{}", flag.name.trim_start_matches('-'))
}

/// The flags of a release that begin with a name; the server's own parser takes a name for the only one of these.
pub(super) fn abbreviated(name: &str, release: ServerVersion) -> Vec<Meant> {
    /// Fewer letters are meant for something else.
    const SHORTEST: usize = 6;
    let known = || VALUED.into_iter().chain(SWITCHES).chain(MATTERING).chain(SIBLINGS).chain(SECRETS);
    if name.len() < SHORTEST || known().any(|other| other == name) {
        return Vec::new();
    }
    let of_table = flags().iter().filter(|flag| flag.is_in(release)).flat_map(|flag| {
        let is_off = flag.kind == Kind::Bool && negated(flag).starts_with(name);
        let is_on = flag.name.starts_with(name);
        is_on.then_some(Meant::Flag(flag, false)).into_iter().chain(is_off.then_some(Meant::Flag(flag, true)))
    });
    let mut found: Vec<Meant> = of_table.collect();
    if !found.is_empty() {
        let mut others: Vec<&'static str> = known().filter(|other| other.starts_with(name)).collect();
        others.sort_unstable();
        others.dedup();
        found.extend(others.into_iter().map(Meant::Stranger));
    }
    found
}

/// A short flag with a whole number behind it, as `-tp2`.
pub(super) fn joined(name: &str) -> Option<(&'static Flag, &str)> {
    flags().iter().filter(|flag| flag.kind == Kind::Count).find_map(|flag| {
        let number = name.strip_prefix(flag.short.as_deref()?)?;
        (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some((flag, number))
    })
}

/// The name of a flag as the table has it: hyphens for underscores, and for the dashes that a word processor made of
/// two hyphens. The keys of JSON behind a dot stay as they are.
pub(super) fn canonical(given: &str) -> String {
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
pub(super) fn meant(name: &str) -> Option<&'static Flag> {
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
pub(super) fn shortened(name: &str) -> String {
    const LONGEST: usize = 60;
    let is_inner = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
    name.chars().take_while(is_inner).take(LONGEST).collect()
}

//! What vLLM's own planner makes of models, lengths and memories, against ours.

use super::configs::{config_of, own_tables};
use super::report::{Bars, Options, Row};
use super::table::{Cells, judged, number, read, text};
use plimsoll_anatomy::{BesideConfig, footprint_from_hf_config};
use plimsoll_core::kv_plan::{CacheKind, GroupLayers, KvDtype, KvGroup, KvLayout, KvRefusal, KvSettings, PlanRules};
use serde_json::json;
use std::path::Path;

/// Computes every row of a table.
///
/// # Errors
/// A table that cannot be read.
pub fn rows(options: &Options) -> Result<(Vec<Row>, Bars), String> {
    let path = options.path.clone().unwrap_or_else(|| own_tables().join("vllm_kv_cache.csv"));
    let table = read(&path)?;
    let limit = options.worst.unwrap_or(0.0);
    let rows = judged(&table, limit, |cells| row(cells, &path, limit));
    let limit = options.limit("0 % (every figure equal)");
    Ok((rows, Bars { median: options.median.unwrap_or(0.0), exact: options.exact, limit }))
}

/// The figures of a row, as the table writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figures {
    groups: String,
    page_bytes: String,
    block_bytes: String,
    num_blocks: String,
    blocks_per_request: String,
    tokens: String,
    max_concurrency: String,
    longest: String,
}

impl Figures {
    fn of_table(cells: &Cells) -> Self {
        let cell = |column| text(cells, column).to_owned();
        Self {
            groups: cell("groups"),
            page_bytes: cell("page_size_bytes"),
            block_bytes: cell("bytes_per_block"),
            num_blocks: cell("num_blocks"),
            blocks_per_request: cell("blocks_per_request"),
            tokens: cell("tokens_printed"),
            max_concurrency: cell("max_concurrency_printed"),
            longest: cell("estimated_max_model_len"),
        }
    }

    fn named(&self) -> [(&'static str, &str); 8] {
        [
            ("groups", &self.groups),
            ("page_size_bytes", &self.page_bytes),
            ("bytes_per_block", &self.block_bytes),
            ("num_blocks", &self.num_blocks),
            ("blocks_per_request", &self.blocks_per_request),
            ("tokens_printed", &self.tokens),
            ("max_concurrency_printed", &self.max_concurrency),
            ("estimated_max_model_len", &self.longest),
        ]
    }
}

fn row(cells: &Cells, table: &Path, limit: f64) -> Row {
    let cell = |column| text(cells, column);
    let name = format!(
        "{} tp {} {} length {} caching {} memory {}",
        cell("model"),
        cell("tp"),
        cell("kv_cache_dtype"),
        cell("max_model_len"),
        cell("prefix_caching"),
        cell("available_bytes_per_rank"),
    );
    let expected = Figures::of_table(cells);
    match computed(cells, table) {
        Ok(found) => {
            let wrong: Vec<String> = expected
                .named()
                .into_iter()
                .zip(found.named())
                .filter(|(expected, found)| expected != found)
                .map(|((column, expected), (_, found))| format!("{column} {found} instead of {expected}"))
                .collect();
            let json = found.named().into_iter().map(|(column, value)| (column.to_owned(), json!(value))).collect();
            Row { name, error: Some(error(&expected, &found)), limit, note: wrong.join("; "), json }
        }
        Err(reason) => Row { name, error: None, limit, note: reason, json: json!(null) },
    }
}

/// The error of the printed size, percent; all of it where other figures differ.
fn error(expected: &Figures, found: &Figures) -> f64 {
    if expected == found {
        return 0.0;
    }
    match (expected.tokens.parse::<f64>(), found.tokens.parse::<f64>()) {
        (Ok(expected), Ok(found)) if expected > 0.0 && found != expected => (found / expected - 1.0) * 100.0,
        _ => 100.0,
    }
}

fn computed(cells: &Cells, table: &Path) -> Result<Figures, String> {
    let config = config_of(text(cells, "model"), text(cells, "config_folder"), table)?;
    let said = |problems: Vec<plimsoll_core::diagnostic::Diagnostic>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let model = footprint_from_hf_config(&config, BesideConfig::default()).map_err(said)?.value;
    let dtype = text(cells, "kv_cache_dtype");
    let settings = KvSettings {
        model_value_bytes: model.value_bytes,
        state_value_bytes: model.state_bytes,
        kv_cache_dtype: KvDtype::named(dtype).ok_or_else(|| format!("kv_cache_dtype is {dtype}"))?,
        enable_prefix_caching: text(cells, "prefix_caching") == "on",
        max_in_flight_tokens: number(cells, "max_in_flight_tokens")?,
        rules: if text(cells, "vllm").starts_with("0.33") { PlanRules::V0_33 } else { PlanRules::V0_32 },
        ..KvSettings::new(number(cells, "tp")?, number(cells, "max_model_len")?)
    };
    let layout = KvLayout::new(&model.all_caches(), settings).map_err(said)?;
    let num_blocks = layout.num_blocks(number(cells, "available_bytes_per_rank")?);
    let mut figures = Figures {
        groups: groups_text(&layout.groups),
        page_bytes: pages_text(&layout.groups),
        block_bytes: layout.block_bytes.to_string(),
        num_blocks: String::new(),
        blocks_per_request: layout.blocks_per_request(settings.max_model_len).to_string(),
        tokens: "refused".into(),
        max_concurrency: String::new(),
        longest: String::new(),
    };
    match layout.plan(num_blocks) {
        Ok(plan) => {
            figures.num_blocks = plan.num_blocks.to_string();
            figures.tokens = plan.tokens.to_string();
            figures.max_concurrency = format!("{:.2}", plan.max_concurrency);
        }
        Err(KvRefusal::TooLong { longest, .. }) if longest > 0 => figures.longest = longest.to_string(),
        Err(_) => {}
    }
    Ok(figures)
}

/// The groups as the table writes them: equal neighbors together, layers of a group by name.
fn groups_text(groups: &[KvGroup]) -> String {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for group in groups {
        let mut parts: Vec<String> = group.layers.iter().map(layers_text).collect();
        parts.sort();
        let text = parts.join(" + ");
        match runs.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            _ => runs.push((text, 1)),
        }
    }
    runs.iter().map(|(text, count)| format!("{count}*[{text}]")).collect::<Vec<_>>().join("; ")
}

fn layers_text(layers: &GroupLayers) -> String {
    format!("{} {}x block {}", kind_text(layers.kind), layers.num_layers, layers.block_size)
}

fn kind_text(kind: CacheKind) -> String {
    match kind {
        CacheKind::Full => "full".into(),
        CacheKind::Sliding(window) => format!("sliding{window}"),
        CacheKind::Chunked(chunk) => format!("chunked{chunk}"),
        CacheKind::Latent => "mla".into(),
        CacheKind::Indexer => "indexer".into(),
        CacheKind::State { .. } => "mamba".into(),
        CacheKind::Cross(_) => "cross".into(),
    }
}

/// The sizes of pages that occur, smallest first.
fn pages_text(groups: &[KvGroup]) -> String {
    let mut pages: Vec<u64> =
        groups.iter().flat_map(|group| group.layers.iter().map(|layers| layers.page_bytes)).collect();
    pages.sort_unstable();
    pages.dedup();
    pages.iter().map(u64::to_string).collect::<Vec<_>>().join("+")
}

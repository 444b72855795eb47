//! Where the accelerators' memory goes, in words and shares.

use super::format;
use plimsoll_core::scenario::{BlocksSource, MemoryLedger};

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name.
    pub label: &'static str,
    /// Amount with unit.
    pub value: String,
    /// Share of all memory, 0–1; none for lines that are no part of it.
    pub ratio: Option<f64>,
}

/// The ledger for people.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerView {
    /// Parts of the memory, which make the whole.
    pub parts: Vec<Entry>,
    /// What follows from them for the KV cache.
    pub facts: Vec<Entry>,
    /// Which source of the number of blocks is in force, and what the others say.
    pub source: String,
}

/// The ledger of a deployment, given tokens per block.
#[must_use]
pub fn ledger(ledger: &MemoryLedger, block_size: u32) -> LedgerView {
    let total = ledger.total_bytes.max(1.0);
    let taken = ledger.weight_bytes + ledger.activation_bytes + ledger.overhead_bytes;
    let kv = (ledger.usable_bytes - taken).max(0.0);
    let part =
        |label, bytes: f64| Entry { label, value: format::bytes(bytes), ratio: Some((bytes / total).clamp(0.0, 1.0)) };
    let line = |label, value| Entry { label, value, ratio: None };
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let tokens = ledger.blocks as f64 * f64::from(block_size);
    let parts = vec![
        part("weights", ledger.weight_bytes),
        part("activations", ledger.activation_bytes),
        part("overhead", ledger.overhead_bytes),
        part("left for the KV cache", kv),
        part("not used by the server", (ledger.total_bytes - ledger.usable_bytes).max(0.0)),
    ];
    let facts = vec![
        line("KV cache per token", format::bytes(ledger.kv_bytes_per_token)),
        line("KV blocks in force", count(ledger.blocks)),
        line("tokens that fit", format::grouped(tokens)),
    ];
    LedgerView { parts, facts, source: source(ledger) }
}

fn source(ledger: &MemoryLedger) -> String {
    let formula = ledger.formula_blocks.map(|blocks| format!("the memory formula gives {}", count(blocks)));
    let row = ledger.row_blocks.map(|blocks| format!("the trained coefficients' row says {}", count(blocks)));
    let (in_force, other) = match ledger.source {
        BlocksSource::Given => ("The number of blocks is the one you set", formula.or(row)),
        BlocksSource::CoefficientRow => ("The number of blocks is that of the trained coefficients' row", formula),
        BlocksSource::MemoryFormula => ("The number of blocks comes from the memory formula", row),
        BlocksSource::Fallback => {
            ("Too little is known for the memory formula, so one million blocks are assumed", row)
        }
    };
    match other {
        Some(other) => format!("{in_force}; {other}."),
        None => format!("{in_force}."),
    }
}

fn count(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "block counts are far below 2^53")]
    let value = value as f64;
    format::grouped(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_whole_and_the_source_is_named() {
        const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
        let memory = MemoryLedger {
            total_bytes: 80.0 * GIB,
            usable_bytes: 72.0 * GIB,
            weight_bytes: 15.0 * GIB,
            activation_bytes: 5.0 * GIB,
            overhead_bytes: GIB,
            kv_bytes_per_token: 131_072.0,
            formula_blocks: Some(26_112),
            row_blocks: Some(7463),
            blocks: 26_112,
            source: BlocksSource::MemoryFormula,
        };
        let view = ledger(&memory, 16);
        let whole: f64 = view.parts.iter().filter_map(|entry| entry.ratio).sum();
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
        assert_eq!(view.parts[3].value, "51.0 GiB");
        assert_eq!(view.facts[2].value, "417,792");
        assert_eq!(
            view.source,
            "The number of blocks comes from the memory formula; the trained coefficients' row says 7,463."
        );
    }
}

//! Where the accelerators' memory goes, in words and shares.

use plimsoll_core::kv_plan::{Item, grouped};
use plimsoll_core::scenario::{BlocksSource, Ledger, MemoryLedger, ServerLedger};
use plimsoll_protocol::{LedgerItem, LedgerView};

const KIB: f64 = 1024.0;
const GIB: f64 = KIB * KIB * KIB;

/// The ledger of a deployment for people; `block_size` is that of the simulated blocks, tokens.
pub fn view(ledger: &Ledger, block_size: u32) -> LedgerView {
    match ledger {
        Ledger::Reference(ledger) => of_reference(ledger, block_size),
        Ledger::Server(ledger) => of_server(ledger),
    }
}

fn of_server(ledger: &ServerLedger) -> LedgerView {
    let fit = &ledger.fit;
    let item = |item: Item| LedgerItem {
        label: item.label.to_owned(),
        value: item.value,
        equation: item.equation,
        ratio: item.ratio,
    };
    let planned = format!("vLLM {} would allocate {}", fit.version, grouped(fit.planned_blocks()));
    let row = ledger.row_blocks.map(|blocks| format!("the trained coefficients' row says {}", grouped(blocks)));
    let mut source = match ledger.source {
        BlocksSource::Given => format!("The number of blocks is the one you set; {planned}."),
        BlocksSource::CoefficientRow => {
            format!("The number of blocks is that of the trained coefficients' row; {planned}.")
        }
        _ => sentence(&format!("The number of blocks is what vLLM {} would allocate", fit.version), row),
    };
    if let Some(refusal) = fit.refusal() {
        source.push_str(&format!(" A server does not start like this: {refusal}."));
    }
    let notes = fit.notes();
    if !notes.is_empty() {
        source.push_str(&format!(" What the estimate rests on: {}.", notes.join("; ")));
    }
    if let Some((blocks, size)) = ledger.stand_in {
        let of = grouped(blocks.into());
        source.push_str(&format!(" In the simulation {of} blocks of {size} tokens stand for them."));
    }
    LedgerView {
        whole: format!("Memory of one accelerator, {:.2} GiB by its driver", fit.budget.total_bytes / GIB),
        parts: fit.memory_items().into_iter().map(item).collect(),
        facts: fit.cache_items().into_iter().map(item).collect(),
        source,
    }
}

fn of_reference(ledger: &MemoryLedger, block_size: u32) -> LedgerView {
    let total = ledger.total_bytes.max(1.0);
    let taken = ledger.weight_bytes + ledger.activation_bytes + ledger.overhead_bytes;
    let item = |label: &str, value, ratio| LedgerItem { label: label.into(), value, equation: String::new(), ratio };
    let part = |label, amount: f64| item(label, bytes(amount), Some((amount / total).clamp(0.0, 1.0)));
    LedgerView {
        whole: "Memory of one replica".into(),
        parts: vec![
            part("weights", ledger.weight_bytes),
            part("activations", ledger.activation_bytes),
            part("overhead", ledger.overhead_bytes),
            part("left for the KV cache", (ledger.usable_bytes - taken).max(0.0)),
            part("not used by the server", (ledger.total_bytes - ledger.usable_bytes).max(0.0)),
        ],
        facts: vec![
            item("KV cache per token", bytes(ledger.kv_bytes_per_token), None),
            item("KV blocks in force", grouped(ledger.blocks), None),
            item("tokens that fit", grouped(ledger.blocks.saturating_mul(block_size.into())), None),
        ],
        source: source(ledger),
    }
}

fn source(ledger: &MemoryLedger) -> String {
    let formula = ledger.formula_blocks.map(|blocks| format!("the memory formula gives {}", grouped(blocks)));
    let row = ledger.row_blocks.map(|blocks| format!("the trained coefficients' row says {}", grouped(blocks)));
    match ledger.source {
        BlocksSource::Given => sentence("The number of blocks is the one you set", formula.or(row)),
        BlocksSource::CoefficientRow => {
            sentence("The number of blocks is that of the trained coefficients' row", formula)
        }
        BlocksSource::MemoryFormula | BlocksSource::Server => {
            sentence("The number of blocks comes from the memory formula", row)
        }
        BlocksSource::Fallback => {
            sentence("Too little is known for the memory formula, so one million blocks are assumed", row)
        }
    }
}

/// What is in force, and what another source says.
fn sentence(in_force: &str, other: Option<String>) -> String {
    match other {
        Some(other) => format!("{in_force}; {other}."),
        None => format!("{in_force}."),
    }
}

/// Bytes with a unit in reach and three digits that count.
fn bytes(count: f64) -> String {
    let (value, unit) = match count.abs() {
        size if size >= 0.1 * GIB => (count / GIB, "GiB"),
        size if size >= KIB * KIB => (count / (KIB * KIB), "MiB"),
        _ => (count / KIB, "KiB"),
    };
    let digits = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::scenario::{ModelChoice, Scenario};

    #[test]
    fn the_parts_make_the_whole_and_the_source_is_named() {
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
        let view = view(&Ledger::Reference(memory), 16);
        let whole: f64 = view.parts.iter().filter_map(|entry| entry.ratio).sum();
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
        assert_eq!(view.parts[3].value, "51.0 GiB");
        assert_eq!((&*view.facts[0].value, &*view.facts[2].value), ("128 KiB", "417,792"));
        assert_eq!(
            view.source,
            "The number of blocks comes from the memory formula; the trained coefficients' row says 7,463."
        );
    }

    #[test]
    fn the_ledger_of_a_server_shows_each_item_with_its_equation() {
        let mut scenario = Scenario::default();
        scenario.deployment.model = ModelChoice::Id("qwen/qwen3-14b".into());
        let mut view_of = |model: &str| {
            scenario.deployment.model = ModelChoice::Id(model.into());
            scenario.engine.gpu_memory_utilization = Some(0.9);
            let resolved = scenario.resolve(plimsoll_configs::catalog()).expect("resolves").value;
            view(&resolved.ledger.expect("a ledger"), resolved.engine.block_size)
        };
        let plain = view_of("qwen/qwen3-14b");
        let labels: Vec<&str> = plain.parts.iter().map(|item| &*item.label).collect();
        assert_eq!(
            labels,
            ["weights", "peak activations", "CUDA graphs", "non-torch", "KV cache", "not used by the server"]
        );
        let whole: f64 = plain.parts.iter().filter_map(|item| item.ratio).sum();
        assert!((whole - 1.0).abs() < 1e-9, "{whole}");
        assert!(plain.parts[4].equation.contains("× 0.9 − 27.51 − "), "{:?}", plain.parts[4]);
        assert!(plain.facts.iter().any(|item| item.label == "concurrency"), "{:?}", plain.facts);
        assert!(plain.facts.iter().any(|item| item.label == "give or take" && item.value.contains("up to")));
        assert!(plain.source.contains("no server of vLLM 0.33 was measured"), "{}", plain.source);
        assert!(plain.source.starts_with("The number of blocks is what vLLM 0.33 would allocate"), "{}", plain.source);
    }
}

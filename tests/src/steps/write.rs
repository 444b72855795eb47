//! Fitted rates as YAML.

use plimsoll_core::catalog::{AllReduceRate, KernelRate, StepTimesSpec};
use std::fmt::Write as _;

/// The file as it is committed.
#[must_use]
pub fn yaml(spec: &StepTimesSpec) -> String {
    let mut text = String::from(
        "# Rates of kernels and what a server adds to them, for the step-time model `measured-roofline`.\n\
         # Written by `cargo xtask fit-steps --kernels FOLDER --steps FOLDER`; not edited by hand.\n\
         cards:\n",
    );
    let kernel = |name: &str, rate: &KernelRate| {
        let tiles = if rate.tile_rows > 0.0 { format!(", tile_rows: {}", rate.tile_rows) } else { String::new() };
        format!(
            "    {name}: {{ compute: {}, memory: {}, fixed_us: {}, sharpness: {}{tiles} }}\n",
            rate.compute, rate.memory, rate.fixed_us, rate.sharpness
        )
    };
    for card in &spec.cards {
        let _ = writeln!(text, "  - accelerator: {}", card.accelerator);
        text += &kernel("gemm", &card.gemm);
        text += &card.gemm_8bit.map(|rate| kernel("gemm_8bit", &rate)).unwrap_or_default();
        text += &kernel("experts", &card.experts);
        text += &card.experts_8bit.map(|rate| kernel("experts_8bit", &rate)).unwrap_or_default();
        text += &card.experts_4bit.map(|rate| kernel("experts_4bit", &rate)).unwrap_or_default();
        let at = &card.attention;
        let _ = writeln!(
            text,
            "    attention: {{ prompt_compute: {}, prompt_moves: {}, prompt_us: {}, decode_memory: {}, decode_us: {} }}",
            at.prompt_compute, at.prompt_moves, at.prompt_us, at.decode_memory, at.decode_us
        );
        text += "    all_reduce:\n";
        for AllReduceRate { ranks, fixed_us, gb_per_s, root_ns } in &card.all_reduce {
            let _ = writeln!(
                text,
                "      - {{ ranks: {ranks}, fixed_us: {fixed_us}, gb_per_s: {gb_per_s}, root_ns: {root_ns} }}"
            );
        }
        let _ = writeln!(text, "    decode_in_server: {}", card.decode_in_server);
        let _ = writeln!(text, "    memory_in_server: {}", card.memory_in_server);
        let _ = writeln!(text, "    sustained: {}", card.sustained);
    }
    text += "server:\n";
    let server = serde_json::to_value(spec.server).unwrap_or_default();
    for (name, value) in server.as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {name}: {}", value.to_string().replace(',', ", "));
    }
    text += "residuals:\n";
    for residual in &spec.residuals {
        let _ = writeln!(
            text,
            "  - {{ of: \"{}\", rows: {}, median_percent: {}, p90_percent: {} }}",
            residual.of, residual.rows, residual.median_percent, residual.p90_percent
        );
    }
    let _ = write!(
        text,
        "provenance:\n  source: \"{}\"\n  retrieved: \"{}\"\n  note: \"{}\"\n",
        spec.provenance.source, spec.provenance.retrieved, spec.provenance.note
    );
    text
}

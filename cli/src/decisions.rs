//! Decision traces of a run: one JSON object per line (cluster specification 9).

use plimsoll_core::observation::{Candidate, RoutingDecision};
use plimsoll_core::report::{Decision, TraceSummary};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
enum Line {
    Admission {
        request_id: u32,
        clock_us: i64,
        admitted: bool,
        reason: String,
    },
    Routing {
        request_id: u32,
        clock_us: i64,
        chosen: String,
        reason: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        scores: Vec<f64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        candidates: Vec<CandidateLine>,
        #[serde(skip_serializing_if = "Option::is_none")]
        regret: Option<f64>,
    },
}

#[derive(Serialize)]
struct CandidateLine {
    instance: String,
    score: f64,
    queue_depth: u32,
    batch_size: u32,
    in_flight: u32,
    kv_utilization: f64,
    free_kv_blocks: u32,
}

/// Writes decisions in the order they were made.
pub fn write(out: &mut impl Write, decisions: &[Decision]) -> io::Result<()> {
    for decision in decisions {
        serde_json::to_writer(&mut *out, &line(decision))?;
        writeln!(out)?;
    }
    Ok(())
}

fn line(decision: &Decision) -> Line {
    match decision {
        Decision::Admission(decision) => Line::Admission {
            request_id: decision.id,
            clock_us: decision.time.0,
            admitted: decision.refused.is_none(),
            reason: decision.refused.map(|reason| reason.to_string()).unwrap_or_default(),
        },
        Decision::Routing(RoutingDecision { id, time, replica, reason, scores, candidates, regret }) => Line::Routing {
            request_id: *id,
            clock_us: time.0,
            chosen: instance(*replica),
            reason: reason.to_string(),
            scores: scores.clone(),
            candidates: candidates.iter().map(candidate).collect(),
            regret: *regret,
        },
    }
}

fn candidate(candidate: &Candidate) -> CandidateLine {
    let blocks = f64::from(candidate.used_blocks) + f64::from(candidate.free_blocks);
    CandidateLine {
        instance: instance(candidate.replica),
        score: candidate.score,
        queue_depth: candidate.waiting,
        batch_size: candidate.running,
        in_flight: candidate.in_flight,
        kv_utilization: f64::from(candidate.used_blocks) / blocks,
        free_kv_blocks: candidate.free_blocks,
    }
}

fn instance(replica: u32) -> String {
    format!("instance_{replica}")
}

/// Prints the summary as the reference does.
pub fn print_summary(out: &mut impl Write, summary: &TraceSummary) -> io::Result<()> {
    writeln!(out, "=== Trace Summary ===")?;
    writeln!(out, "Total Decisions: {}", summary.total_decisions)?;
    writeln!(out, "  Admitted: {}", summary.admitted)?;
    writeln!(out, "  Rejected: {}", summary.rejected)?;
    writeln!(out, "Unique Targets: {}", summary.unique_targets())?;
    let mut targets: Vec<(String, u64)> =
        (0u32..).zip(&summary.targets).map(|(replica, count)| (instance(replica), *count)).collect();
    targets.retain(|(_, count)| *count > 0);
    targets.sort();
    if !targets.is_empty() {
        writeln!(out, "Target Distribution:")?;
    }
    for (name, count) in targets {
        writeln!(out, "  {name}: {count}")?;
    }
    writeln!(out, "Mean Regret: {:.6}", summary.mean_regret)?;
    writeln!(out, "Max Regret: {:.6}", summary.max_regret)
}

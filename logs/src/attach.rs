//! Joins what stands in files of their own: a trace's header and chunk times, a server's configuration.

use crate::{Content, GapRow};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::MeasuredDeployment;

/// Fills the runs of `content` with facts about the server and with the chunk times of its requests.
///
/// Facts that a run states itself stay. Chunk times must have `output_tokens + 2` rows per request: the role chunk
/// first and the usage chunk last are dropped (log formats 3b); requests with another number of rows keep their TTFT and
/// end-to-end latency only.
pub fn attach(content: &mut Content, deployment: Option<&MeasuredDeployment>, gaps: &[GapRow]) {
    for run in &mut content.runs {
        if let Some(deployment) = deployment {
            run.measurement.deployment.fill_from(deployment);
        }
        if gaps.is_empty() || !run.measurement.gaps.is_empty() {
            continue;
        }
        let mut unmatched = 0usize;
        for (request, id) in run.measurement.requests.iter_mut().zip(&run.ids) {
            let Some(id) = *id else { continue };
            let start = gaps.partition_point(|gap| gap.id < id);
            let end = gaps.partition_point(|gap| gap.id <= id);
            let rows = gaps.get(start..end).unwrap_or_default();
            if rows.len() != request.output_tokens as usize + 2 {
                unmatched += 1;
                continue;
            }
            let tokens = rows.get(1..rows.len() - 1).unwrap_or_default();
            let from = run.measurement.gaps.len() as u32;
            let between =
                tokens.windows(2).map(|pair| (pair[1].time_us - pair[0].time_us).clamp(0, i64::from(u32::MAX)));
            run.measurement.gaps.extend(between.map(|gap| gap as u32));
            request.gaps = from..run.measurement.gaps.len() as u32;
        }
        if unmatched > 0 {
            let count = run.measurement.requests.len();
            let message = format!("chunks and tokens differ in {unmatched} of {count} requests");
            content.diagnostics.push(
                Diagnostic::warning("log-gaps-not-tokens", run.measurement.name.clone(), message)
                    .with_hint("their single gaps are not used; merged chunks?"),
            );
        }
    }
}

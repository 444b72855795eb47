//! Every admission and routing decision of a run, with what else could have been chosen.

use crate::lab::rows::Rows;
use crate::view_model::format;
use leptos::prelude::*;
use plimsoll_protocol::lab::{DecisionColumns, RunSeen};
use std::sync::Arc;

/// Which decisions are listed, and how they are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Time,
    Regret,
    Refused,
}

/// The decision trace.
#[component]
pub fn Decisions(
    /// The run.
    #[prop(into)]
    seen: Signal<Option<Arc<RunSeen>>>,
) -> impl IntoView {
    let listing = RwSignal::new(Listing::Time);
    let chosen: RwSignal<Option<usize>> = RwSignal::new(None);
    let order = Memo::new(move |_| {
        chosen.set(None);
        let listing = listing.get();
        seen.with(|seen| seen.as_ref().map(|seen| ordered(&seen.decisions, listing)).unwrap_or_default())
    });
    let count = Signal::derive(move || order.with(Vec::len));
    let at = move |index: usize| order.with(|order| order.get(index).copied()).map(|index| index as usize);
    let summary = move || {
        seen.with(|seen| {
            let summary = seen.as_ref()?.summary.as_ref()?;
            let refused = if summary.rejected > 0 { format!(", {} refused", format::grouped(summary.rejected as f64)) } else { String::new() };
            Some(format!(
                "{} admitted{refused}; regret {} on average, {} at most: by how much the best candidate's score exceeds that of the chosen one.",
                format::grouped(summary.admitted as f64),
                score(summary.mean_regret),
                score(summary.max_regret),
            ))
        })
    };
    view! {
        <section class="chart wide" aria-labelledby="decisions-title" data-testid="decisions">
            <header>
                <h3 id="decisions-title">"Decisions"</h3>
                <div class="tools">
                    <label class="visually-hidden" for="decision-order">"Decisions listed"</label>
                    <select id="decision-order" on:change=move |event| listing.set(match event_target_value(&event).as_str() {
                        "regret" => Listing::Regret,
                        "refused" => Listing::Refused,
                        _ => Listing::Time,
                    })>
                        <option value="time">"all, by time"</option>
                        <option value="regret">"routing, largest regret first"</option>
                        <option value="refused">"refused only"</option>
                    </select>
                </div>
            </header>
            <p class="help" data-testid="decision-summary">{summary}</p>
            <Rows
                label="decisions"
                id="decision-rows"
                columns=Signal::stored(["time (s)", "request", "decision", "why", "regret", "candidates, best first (score)"].map(str::to_owned).to_vec())
                count=count
                row=move |index| at(index).map(|index| seen.with(|seen| seen.as_ref().map(|seen| cells(&seen.decisions, index)).unwrap_or_default())).unwrap_or_default()
                chosen=chosen
                on_choose=move |index| chosen.set(Some(index))
            />
            {move || chosen.get().and_then(at).and_then(|index| seen.with(|seen| seen.as_ref().map(|seen| candidates(&seen.decisions, index)))).filter(|rows| !rows.is_empty()).map(|rows| view! {
                <div class="table" tabindex="0" role="region" aria-label="Table: candidates of the chosen decision" data-testid="candidates">
                    <table>
                        <thead><tr>
                            {["candidate", "score", "waiting", "running", "in flight", "KV used"].map(|name| view! { <th scope="col">{name}</th> }).collect_view()}
                        </tr></thead>
                        <tbody>
                            {rows.into_iter().map(|cells| view! {
                                <tr>{cells.into_iter().map(|cell| view! { <td>{cell}</td> }).collect_view()}</tr>
                            }).collect_view()}
                        </tbody>
                    </table>
                </div>
            })}
        </section>
    }
}

/// A score: whole ones, such as negative loads, without decimals.
fn score(value: f64) -> String {
    if value.fract() == 0.0 { format::grouped(value) } else { format::number(value, 3) }
}

fn ordered(decisions: &DecisionColumns, listing: Listing) -> Vec<u32> {
    let all = 0..u32::try_from(decisions.time.len()).unwrap_or(u32::MAX);
    let target = |index: &u32| decisions.target.get(*index as usize).copied().unwrap_or(-1);
    let regret = |index: &u32| decisions.regret.get(*index as usize).copied().unwrap_or(0.0);
    match listing {
        Listing::Time => all.collect(),
        Listing::Refused => all.filter(|index| target(index) == -2).collect(),
        Listing::Regret => {
            let mut routed: Vec<u32> = all.filter(|index| target(index) >= 0).collect();
            routed.sort_by(|left, right| regret(right).total_cmp(&regret(left)));
            routed
        }
    }
}

fn range(decisions: &DecisionColumns, index: usize) -> core::ops::Range<usize> {
    let at = |index: usize| decisions.first_candidate.get(index).copied().unwrap_or(0) as usize;
    at(index)..at(index + 1)
}

fn cells(decisions: &DecisionColumns, index: usize) -> Vec<String> {
    let target = decisions.target.get(index).copied().unwrap_or(-1);
    let scores = range(decisions, index)
        .filter_map(|at| Some(format!("{} ({})", decisions.candidate.get(at)?, score(*decisions.score.get(at)?))));
    vec![
        decisions.time.get(index).map_or_else(String::new, |time| format::number(*time as f64 / 1e6, 6)),
        decisions.id.get(index).map(u32::to_string).unwrap_or_default(),
        match target {
            -2 => "refused".to_owned(),
            -1 => "admitted".to_owned(),
            replica => format!("to replica {replica}"),
        },
        decisions.reason.get(index).cloned().unwrap_or_default(),
        if target >= 0 {
            decisions.regret.get(index).map_or_else(String::new, |regret| score(*regret))
        } else {
            String::new()
        },
        scores.collect::<Vec<_>>().join(" · "),
    ]
}

fn candidates(decisions: &DecisionColumns, index: usize) -> Vec<Vec<String>> {
    let chosen = decisions.target.get(index).copied().unwrap_or(-1);
    range(decisions, index)
        .filter_map(|at| {
            let replica = *decisions.candidate.get(at)?;
            let is_chosen = i64::from(replica) == i64::from(chosen);
            Some(vec![
                format!("replica {replica}{}", if is_chosen { " (chosen)" } else { "" }),
                score(*decisions.score.get(at)?),
                decisions.waiting.get(at)?.to_string(),
                decisions.running.get(at)?.to_string(),
                decisions.in_flight.get(at)?.to_string(),
                format!("{} %", format::number(f64::from(*decisions.kv_percent.get(at)?), 3)),
            ])
        })
        .collect()
}

//! The replicas of a run: their queues, batches and blocks over time, and what each was sent.

use super::series::{self, Line, Measure};
use crate::components::table_switch::TableSwitch;
use crate::lab::rows::Rows;
use crate::view_model::format;
use leptos::html;
use leptos::prelude::*;
use plimsoll_protocol::lab::RunSeen;
use std::sync::Arc;

/// Width and height of a drawing's own coordinates.
const BOX: [f64; 2] = [1000.0, 100.0];

/// All replicas of a run.
#[component]
pub fn Replicas(
    /// The run.
    #[prop(into)]
    seen: Signal<Option<Arc<RunSeen>>>,
) -> impl IntoView {
    let chosen: RwSignal<Option<usize>> = RwSignal::new(None);
    let num_replicas = Memo::new(move |_| seen.with(|seen| seen.as_ref().map_or(0, |seen| seen.replicas.len())));
    let has_names = Memo::new(move |_| num_replicas.get() <= series::MAX_LINES);
    Effect::new(move |_| {
        let count = num_replicas.get();
        if chosen.get_untracked().is_some_and(|chosen| chosen >= count) {
            chosen.set(None);
        }
    });
    view! {
        <div class="control which" hidden=move || num_replicas.get() < 2>
            <label for="replica-shown">"Replicas shown"</label>
            <select id="replica-shown" on:change=move |event| chosen.set(event_target_value(&event).parse().ok())>
                <option value="" selected=move || chosen.get().is_none()>"all"</option>
                {move || (0..num_replicas.get()).map(|index| view! {
                    <option value=index.to_string() selected=move || chosen.get() == Some(index)>{format!("replica {index}")}</option>
                }).collect_view()}
            </select>
            // Lines that stand for several together have no names of their own.
            <ul class="keys" hidden=move || !has_names.get()>
                {move || (0..num_replicas.get().min(series::MAX_LINES)).map(|index| view! {
                    <li class=format!("line r{index}") hidden=move || chosen.get().is_some_and(|chosen| chosen != index)>{format!("replica {index}")}</li>
                }).collect_view()}
            </ul>
            <span class="help">"Lines are the means of short times, bands their least and greatest."</span>
        </div>
        <div class="charts three">
            {Measure::ALL.into_iter().map(|measure| view! { <OverTime measure=measure seen=seen chosen=chosen /> }).collect_view()}
            <section class="chart" aria-labelledby="replicas-title" data-testid="replicas">
                <header><h3 id="replicas-title">"By replica"</h3></header>
                <Rows
                    label="replicas"
                    id="replica-rows"
                    columns=Signal::stored(["replica", "routed", "completed", "preempted", "busy", "KV peak", "prefix hits"].map(str::to_owned).to_vec())
                    count=num_replicas
                    row=move |index| seen.with(|seen| {
                        let Some(replica) = seen.as_ref().and_then(|seen| seen.replicas.get(index)) else { return Vec::new() };
                        vec![
                            index.to_string(),
                            format::grouped(replica.routed as f64),
                            format::grouped(replica.completed as f64),
                            format::grouped(replica.preemptions as f64),
                            format::percent(replica.busy_ratio),
                            format::percent(replica.kv_peak),
                            format::percent(replica.hit_ratio),
                        ]
                    })
                    chosen=chosen
                    on_choose=move |index| chosen.set(Some(index))
                />
            </section>
        </div>
    }
}

/// One number of the replicas over time.
#[component]
fn OverTime(measure: Measure, seen: Signal<Option<Arc<RunSeen>>>, chosen: RwSignal<Option<usize>>) -> impl IntoView {
    let is_table = RwSignal::new(false);
    let pointed: RwSignal<Option<usize>> = RwSignal::new(None);
    let plot: NodeRef<html::Div> = NodeRef::new();
    let lines = Memo::new(move |_| {
        let chosen = chosen.get();
        seen.with(|seen| seen.as_ref().map(|seen| series::lines(seen, measure, chosen)).unwrap_or_default())
    });
    let bin_us = Memo::new(move |_| seen.with(|seen| seen.as_ref().map_or(1, |seen| seen.bin_us)));
    let num_bins = Memo::new(move |_| lines.with(|lines| lines.first().map_or(0, |line| line.mean.len())));
    let drawing = move || lines.with(|lines| drawing(lines, chosen.get_untracked()));
    let readout = move || {
        let bin = pointed.get();
        bin.and_then(|bin| lines.with(|lines| series::words(lines, bin, bin_us.get(), measure.unit())))
            .unwrap_or_else(|| "simulated time (s)".to_owned())
    };
    let columns = Signal::derive(move || {
        let mut columns = vec!["from (s)".to_owned()];
        lines.with(|lines| {
            lines.iter().for_each(|line| {
                columns.extend([format!("{} mean", line.name), "least".to_owned(), "greatest".to_owned()]);
            })
        });
        columns
    });
    let id = format!("over-time-{}", measure.id());
    let (title_id, heading_id) = (format!("{id}-title"), format!("{id}-title"));
    view! {
        <section class="chart bars" aria-labelledby=title_id data-testid=id>
            <header>
                <h3 id=heading_id>{measure.title()}</h3>
                <TableSwitch is_table=is_table />
            </header>
            <div hidden=move || is_table.get()>
                <p class="top" aria-hidden="true">{move || lines.with(|lines| series::top_words(lines, measure))}</p>
                <div
                    node_ref=plot
                    class="barplot lines"
                    role="img"
                    aria-label=move || format!("{} over simulated time, {} lines. The table holds every value.", measure.title(), lines.with(Vec::len))
                    on:pointermove=move |event| {
                        let Some(element) = plot.get_untracked() else { return };
                        let place = element.get_bounding_client_rect();
                        let bin = ((f64::from(event.client_x()) - place.left()) / place.width().max(1.0) * num_bins.get_untracked() as f64).floor();
                        pointed.set((bin >= 0.0 && bin < num_bins.get_untracked() as f64).then_some(bin as usize));
                    }
                    on:pointerleave=move |_| pointed.set(None)
                >
                    <svg viewBox=format!("0 0 {} {}", BOX[0], BOX[1]) preserveAspectRatio="none" inner_html=drawing></svg>
                </div>
                <p class="edges" aria-hidden="true">
                    {move || {
                        let end = num_bins.get() as f64 * bin_us.get() as f64 / 1e6;
                        [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| view! { <span>{if share == 0.0 { "0".to_owned() } else { format::number(share * end, 3) }}</span> }).collect_view()
                    }}
                </p>
                <p class="axis readout">{readout}</p>
            </div>
            {move || is_table.get().then(|| view! {
                <Rows
                    label=measure.title()
                    id="bin-rows"
                    columns=columns
                    count=num_bins
                    row=move |bin| lines.with(|lines| {
                        let mut cells = vec![format::number(bin as f64 * bin_us.get() as f64 / 1e6, 5)];
                        for line in lines {
                            let number = |values: &[f64]| values.get(bin).map_or_else(String::new, |value| format::number(*value, 3));
                            cells.extend([number(&line.mean), number(&line.min), number(&line.max)]);
                        }
                        cells
                    })
                    chosen=Signal::stored(None)
                    on_choose=|_| {}
                />
            })}
        </section>
    }
}

/// Bands behind, lines in front; a replica keeps its color when it is shown alone.
fn drawing(lines: &[Line], chosen: Option<usize>) -> String {
    let top = series::top(lines);
    let mut out = String::new();
    let color = |index: usize| (chosen.unwrap_or(index)) % series::MAX_LINES;
    for (index, line) in lines.iter().enumerate() {
        out += &format!("<path class=\"band r{}\" d=\"{}\"/>", color(index), series::band_path(line, top, BOX));
    }
    for (index, line) in lines.iter().enumerate() {
        out += &format!("<path class=\"line r{}\" d=\"{}\"/>", color(index), series::line_path(line, top, BOX));
    }
    out
}

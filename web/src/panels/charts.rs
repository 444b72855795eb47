//! The charts over request rate, each with its table.

use crate::charts::figure::{self, Figure, Frame};
use crate::charts::{marks, plotly};
use crate::components::table_switch::TableSwitch;
use crate::controller::Resolution;
use crate::page::page;
use crate::view_model::axis::AxisMemory;
use crate::view_model::chart::{self, Chart, Style};
use crate::view_model::table;
use js_sys::Promise;
use leptos::html;
use leptos::prelude::*;
use plimsoll_core::curve::Curve;
use std::borrow::Cow;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlElement, ResizeObserver};

/// Height of a chart, CSS pixels; a little less on a phone comes from the width.
const HEIGHT: f64 = 236.0;

/// How many replicas share the rates shown.
#[derive(Clone, Copy)]
struct Sharing(Memo<u32>);

/// What one chart needs from the drawing that all of them share.
#[derive(Clone, Copy)]
struct Part {
    chart: Chart,
    /// The empty place in the page over which the drawing lies.
    place: NodeRef<html::Div>,
    is_table: RwSignal<bool>,
    value_axis: StoredValue<AxisMemory>,
    legend: RwSignal<Vec<(String, Style)>>,
    marks: RwSignal<String>,
}

/// All charts.
///
/// They are one Plotly drawing over the places the page leaves for them: Plotly works out axes, texts and hovering
/// once for a drawing, which for four of them would be most of the time of a redraw.
#[component]
pub fn ChartsPanel() -> impl IntoView {
    let page = page();
    let is_ready = RwSignal::new(false);
    let trouble: RwSignal<Option<String>> = RwSignal::new(None);
    let load = move || {
        trouble.set(None);
        leptos::task::spawn_local(async move {
            match plotly::load().await {
                Ok(()) => is_ready.set(true),
                Err(reason) => trouble.set(Some(reason)),
            }
        });
    };
    // Loaded beside the first simulation, not before the page stands.
    Effect::new(move |_| load());
    let parts = Chart::ALL.map(|chart| Part {
        chart,
        place: NodeRef::new(),
        is_table: RwSignal::new(false),
        value_axis: StoredValue::new(AxisMemory::default()),
        legend: RwSignal::new(Vec::new()),
        marks: RwSignal::new(String::new()),
    });
    let whole: NodeRef<html::Div> = NodeRef::new();
    let drawing: NodeRef<html::Div> = NodeRef::new();
    let is_moving = RwSignal::new(false);
    let places = watch_places(whole, parts);
    let num_replicas =
        Memo::new(move |_| page.desk.with(|desk| desk.number("cluster.num_replicas")).unwrap_or(1.0) as u32);
    let is_per_replica = RwSignal::new(false);
    // How many replicas share the rates shown: one where they are the cluster's.
    let sharing = Memo::new(move |_| if is_per_replica.get() { num_replicas.get() } else { 1 });
    provide_context(Sharing(sharing));
    let has_charts =
        Memo::new(move |_| places.with(|places| places.charts.iter().any(|(_, width, _)| *width >= MIN_WIDTH)));
    draw(parts, drawing, places, is_ready, is_moving);
    view! {
        {move || trouble.get().map(|reason| view! {
            <p class="problem error" role="alert">
                {crate::components::problems::sentence(&reason)} " The tables show every value. "
                <button type="button" on:click=move |_| load()>"Try again"</button>
            </p>
        })}
        {move || (num_replicas.get() > 1).then(|| view! {
            <div class="control check">
                <label>
                    <input
                        type="checkbox"
                        prop:checked=move || is_per_replica.get()
                        on:change=move |event| is_per_replica.set(event_target_checked(&event))
                    />
                    "Rates per replica instead of the cluster's total"
                </label>
            </div>
        })}
        <div
            node_ref=whole
            class="charts"
            class:stale=move || page.is_stale.get()
            class:moving=move || is_moving.get()
        >
            {parts.into_iter().map(|part| view! { <ChartPanel part=part /> }).collect_view()}
            // Where tables stand in the place of every chart, Plotly would draw axes of its own over all of them.
            <div node_ref=drawing class="drawing" aria-hidden="true" hidden=move || !has_charts.get()></div>
        </div>
    }
}

/// Redraws all charts whenever a result, a place, the percentile or the colors change.
fn draw(
    parts: [Part; 4],
    drawing: NodeRef<html::Div>,
    places: RwSignal<Places>,
    is_ready: RwSignal<bool>,
    is_moving: RwSignal<bool>,
) {
    let page = page();
    let Sharing(sharing) = expect_context();
    let rate_axis = StoredValue::new(AxisMemory::default());
    let shown_for = StoredValue::new(1);
    // What Plotly shows; a curve with the same frame only moves its points.
    let standing: StoredValue<Option<Figure>> = StoredValue::new(None);
    let moved_job = StoredValue::new(0);
    // Points that move; a frame that changes under them would leave lines of both.
    let moving: StoredValue<Option<Promise>, LocalStorage> = StoredValue::new_local(None);
    // While a frame is being drawn, the newest figure that came since is the next.
    let is_drawing = StoredValue::new(false);
    let next: StoredValue<Option<(Figure, u64)>> = StoredValue::new(None);
    let theme = Memo::new(move |_| {
        page.theme.track();
        plotly::theme()
    });
    Effect::new(move |_| {
        let places = places.get();
        let percentile = page.view.with(|view| view.percentile);
        let Some(element) = drawing.get() else { return };
        let sharing = sharing.get();
        if shown_for.try_update_value(|before| core::mem::replace(before, sharing)) != Some(sharing) {
            // Axes remember a moving curve's, not another measure's.
            rate_axis.set_value(AxisMemory::default());
            parts.iter().for_each(|part| part.value_axis.set_value(AxisMemory::default()));
        }
        let drawn = page.shown.with(|shown| {
            let shown = shown.as_ref()?;
            let is_at_rest = shown.resolution != Resolution::Coarse;
            let fit = |axis: StoredValue<AxisMemory>, needed: f64| {
                axis.try_update_value(|axis| axis.fit(needed, is_at_rest)).unwrap_or(needed)
            };
            let curve = shared(&shown.curve, sharing);
            let mut charts = Vec::new();
            for (part, (place, width, height)) in parts.iter().zip(places.charts) {
                let model = chart::model(part.chart, &curve, &shown.basics.slo, percentile);
                let (rate_end, value_end) = (fit(rate_axis, model.rate_end), fit(part.value_axis, model.value_end));
                let names: Vec<(String, Style)> =
                    model.series.iter().map(|series| (series.name.clone(), series.style)).collect();
                if part.legend.with_untracked(|legend| *legend != names) {
                    part.legend.set(names);
                }
                let frame = Frame { place, width, height, rate_end, value_end };
                if width >= MIN_WIDTH {
                    part.marks.set(marks::marks(&model, frame));
                    charts.push((model, frame));
                }
            }
            is_moving.set(!is_at_rest);
            Some((figure::figure(&charts, &theme.get(), places.size), shown.job))
        });
        let Some((figure, job)) = drawn.filter(|_| is_ready.get() && places.size.0 >= MIN_WIDTH) else { return };
        if is_drawing.get_value() {
            next.set_value(Some((figure, job)));
            return;
        }
        let element: HtmlElement = (*element).clone().unchecked_into();
        let has_frame = standing.with_value(|standing| standing.as_ref().is_some_and(|old| figure.has_frame_of(old)));
        if has_frame {
            moved_job.set_value(job);
            if let Ok(moved) = plotly::animate(&element, &figure) {
                moving.set_value(Some(moved));
                standing.set_value(Some(figure));
                return;
            }
        }
        is_drawing.set_value(true);
        leptos::task::spawn_local(async move {
            if let Some(moved) = moving.try_update_value(Option::take).flatten() {
                plotly::ended(moved).await;
            }
            let mut wanted = Some((figure, job));
            while let Some((figure, job)) = wanted {
                let is_drawn = plotly::react(&element, &figure).await.is_ok();
                // None: the charts have left the page meanwhile.
                let Some(is_first) =
                    standing.try_update_value(|standing| is_drawn && standing.replace(figure).is_none())
                else {
                    return;
                };
                if is_drawn {
                    page.redraws.try_update_value(|redraws| redraws.drawn(job));
                }
                if is_first {
                    let listener = Closure::<dyn Fn()>::new(move || {
                        let Some(job) = moved_job.try_get_value() else { return };
                        page.redraws.try_update_value(|redraws| redraws.drawn(job));
                    });
                    let _ = plotly::on_moved(&element, listener.as_ref().unchecked_ref());
                    // It lives as long as the drawing does.
                    listener.forget();
                }
                wanted = next.try_update_value(Option::take).flatten();
            }
            is_drawing.try_update_value(|is_drawing| *is_drawing = false);
        });
    });
}

/// One chart or its table.
#[component]
fn ChartPanel(part: Part) -> impl IntoView {
    let Part { chart, place, is_table, legend, marks, .. } = part;
    let Sharing(sharing) = expect_context();
    let title_id = format!("chart-{}", chart.id());
    let heading_id = title_id.clone();
    view! {
        <section class="chart" aria-labelledby=title_id.clone() data-testid=title_id>
            <header>
                <h3 id=heading_id>{chart.title()}</h3>
                <TableSwitch is_table=is_table />
            </header>
            <Legend series=legend />
            <div
                node_ref=place
                class="plot"
                role="img"
                aria-label=format!("{} over request rate. {} The table holds every value.", chart.title(), chart.help())
                hidden=move || is_table.get()
            >
                <p class="axis unit-above">{chart.unit()}</p>
                <div class="marks" inner_html=move || marks.get()></div>
            </div>
            <p class="axis rate" aria-hidden="true" hidden=move || is_table.get()>
                {move || if sharing.get() > 1 { "request rate of one replica (req/s)" } else { "request rate (req/s)" }}
            </p>
            {move || is_table.get().then(|| view! { <ChartTable chart=chart /> })}
        </section>
    }
}

/// Names of the lines with a sample of each; our own, because it need not be redrawn with the chart.
#[component]
fn Legend(series: RwSignal<Vec<(String, Style)>>) -> impl IntoView {
    view! {
        <ul class="legend" aria-hidden="true">
            {move || {
                series
                    .get()
                    .into_iter()
                    .map(|(name, style)| {
                        let (class, dashes) = match style {
                            Style::Main => ("main", ""),
                            Style::Second => ("second", "6 4"),
                            Style::Lower => ("companion", "1.5 3"),
                            Style::Upper => ("companion", "9 4"),
                            Style::Reference => ("reference", "1.5 3"),
                        };
                        view! {
                            <li class=class>
                                <svg viewBox="0 0 26 8" aria-hidden="true">
                                    <path d="M0 4h26" stroke="currentColor" stroke-dasharray=dashes />
                                    {(style == Style::Main).then(|| view! { <circle cx="13" cy="4" r="3" fill="currentColor" /> })}
                                </svg>
                                {name}
                            </li>
                        }
                    })
                    .collect_view()
            }}
            <li class="band"><svg viewBox="0 0 26 8" aria-hidden="true"><rect width="26" height="8" fill="currentColor" /></svg>"over seeds"</li>
        </ul>
    }
}

/// A curve as it is shown: the cluster's, or one replica's part of it.
fn shared(curve: &Curve, sharing: u32) -> Cow<'_, Curve> {
    if sharing > 1 { Cow::Owned(curve.per_replica(sharing)) } else { Cow::Borrowed(curve) }
}

/// Every value of a chart.
#[component]
fn ChartTable(chart: Chart) -> impl IntoView {
    let page = page();
    let Sharing(sharing) = expect_context();
    view! {
        <div class="table" tabindex="0" role="region" aria-label=format!("Table: {}", chart.title())>
            {move || page.shown.with(|shown| shown.as_ref().map(|shown| {
                let table = table::table(chart, &shared(&shown.curve, sharing.get()));
                view! {
                    <table>
                        <caption>{table.caption}</caption>
                        <thead><tr>{table.columns.into_iter().map(|column| view! { <th scope="col">{column}</th> }).collect_view()}</tr></thead>
                        <tbody>
                            {table.rows.into_iter().map(|row| {
                                let mut cells = row.into_iter();
                                let head = cells.next();
                                view! {
                                    <tr>
                                        <th scope="row">{head}</th>
                                        {cells.map(|cell| view! { <td>{cell}</td> }).collect_view()}
                                    </tr>
                                }
                            }).collect_view()}
                        </tbody>
                    </table>
                }
            }))}
        </div>
    }
}

/// Narrower than this, CSS pixels, no chart can be drawn: its place is hidden.
const MIN_WIDTH: f64 = 50.0;

/// Where the charts are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Places {
    /// Width and height of what holds them all, CSS pixels.
    size: (f64, f64),
    /// Left and top edge inside it, width and height of each; no width where a table stands instead.
    charts: [((f64, f64), f64, f64); 4],
}

/// Keeps track of where the page leaves room for the charts.
fn watch_places(whole: NodeRef<html::Div>, parts: [Part; 4]) -> RwSignal<Places> {
    let places = RwSignal::new(Places::default());
    let measure = move || {
        let Some(container) = whole.try_get_untracked().flatten() else { return };
        let outer = container.get_bounding_client_rect();
        let charts = parts.map(|part| {
            part.place.try_get_untracked().flatten().map_or(((0.0, 0.0), 0.0, 0.0), |element| {
                let inner = element.get_bounding_client_rect();
                let width = inner.width();
                ((inner.left() - outer.left(), inner.top() - outer.top()), width, HEIGHT.min((width * 0.72).max(200.0)))
            })
        });
        let found = Places { size: (outer.width(), outer.height()), charts };
        if places.try_get_untracked().is_some_and(|known| known != found) {
            places.set(found);
        }
    };
    let on_resize = Closure::<dyn Fn()>::new(measure);
    let observer = ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
    let kept = StoredValue::new_local(Some((observer, on_resize)));
    Effect::new(move |_| {
        let elements = parts.map(|part| part.place.get());
        let Some(container) = whole.get() else { return };
        kept.with_value(|kept| {
            if let Some((Some(observer), _)) = kept {
                observer.observe(&container);
                elements.iter().flatten().for_each(|element| observer.observe(element));
            }
        });
        measure();
    });
    on_cleanup(move || {
        kept.update_value(|kept| {
            if let Some((Some(observer), _)) = kept.take() {
                observer.disconnect();
            }
        });
    });
    places
}

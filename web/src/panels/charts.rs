//! The charts over request rate, each with its table.

use crate::charts::figure::{self, Figure, Frame};
use crate::charts::{marks, plotly};
use crate::components::icon::{CHART, Icon, TABLE};
use crate::page::page;
use crate::view_model::axis::AxisMemory;
use crate::view_model::chart::{self, Chart, Style};
use crate::view_model::table;
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlElement, IntersectionObserver, IntersectionObserverEntry};

/// Height of a chart, CSS pixels; a little less on a phone comes from the width.
const HEIGHT: f64 = 236.0;

/// How long charts out of view wait for the page to rest.
const UNSEEN_AFTER: Duration = Duration::from_millis(150);

/// All charts.
#[component]
pub fn ChartsPanel() -> impl IntoView {
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
    let rate_axis = StoredValue::new(AxisMemory::default());
    view! {
        {move || trouble.get().map(|reason| view! {
            <p class="problem error" role="alert">
                {crate::components::problems::sentence(&reason)} " The tables show every value. "
                <button type="button" on:click=move |_| load()>"Try again"</button>
            </p>
        })}
        <div class="charts">
            {Chart::ALL.into_iter().map(|chart| view! { <ChartPanel chart=chart is_ready=is_ready rate_axis=rate_axis /> }).collect_view()}
        </div>
    }
}

/// One chart or its table.
#[component]
fn ChartPanel(chart: Chart, is_ready: RwSignal<bool>, rate_axis: StoredValue<AxisMemory>) -> impl IntoView {
    let page = page();
    let is_table = RwSignal::new(false);
    let is_visible = RwSignal::new(false);
    let size = RwSignal::new((0.0, HEIGHT));
    let element: NodeRef<html::Div> = NodeRef::new();
    let value_axis = StoredValue::new(AxisMemory::default());
    let legend: RwSignal<Vec<(String, Style)>> = RwSignal::new(Vec::new());
    // What Plotly shows; a curve with the same frame only moves its points.
    let standing: StoredValue<Option<Figure>> = StoredValue::new(None);
    let moved_job = StoredValue::new(0);
    let is_moving = RwSignal::new(false);
    let marks = RwSignal::new(String::new());
    let theme = Memo::new(move |_| {
        page.theme.track();
        plotly::theme()
    });
    watch_place(chart, element, is_visible, size);
    // Charts out of view wait until nothing else is to be drawn.
    let may_draw_unseen = RwSignal::new(0);
    Effect::new(move |_| {
        let job = page.shown.with(|shown| shown.as_ref().filter(|shown| shown.is_full).map(|shown| shown.job));
        if let Some(job) = job.filter(|_| !is_visible.get_untracked()) {
            set_timeout(move || may_draw_unseen.set(job), UNSEEN_AFTER);
        }
    });
    Effect::new(move |_| {
        let (width, height) = size.get();
        let job = page.shown.with(|shown| shown.as_ref().map_or(0, |shown| shown.job));
        let is_wanted = is_visible.get() || may_draw_unseen.get() == job;
        if !is_ready.get() || !is_wanted || is_table.get() || width < 50.0 {
            return;
        }
        let percentile = page.view.with(|view| view.percentile);
        let Some(element) = element.get() else { return };
        let figure = page.shown.with(|shown| {
            let shown = shown.as_ref()?;
            let model = chart::model(chart, &shown.curve, &shown.basics.slo, percentile);
            let is_at_rest = shown.is_full;
            let fit = |axis: StoredValue<AxisMemory>, needed: f64| {
                axis.try_update_value(|axis| axis.fit(needed, is_at_rest)).unwrap_or(needed)
            };
            let (rate_end, value_end) = (fit(rate_axis, model.rate_end), fit(value_axis, model.value_end));
            let names: Vec<(String, Style)> =
                model.series.iter().map(|series| (series.name.clone(), series.style)).collect();
            if legend.with_untracked(|legend| *legend != names) {
                legend.set(names);
            }
            let frame = Frame { width, height, rate_end, value_end };
            is_moving.set(!is_at_rest);
            marks.set(marks::marks(&model, frame));
            Some(figure::figure(&model, &theme.get(), frame))
        });
        let Some(figure) = figure else { return };
        let element: HtmlElement = (*element).clone().unchecked_into();
        let has_frame = standing.with_value(|standing| standing.as_ref().is_some_and(|old| figure.has_frame_of(old)));
        if has_frame {
            moved_job.set_value(job);
            if plotly::animate(&element, &figure).is_ok() {
                standing.set_value(Some(figure));
                return;
            }
        }
        leptos::task::spawn_local(async move {
            if plotly::react(&element, &figure).await.is_err() {
                return;
            }
            // None: the chart has left the page meanwhile.
            let Some(is_first) = standing.try_update_value(|standing| standing.replace(figure).is_none()) else {
                return;
            };
            page.redraws.try_update_value(|redraws| redraws.drawn_for(chart.id(), job));
            if is_first {
                let listener = Closure::<dyn Fn()>::new(move || {
                    let Some(job) = moved_job.try_get_value() else { return };
                    page.redraws.try_update_value(|redraws| redraws.drawn_for(chart.id(), job));
                });
                let _ = plotly::on_moved(&element, listener.as_ref().unchecked_ref());
                // It lives as long as the chart, which lives as long as the page.
                listener.forget();
            }
        });
    });
    Effect::new(move |_| {
        let is_drawable = is_visible.get() && !is_table.get();
        page.redraws.update_value(|redraws| redraws.set_visible(chart.id(), is_drawable));
    });
    let title_id = format!("chart-{}", chart.id());
    let heading_id = title_id.clone();
    view! {
        <section class="chart" aria-labelledby=title_id.clone() data-testid=title_id>
            <header>
                <h3 id=heading_id>{chart.title()}</h3>
                <button
                    type="button"
                    class="quiet"
                    aria-pressed=move || is_table.get().to_string()
                    on:click=move |_| is_table.update(|is_table| *is_table = !*is_table)
                >
                    {move || if is_table.get() {
                        view! { <Icon path=CHART /> "Chart" }.into_any()
                    } else {
                        view! { <Icon path=TABLE /> "Table" }.into_any()
                    }}
                </button>
            </header>
            <Legend series=legend />
            <p class="axis value" aria-hidden="true">{chart.unit()}</p>
            <div
                class="plot"
                class:stale=move || page.is_stale.get()
                class:moving=move || is_moving.get()
                hidden=move || is_table.get()
            >
                <div class="marks" aria-hidden="true" inner_html=move || marks.get()></div>
                <div
                    node_ref=element
                    role="img"
                    aria-label=format!("{} over request rate. {} The table holds every value.", chart.title(), chart.help())
                ></div>
            </div>
            <p class="axis rate" aria-hidden="true">"request rate (req/s)"</p>
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

/// Every value of a chart.
#[component]
fn ChartTable(chart: Chart) -> impl IntoView {
    let page = page();
    view! {
        <div class="table" tabindex="0" role="region" aria-label=format!("Table: {}", chart.title())>
            {move || page.shown.with(|shown| shown.as_ref().map(|shown| {
                let table = table::table(chart, &shown.curve);
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

/// Keeps track of whether a chart is in view and how wide it is.
fn watch_place(chart: Chart, element: NodeRef<html::Div>, is_visible: RwSignal<bool>, size: RwSignal<(f64, f64)>) {
    let page = page();
    let measure = move || {
        if let Some(element) = element.get_untracked() {
            let width = f64::from(element.client_width());
            if width > 0.0 {
                let wanted = (width, HEIGHT.min((width * 0.72).max(200.0)));
                if size.get_untracked() != wanted {
                    size.set(wanted);
                }
            }
        }
    };
    let on_sight = Closure::<dyn Fn(js_sys::Array)>::new(move |entries: js_sys::Array| {
        if let Some(entry) = entries.iter().last() {
            let is_seen = entry.unchecked_into::<IntersectionObserverEntry>().is_intersecting();
            measure();
            is_visible.set(is_seen);
        }
    });
    let observer = IntersectionObserver::new(on_sight.as_ref().unchecked_ref()).ok();
    let resize = window_event_listener(leptos::ev::resize, move |_| measure());
    let kept = StoredValue::new_local(Some((observer, on_sight)));
    Effect::new(move |_| {
        if let Some(element) = element.get() {
            kept.with_value(|kept| {
                if let Some((Some(observer), _)) = kept {
                    observer.observe(&element);
                } else {
                    is_visible.set(true);
                }
            });
            measure();
        }
    });
    on_cleanup(move || {
        resize.remove();
        page.redraws.update_value(|redraws| redraws.set_visible(chart.id(), false));
        kept.update_value(|kept| {
            if let Some((Some(observer), _)) = kept.take() {
                observer.disconnect();
            }
        });
    });
}

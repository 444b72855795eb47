//! A bar chart with its table: drawn as vectors, colored by the style sheet.

use super::workload::model::Bars;
use crate::components::table_switch::TableSwitch;
use crate::view_model::format;
use leptos::html;
use leptos::prelude::*;
use web_sys::PointerEvent;

/// Width and height of the drawing's own coordinates; the browser stretches them.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Names along the axis.
const NUM_NAMES: usize = 5;

/// Bars under a title, with figures beside it and a table in its place on demand.
#[component]
pub fn BarChart(
    /// What it shows.
    title: &'static str,
    /// Id of the chart, for tests and labels.
    id: &'static str,
    /// The bars.
    #[prop(into)]
    bars: Signal<Bars>,
    /// Figures below the title: name and value.
    #[prop(into)]
    figures: Signal<Vec<(&'static str, String)>>,
) -> impl IntoView {
    let is_table = RwSignal::new(false);
    let pointed: RwSignal<Option<usize>> = RwSignal::new(None);
    let plot: NodeRef<html::Div> = NodeRef::new();
    let point = move |event: PointerEvent| {
        let Some(element) = plot.get_untracked() else { return };
        let place = element.get_bounding_client_rect();
        let num_bars = bars.with_untracked(|bars| bars.heights.len());
        let share = (f64::from(event.client_x()) - place.left()) / place.width().max(1.0);
        let bar = (share * num_bars as f64).floor();
        pointed.set((bar >= 0.0 && bar < num_bars as f64).then_some(bar as usize));
    };
    let readout = move || {
        pointed.get().and_then(|bar| bars.with(|bars| bars.words(bar))).unwrap_or_else(|| {
            bars.with(|bars| {
                let scale = if bars.is_logarithmic { ", bars grow in width" } else { "" };
                if bars.unit == "s" { "time (s)".to_owned() } else { format!("{} per request{scale}", bars.unit) }
            })
        })
    };
    view! {
        <section class="chart bars" aria-labelledby=format!("{id}-title") data-testid=id>
            <header>
                <h3 id=format!("{id}-title")>{title}</h3>
                <TableSwitch is_table=is_table />
            </header>
            <dl class="figures" hidden=move || figures.with(Vec::is_empty)>
                {move || figures.get().into_iter().map(|(name, value)| view! {
                    <div><dt>{name}</dt><dd>{value}</dd></div>
                }).collect_view()}
            </dl>
            <div hidden=move || is_table.get()>
                <p class="top" aria-hidden="true">{move || bars.with(|bars| format!("{} {}", short(bars.top()), bars.counted))}</p>
                <div
                    node_ref=plot
                    class="barplot"
                    role="img"
                    aria-label=move || format!("{title}: {} bars. The table holds every value.", bars.with(|bars| bars.heights.len()))
                    on:pointermove=point
                    on:pointerdown=point
                    on:pointerleave=move |_| pointed.set(None)
                >
                    <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" inner_html=move || bars.with(drawing)></svg>
                    {move || bars.with(|bars| apart(bars).into_iter().map(|(value, name)| {
                        let left = format!("left:{:.2}%", bars.place(value) * 100.0);
                        let is_inside = name == "mean";
                        view! { <span class="mark" class:inside=is_inside style=left>{name}</span> }
                    }).collect_view())}
                    {move || bars.with(|bars| bars.level.as_ref().map(|(level, name)| {
                        let bottom = format!("bottom:{:.2}%", level / bars.top() * 100.0);
                        view! { <span class="level" style=bottom>{name.clone()}</span> }
                    }))}
                </div>
                <p class="edges" aria-hidden="true">
                    {move || bars.with(names).into_iter().map(|name| view! { <span>{name}</span> }).collect_view()}
                </p>
                <p class="axis rate" data-testid=format!("{id}-readout")>{readout}</p>
            </div>
            {move || is_table.get().then(|| view! {
                <div class="table" tabindex="0" role="region" aria-label=format!("Table: {title}")>
                    <table>
                        <thead><tr>
                            <th scope="col">{move || bars.with(|bars| format!("from ({})", bars.unit))}</th>
                            <th scope="col">{move || bars.with(|bars| format!("before ({})", bars.unit))}</th>
                            <th scope="col">{move || bars.with(|bars| bars.counted)}</th>
                        </tr></thead>
                        <tbody>
                            {move || bars.with(|bars| bars.edges.windows(2).zip(&bars.heights).map(|(edges, height)| {
                                let edge = |index: usize| edges.get(index).map_or_else(String::new, |edge| format::number(*edge, 6));
                                view! { <tr><th scope="row">{edge(0)}</th><td>{edge(1)}</td><td>{format::number(*height, 4)}</td></tr> }
                            }).collect_view())}
                        </tbody>
                    </table>
                </div>
            })}
        </section>
    }
}

/// The bars, the marks and the level as vectors.
fn drawing(bars: &Bars) -> String {
    let (top, width) = (bars.top(), WIDTH / bars.heights.len().max(1) as f64);
    let mut out = String::from("<path class=\"fill\" d=\"");
    for (index, height) in bars.heights.iter().enumerate().filter(|(_, height)| **height > 0.0) {
        // Whatever is there can be seen.
        let tall = (height / top * HEIGHT).max(0.6);
        // A seam between neighbors, as long as there is room for one.
        let wide = if width > 12.0 { width - 1.5 } else { width };
        out += &format!("M{:.2} {HEIGHT}v{:.2}h{wide:.2}V{HEIGHT}z", index as f64 * width, -tall);
    }
    out += "\"/>";
    for (value, _) in &bars.marks {
        out += &format!("<path class=\"mark\" d=\"M{:.2} 0V{HEIGHT}\"/>", bars.place(*value) * WIDTH);
    }
    if let Some((level, _)) = &bars.level {
        out += &format!("<path class=\"level\" d=\"M0 {:.2}H{WIDTH}\"/>", HEIGHT - level / top * HEIGHT);
    }
    out
}

/// A number with three digits, or whole where it is.
fn short(value: f64) -> String {
    if value >= 1000.0 || value.fract() == 0.0 { format::grouped(value.round()) } else { format::number(value, 3) }
}

/// The marks whose names have room; the mean's stands lower and is in nobody's way.
fn apart(bars: &Bars) -> Vec<(f64, String)> {
    let mut last = f64::NEG_INFINITY;
    let has_room = |(value, name): &&(f64, String)| {
        let place = bars.place(*value);
        if name == "mean" {
            return true;
        }
        let is_free = place - last > 0.06;
        if is_free {
            last = place;
        }
        is_free
    };
    bars.marks.iter().filter(has_room).cloned().collect()
}

/// A few edges by name, equally far apart.
fn names(bars: &Bars) -> Vec<String> {
    let last = bars.edges.len().saturating_sub(1);
    let num_names = NUM_NAMES.min(bars.edges.len());
    let steps = num_names.saturating_sub(1).max(1);
    (0..num_names).filter_map(|index| bars.edges.get(index * last / steps)).map(|edge| short(*edge)).collect()
}

//! A chart of points and lines with its table, drawn as vectors and colored by the style sheet.

use super::plot::{Plot, Series};
use crate::components::table_switch::TableSwitch;
use leptos::prelude::*;

/// Width and height of the drawing's own coordinates; the browser stretches them.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 500.0;

/// A chart under a title, with a table in its place on demand.
#[component]
pub fn PlotChart(
    /// What it shows.
    title: &'static str,
    /// Id of the chart, for tests and labels.
    id: &'static str,
    /// What is drawn.
    #[prop(into)]
    plot: Signal<Plot>,
    /// A control beside the title.
    #[prop(optional, into)]
    control: Option<ViewFn>,
) -> impl IntoView {
    let is_table = RwSignal::new(false);
    view! {
        <section class="chart plotchart" aria-labelledby=format!("{id}-title") data-testid=id>
            <header>
                <h3 id=format!("{id}-title")>{title}</h3>
                <span class="tools">
                    {control.map(|control| control.run())}
                    <TableSwitch is_table=is_table />
                </span>
            </header>
            <div hidden=move || is_table.get()>
                <p class="y-name" aria-hidden="true">{move || plot.with(|plot| plot.y_name.clone())}</p>
                <div class="canvas">
                    <div class="y-ticks" aria-hidden="true">
                        {move || plot.with(|plot| Plot::ticks(plot.y, plot.is_log_y).into_iter().map(|(at, name)| {
                            view! { <span style=format!("bottom:{:.2}%", at * 100.0)>{name}</span> }
                        }).collect_view())}
                    </div>
                    <div
                        class="plane"
                        role="img"
                        aria-label=move || plot.with(|plot| format!("{title}: {} over {}. The table holds the values.", plot.y_name, plot.x_name))
                    >
                        <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" inner_html=move || plot.with(drawing)></svg>
                    </div>
                    <div class="x-ticks" aria-hidden="true">
                        {move || plot.with(|plot| Plot::ticks(plot.x, plot.is_log_x).into_iter().map(|(at, name)| {
                            view! { <span style=format!("left:{:.2}%", at * 100.0)>{name}</span> }
                        }).collect_view())}
                    </div>
                </div>
                <p class="axis rate" aria-hidden="true">{move || plot.with(|plot| plot.x_name.clone())}</p>
                <ul class="keys">
                    {move || plot.with(|plot| plot.series.iter()
                        .filter(|series| !series.name.is_empty() && !series.points.is_empty())
                        .map(|series| view! { <li class=series.color class:line=series.is_line>{series.name.clone()}</li> })
                        .collect_view())}
                    {move || plot.with(|plot| !plot.overloads.is_empty()).then(|| view! { <li class="overload">"server overloaded"</li> })}
                </ul>
            </div>
            {move || is_table.get().then(|| plot.with(|plot| view! {
                <div class="table" tabindex="0" role="region" aria-label=format!("Table: {title}")>
                    <table>
                        <thead><tr>{plot.columns.iter().map(|name| view! { <th scope="col">{name.clone()}</th> }).collect_view()}</tr></thead>
                        <tbody>
                            {plot.rows.iter().map(|row| view! {
                                <tr>{row.iter().map(|cell| view! { <td>{cell.clone()}</td> }).collect_view()}</tr>
                            }).collect_view()}
                        </tbody>
                    </table>
                </div>
            }))}
        </section>
    }
}

/// Grid and series as vectors.
fn drawing(plot: &Plot) -> String {
    let mut out = String::from("<path class=\"overload\" d=\"");
    for ends in &plot.overloads {
        let places = ends.map(|x| plot.place((x, plot.y[0])));
        if let [Some((from, _)), Some((until, _))] = places {
            // Narrow ones must be seen too.
            out += &format!(
                "M{:.1} 0H{:.1}V{HEIGHT}H{:.1}Z",
                from * WIDTH,
                (until * WIDTH).max(from * WIDTH + 3.0),
                from * WIDTH
            );
        }
    }
    out += "\"/><path class=\"grid\" d=\"";
    for (at, _) in Plot::ticks(plot.y, plot.is_log_y) {
        out += &format!("M0 {:.1}H{WIDTH}", HEIGHT * (1.0 - at));
    }
    for (at, _) in Plot::ticks(plot.x, plot.is_log_x) {
        out += &format!("M{:.1} 0V{HEIGHT}", WIDTH * at);
    }
    out += "\"/>";
    for series in &plot.series {
        out += &path(plot, series);
    }
    out
}

fn path(plot: &Plot, series: &Series) -> String {
    let mut d = String::new();
    for point in &series.points {
        let Some((x, y)) = plot.place(*point) else { continue };
        let (x, y) = (x * WIDTH, HEIGHT * (1.0 - y));
        // A dot is a line of no length with round ends.
        let step = match (series.is_line, d.is_empty()) {
            (true, false) => format!("L{x:.1} {y:.1}"),
            (true, true) => format!("M{x:.1} {y:.1}"),
            (false, _) => format!("M{x:.1} {y:.1}h0"),
        };
        d += &step;
    }
    let kind = if series.is_line { "line" } else { "dots" };
    format!("<path class=\"{kind} {}\" d=\"{d}\"/>", series.color)
}

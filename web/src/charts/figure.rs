//! A chart model as the data and layout that Plotly takes.
//!
//! Figures are small plain JSON: they are rebuilt for every redraw, so each series, shape and label counts.
//! While a control moves, markers and labels are left out: Plotly makes an element for each and measures every text.
//! Titles of axes stand in the page, outside the figure, for the same reason.

use crate::view_model::chart::{ChartModel, Series, Style};
use plimsoll_core::report::Verdict;
use serde_json::{Value, json};

/// Colours and sizes, read from the page's style tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Theme {
    /// Text and axis titles.
    pub text: String,
    /// Tick labels and quiet lines.
    pub quiet: String,
    /// Grid lines.
    pub grid: String,
    /// The main series, the second, and the companions.
    pub series: [String; 3],
    /// Fill of the seed band.
    pub band: String,
    /// The SLO line.
    pub limit: String,
    /// The capacity line.
    pub capacity: String,
    /// Fill of backlogged and of overloaded ranges.
    pub shades: [String; 2],
    /// Background of hover labels.
    pub surface: String,
}

/// Where and how a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Width, CSS pixels.
    pub width: f64,
    /// Height, CSS pixels.
    pub height: f64,
    /// End of the rate axis in force.
    pub rate_end: f64,
    /// End of the value axis in force.
    pub value_end: f64,
    /// Whether the curve stands, so that markers and labels are worth their time.
    pub is_settled: bool,
}

/// Room around the plot, pixels: left, right, top, bottom.
const MARGINS: [u32; 4] = [44, 12, 18, 22];

/// Data, layout and configuration of one chart.
#[must_use]
pub fn figure(model: &ChartModel, theme: &Theme, frame: Frame) -> Value {
    let Frame { width, height, rate_end, value_end, is_settled } = frame;
    let mut data = Vec::new();
    for series in &model.series {
        if let Some(band) = band(series, theme) {
            data.push(band);
        }
    }
    data.extend(model.series.iter().map(|series| line(series, model.value_unit, theme, is_settled)));
    let mut shapes = Vec::new();
    let mut labels = Vec::new();
    for shade in &model.shades {
        let (fill, word) = match shade.verdict {
            Verdict::Overloaded => (&theme.shades[1], "overloaded"),
            Verdict::Backlogged => (&theme.shades[0], "backlogged"),
            Verdict::Undecided | Verdict::Stable => continue,
        };
        let (start, end) = (shade.range.0, shade.range.1.min(rate_end));
        let end = if shade.range.1 >= model.rate_end { rate_end } else { end };
        shapes.push(json!({
            "type": "rect", "layer": "below", "xref": "x", "yref": "paper",
            "x0": start, "x1": end, "y0": 0, "y1": 1, "fillcolor": fill, "line": { "width": 0 },
        }));
        // A word needs about a sixth of the chart.
        if end - start > rate_end / 6.0 {
            labels.push(label((start + end) / 2.0, "x", 0.12, "paper", word, &theme.quiet, ("center", "middle")));
        }
    }
    for limit in &model.limits {
        shapes.push(json!({
            "type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": limit.value, "y1": limit.value,
            "line": { "color": theme.limit, "width": 1.5, "dash": "dash" },
        }));
        labels.push(label(0.005, "paper", limit.value, "y", &limit.label, &theme.limit, ("left", "bottom")));
    }
    let verticals = [
        (model.saturation, "saturation", &theme.quiet, "dot", "left"),
        (model.capacity, "capacity", &theme.capacity, "solid", "right"),
    ];
    for (rate, word, color, dash, anchor) in verticals {
        let Some(rate) = rate else { continue };
        shapes.push(json!({
            "type": "line", "xref": "x", "yref": "paper", "x0": rate, "x1": rate, "y0": 0, "y1": 1,
            "line": { "color": color, "width": 1.5, "dash": dash },
        }));
        labels.push(label(rate, "x", 1.0, "paper", word, color, (anchor, "bottom")));
    }
    if !is_settled {
        labels.clear();
    }
    let [left, right, top, bottom] = MARGINS;
    json!({
        "data": data,
        "layout": {
            "width": width, "height": height, "autosize": false,
            "margin": { "l": left, "r": right, "t": top, "b": bottom },
            "paper_bgcolor": "transparent", "plot_bgcolor": "transparent",
            "font": { "family": "system-ui, sans-serif", "size": 12, "color": theme.text },
            "showlegend": false, "hovermode": "x unified", "dragmode": false,
            "hoverlabel": { "bgcolor": theme.surface, "bordercolor": theme.grid, "font": { "color": theme.text } },
            "xaxis": axis(rate_end, theme),
            "yaxis": axis(value_end, theme),
            "shapes": shapes, "annotations": labels,
        },
        "config": { "displayModeBar": false, "responsive": false, "doubleClick": false, "scrollZoom": false, "staticPlot": false },
    })
}

fn axis(end: f64, theme: &Theme) -> Value {
    json!({
        "range": [0, end], "fixedrange": true, "rangemode": "tozero", "nticks": 5,
        "gridcolor": theme.grid, "linecolor": theme.quiet, "zeroline": false, "showline": true,
        "tickfont": { "color": theme.quiet, "size": 11 }, "hoverformat": ".3~s", "automargin": false,
    })
}

fn line(series: &Series, unit: &str, theme: &Theme, has_markers: bool) -> Value {
    let (color, width, dash, symbol) = match series.style {
        Style::Main => (&theme.series[0], 2.5, "solid", Some("circle")),
        Style::Second => (&theme.series[1], 2.0, "dash", None),
        Style::Lower => (&theme.series[2], 1.2, "dot", None),
        Style::Upper => (&theme.series[2], 1.2, "longdash", None),
        Style::Reference => (&theme.quiet, 1.0, "dot", None),
    };
    let symbol = symbol.filter(|_| has_markers);
    let (rates, values) = columns(&series.points);
    let mut trace = json!({
        "type": "scatter", "mode": if symbol.is_some() { "lines+markers" } else { "lines" },
        "name": series.name, "x": rates, "y": values,
        "line": { "color": color, "width": width, "dash": dash },
        "hovertemplate": format!("%{{y}} {unit}"),
    });
    if let (Some(symbol), Some(trace)) = (symbol, trace.as_object_mut()) {
        trace.insert("marker".into(), json!({ "symbol": symbol, "size": 5, "color": color }));
    }
    if series.style == Style::Reference
        && let Some(trace) = trace.as_object_mut()
    {
        trace.insert("hoverinfo".into(), "skip".into());
        trace.remove("hovertemplate");
    }
    trace
}

/// The band over seeds as one closed outline; none where no seed differs.
fn band(series: &Series, theme: &Theme) -> Option<Value> {
    let has_width = series.band.iter().any(|(low, high)| high > low);
    if !has_width || series.band.len() != series.points.len() {
        return None;
    }
    let there = series.points.iter().zip(&series.band).map(|((rate, _), (_, high))| (*rate, *high));
    let back = series.points.iter().zip(&series.band).rev().map(|((rate, _), (low, _))| (*rate, *low));
    let (rates, values) = columns(&there.chain(back).collect::<Vec<_>>());
    Some(json!({
        "type": "scatter", "mode": "lines", "x": rates, "y": values, "fill": "toself", "fillcolor": theme.band,
        "line": { "width": 0 }, "hoverinfo": "skip", "name": "band over seeds",
    }))
}

/// Rounded to six digits: nobody sees more, and the text is half as long.
fn columns(points: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
    let short = |value: f64| format!("{value:.5e}").parse().unwrap_or(value);
    points.iter().map(|(rate, value)| (short(*rate), short(*value))).unzip()
}

fn label(x: f64, x_of: &str, y: f64, y_of: &str, text: &str, color: &str, anchor: (&str, &str)) -> Value {
    json!({
        "x": x, "xref": x_of, "y": y, "yref": y_of, "text": text, "showarrow": false,
        "xanchor": anchor.0, "yanchor": anchor.1, "font": { "color": color, "size": 11 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::view::Percentile;
    use crate::view_model::chart::{self, Chart};
    use plimsoll_core::scenario::Slo;

    fn frame(is_settled: bool) -> Frame {
        Frame { width: 400.0, height: 260.0, rate_end: 25.0, value_end: 1000.0, is_settled }
    }

    fn ttft() -> Value {
        let model = chart::model(Chart::Ttft, &chart::tests::curve(), &Slo::default(), Percentile::Slo);
        figure(&model, &Theme::default(), frame(true))
    }

    #[test]
    fn series_differ_by_dash_and_marker() {
        let figure = ttft();
        let looks: std::collections::BTreeSet<String> = figure["data"]
            .as_array()
            .expect("data")
            .iter()
            .filter(|trace| trace.get("fill").is_none())
            .map(|trace| format!("{}{}", trace["line"]["dash"], trace["marker"]["symbol"]))
            .collect();
        assert_eq!(looks.len(), 3);
    }

    #[test]
    fn lines_limits_and_verdicts_are_all_there() {
        let figure = ttft();
        let texts: Vec<&str> = figure["layout"]["annotations"]
            .as_array()
            .expect("labels")
            .iter()
            .filter_map(|label| label["text"].as_str())
            .collect();
        assert_eq!(texts, ["backlogged", "overloaded", "SLO p95 ≤ 500 ms", "saturation", "capacity"]);
        assert_eq!(figure["layout"]["xaxis"]["range"][1], 25.0);
        assert_eq!(figure["data"][0]["fill"], "toself");
        assert_eq!(figure["data"][0]["x"].as_array().map(Vec::len), Some(6));
    }

    #[test]
    fn a_moving_curve_is_lines_bands_and_limits_alone() {
        let model = chart::model(Chart::Ttft, &chart::tests::curve(), &Slo::default(), Percentile::Slo);
        let (moving, settled) = (figure(&model, &Theme::default(), frame(false)), ttft());
        assert_eq!(moving["layout"]["annotations"].as_array().map(Vec::len), Some(0));
        assert_eq!(moving["layout"]["shapes"], settled["layout"]["shapes"]);
        assert!(moving["data"].as_array().expect("data").iter().all(|trace| trace["mode"] == "lines"));
    }
}

//! A chart model as the data and layout that Plotly takes.
//!
//! A figure has the same traces whatever the curve shows: what is absent has no points.
//! So from curve to curve only points are exchanged, and Plotly leaves axes and grid alone, which cost the most.
//! Limits, verdict ranges and their labels are drawn by [`super::marks`], titles of axes stand in the page: what
//! Plotly need not know, it need not redraw.

use crate::view_model::chart::{Chart, ChartModel, Series, Style};
use plimsoll_json::decimal;
use plimsoll_json::{Owned as Value, json};

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
    /// Background of hover labels.
    pub surface: String,
}

/// Where and how a chart is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Frame {
    /// Left and top edge inside the drawing that holds all charts, CSS pixels.
    pub place: (f64, f64),
    /// Width, CSS pixels.
    pub width: f64,
    /// Height, CSS pixels.
    pub height: f64,
    /// End of the rate axis in force.
    pub rate_end: f64,
    /// End of the value axis in force.
    pub value_end: f64,
}

/// All charts as one drawing, in the parts that change at different times.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Looks of the traces, without points.
    looks: Vec<Value>,
    /// Points of the traces, in the same order.
    columns: Vec<Columns>,
    /// Axes, size and colours.
    layout: Value,
}

/// Rates and values; a gap is a missing pair.
type Columns = (Vec<Option<f64>>, Vec<Option<f64>>);

impl Figure {
    /// Whether nothing but points tells it from another.
    #[must_use]
    pub fn has_frame_of(&self, other: &Figure) -> bool {
        self.looks == other.looks && self.layout == other.layout
    }

    /// Data, layout and configuration, to be drawn anew.
    #[must_use]
    pub fn whole(&self) -> Value {
        let data: Vec<Value> = self
            .looks
            .iter()
            .zip(&self.columns)
            .map(|(looks, (rates, values))| {
                let mut trace = looks.clone();
                trace.insert("x", rates.clone().into());
                trace.insert("y", values.clone().into());
                trace
            })
            .collect();
        json!({
            "data": data, "layout": self.layout.clone(),
            "config": { "displayModeBar": false, "responsive": false, "doubleClick": false, "scrollZoom": false, "staticPlot": false },
        })
    }

    /// The points alone, for a figure with this frame that stands already.
    #[must_use]
    pub fn motion(&self) -> Value {
        let data: Vec<Value> =
            self.columns.iter().map(|(rates, values)| json!({ "x": rates.clone(), "y": values.clone() })).collect();
        let traces: Vec<u32> = (0..).take(data.len()).collect();
        json!({ "data": data, "traces": traces })
    }
}

/// Room around a plot inside its frame, pixels: left, right, top, bottom.
pub const MARGINS: [u32; 4] = [44, 12, 18, 22];

/// Axes of the charts, as Plotly names them in its layout and in its traces.
const AXES: [[&str; 4]; Chart::ALL.len()] = [
    ["xaxis", "yaxis", "x", "y"],
    ["xaxis2", "yaxis2", "x2", "y2"],
    ["xaxis3", "yaxis3", "x3", "y3"],
    ["xaxis4", "yaxis4", "x4", "y4"],
];

/// The charts, each in its frame, inside a drawing of this width and height.
#[must_use]
pub fn figure(charts: &[(ChartModel, Frame)], theme: &Theme, (width, height): (f64, f64)) -> Figure {
    let (mut looks, mut columns) = (Vec::new(), Vec::new());
    let mut layout = json!({
        "width": width, "height": height, "autosize": false,
        "margin": { "l": 0, "r": 0, "t": 0, "b": 0 },
        "paper_bgcolor": "transparent", "plot_bgcolor": "transparent",
        "font": { "family": "system-ui, sans-serif", "size": 12, "color": &theme.text },
        "showlegend": false, "hovermode": "x unified", "dragmode": false,
        "hoverlabel": { "bgcolor": &theme.surface, "bordercolor": &theme.grid, "font": { "color": &theme.text } },
    });
    let [left, right, top, bottom] = MARGINS.map(f64::from);
    for ((model, frame), [x_axis, y_axis, x, y]) in charts.iter().zip(AXES) {
        let mut add = |mut look: Value, points: Columns| {
            look.insert("xaxis", x.into());
            look.insert("yaxis", y.into());
            looks.push(look);
            columns.push(points);
        };
        for series in model.series.iter().filter(|series| series.has_band) {
            add(area(&theme.band), spread(band(series)));
        }
        for series in &model.series {
            add(line(series, model.value_unit, theme), spread(series.points.iter().copied().map(Some)));
        }
        // Plotly counts shares of the drawing, from below upwards.
        let share = |from: f64, to: f64, whole: f64| [(from / whole).clamp(0.0, 1.0), (to / whole).clamp(0.0, 1.0)];
        let across = share(frame.place.0 + left, frame.place.0 + frame.width - right, width);
        let floor = height - frame.place.1 - frame.height + bottom;
        let up = share(floor, height - frame.place.1 - top, height);
        layout.insert(x_axis, axis(frame.rate_end, y, across, theme));
        layout.insert(y_axis, axis(frame.value_end, x, up, theme));
    }
    Figure { looks, columns, layout }
}

fn axis(end: f64, anchor: &str, domain: [f64; 2], theme: &Theme) -> Value {
    json!({
        "range": [0, end], "anchor": anchor, "domain": domain.to_vec(), "fixedrange": true, "rangemode": "tozero", "nticks": 5,
        "gridcolor": &theme.grid, "linecolor": &theme.quiet, "zeroline": false, "showline": true,
        "tickfont": { "color": &theme.quiet, "size": 11 }, "hoverformat": ".3~s", "automargin": false,
    })
}

fn line(series: &Series, unit: &str, theme: &Theme) -> Value {
    let (color, width, dash, symbol) = match series.style {
        Style::Main => (&theme.series[0], 2.5, "solid", Some("circle")),
        Style::Second => (&theme.series[1], 2.0, "dash", None),
        Style::Lower => (&theme.series[2], 1.2, "dot", None),
        Style::Upper => (&theme.series[2], 1.2, "longdash", None),
        Style::Reference => (&theme.quiet, 1.0, "dot", None),
    };
    let mut trace = json!({
        "type": "scatter", "mode": if symbol.is_some() { "lines+markers" } else { "lines" },
        "name": &series.name,
        "line": { "color": color, "width": width, "dash": dash },
    });
    if let Some(symbol) = symbol {
        trace.insert("marker", json!({ "symbol": symbol, "size": 5, "color": color }));
    }
    if series.style == Style::Reference {
        trace.insert("hoverinfo", "skip".into());
    } else {
        trace.insert("hovertemplate", format!("%{{y}} {unit}").into());
    }
    trace
}

/// A filled outline without hover.
fn area(fill: &str) -> Value {
    json!({
        "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": fill, "line": { "width": 0 },
        "hoverinfo": "skip", "name": "band over seeds",
    })
}

/// The band over seeds as one closed outline; nothing where no seed differs.
fn band(series: &Series) -> Vec<Option<(f64, f64)>> {
    let has_width = series.band.iter().any(|(low, high)| high > low);
    if !has_width || series.band.len() != series.points.len() {
        return Vec::new();
    }
    let there = series.points.iter().zip(&series.band).map(|((rate, _), (_, high))| (*rate, *high));
    let back = series.points.iter().zip(&series.band).rev().map(|((rate, _), (low, _))| (*rate, *low));
    there.chain(back).map(Some).collect()
}

/// Points as columns, rounded to six digits: nobody sees more, and the text is half as long.
///
/// No points become one gap, because Plotly takes a trace without any for one that is not there.
fn spread(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> Columns {
    let short = |value: f64| decimal::read(&format!("{value:.5e}")).unwrap_or(value);
    let (mut rates, mut values): Columns = points
        .into_iter()
        .map(|point| (point.map(|(rate, _)| short(rate)), point.map(|(_, value)| short(value))))
        .unzip();
    if rates.is_empty() {
        rates.push(None);
        values.push(None);
    }
    (rates, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view_model::chart;
    use plimsoll_core::curve::Curve;
    use plimsoll_core::scenario::Slo;
    use plimsoll_protocol::view::Percentile;

    const SIZE: (f64, f64) = (1000.0, 500.0);

    fn frame() -> Frame {
        Frame { place: (0.0, 0.0), width: 400.0, height: 240.0, rate_end: 25.0, value_end: 1000.0 }
    }

    /// As Plotly is given it.
    fn given(value: &Value) -> serde_json::Value {
        serde_json::from_str(&value.to_string()).expect("JSON")
    }

    fn ttft() -> ChartModel {
        chart::model(Chart::Ttft, &chart::tests::curve(), &Slo::default(), Percentile::Slo)
    }

    fn drawn(charts: &[(ChartModel, Frame)]) -> Figure {
        figure(charts, &Theme::default(), SIZE)
    }

    #[test]
    fn series_differ_by_dash_and_marker() {
        let looks: std::collections::BTreeSet<String> = drawn(&[(ttft(), frame())])
            .looks
            .iter()
            .map(given)
            .filter(|trace| trace.get("hovertemplate").is_some())
            .map(|trace| format!("{}{}", trace["line"]["dash"], trace["marker"]["symbol"]))
            .collect();
        assert_eq!(looks.len(), 3);
    }

    #[test]
    fn the_band_is_an_outline_below_the_lines() {
        let whole = given(&drawn(&[(ttft(), frame())]).whole());
        assert_eq!(whole["layout"]["xaxis"]["range"][1], 25.0);
        assert_eq!(whole["data"][0]["name"], "band over seeds");
        assert_eq!(whole["data"][0]["x"].as_array().map(Vec::len), Some(6), "there and back over three points");
    }

    #[test]
    fn each_chart_stands_at_its_place_with_axes_of_its_own() {
        let second = Frame { place: (500.0, 260.0), ..frame() };
        let whole = given(&drawn(&[(ttft(), frame()), (ttft(), second)]).whole());
        let layout = &whole["layout"];
        // 44 pixels for the numbers left of the plot and 12 right of it, of 1000; 18 above and 22 below, of 500.
        assert_eq!(layout["xaxis"]["domain"], serde_json::json!([0.044, 0.388]));
        assert_eq!(layout["yaxis"]["domain"], serde_json::json!([0.564, 0.964]));
        assert_eq!(layout["xaxis2"]["domain"], serde_json::json!([0.544, 0.888]));
        assert_eq!(layout["yaxis2"]["domain"], serde_json::json!([0.044, 0.444]));
        assert_eq!(layout["yaxis2"]["anchor"], "x2");
        let last = whole["data"].as_array().and_then(|data| data.last()).expect("a trace");
        assert_eq!((&last["xaxis"], &last["yaxis"]), (&serde_json::json!("x2"), &serde_json::json!("y2")));
    }

    #[test]
    fn a_moving_curve_changes_points_alone() {
        let mut curve = chart::tests::curve();
        let standing = drawn(&[(ttft(), frame())]);
        curve.points.truncate(1);
        let model = |curve: &Curve| chart::model(Chart::Ttft, curve, &Slo::default(), Percentile::Slo);
        let moved = drawn(&[(model(&curve), frame())]);
        assert!(moved.has_frame_of(&standing));
        let motion = given(&moved.motion());
        assert_eq!(motion["traces"].as_array().map(Vec::len), Some(standing.looks.len()));
        curve.points.clear();
        let empty = drawn(&[(model(&curve), frame())]);
        assert_eq!(
            given(&empty.motion())["data"][0],
            serde_json::json!({ "x": [null], "y": [null] }),
            "Plotly keeps the trace"
        );
        let wider = drawn(&[(model(&curve), Frame { rate_end: 50.0, ..frame() })]);
        assert!(!wider.has_frame_of(&standing), "another axis is another frame");
    }
}

//! Charts as tables, for reading values and for readers without eyes on the chart.

use super::chart::{Chart, has_steady_latency, verdict_word};
use super::format;
use plimsoll_core::curve::{Band, ClassPoint, Curve, CurvePoint, LatencyBands};

/// A table of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it shows, one sentence.
    pub caption: String,
    /// Column headings with units.
    pub columns: Vec<&'static str>,
    /// Cells by row; the first is the row's heading.
    pub rows: Vec<Vec<String>>,
}

/// The table of a chart.
#[must_use]
pub fn table(chart: Chart, curve: &Curve) -> Table {
    let points = curve.points.iter().filter(|point| point.num_seeds > 0);
    let latency = |metric: fn(&CurvePoint) -> &LatencyBands| -> Vec<Vec<String>> {
        points.clone().map(|point| latency_row(point, metric(point))).collect()
    };
    let latency_columns =
        vec!["req/s", "verdict", "mean, ms", "p50, ms", "p90, ms", "p95, ms", "p99, ms", "p95 over seeds, ms"];
    match chart {
        Chart::Ttft => Table { caption: caption(chart), columns: latency_columns, rows: latency(|point| &point.ttft) },
        Chart::E2e => Table { caption: caption(chart), columns: latency_columns, rows: latency(|point| &point.e2e) },
        Chart::Tpot => Table {
            caption: caption(chart),
            columns: vec![
                "req/s",
                "verdict",
                "TPOT mean, ms",
                "TPOT p50, ms",
                "TPOT p95, ms",
                "TPOT p99, ms",
                "ITL p50, ms",
                "ITL p95, ms",
                "ITL p99, ms",
            ],
            rows: points
                .map(|point| {
                    let steady = has_steady_latency(point);
                    let bands = [
                        point.tpot.mean,
                        point.tpot.p50,
                        point.tpot.p95,
                        point.tpot.p99,
                        point.itl.p50,
                        point.itl.p95,
                        point.itl.p99,
                    ];
                    head(point)
                        .into_iter()
                        .chain(bands.into_iter().map(|band| latency_cell(steady, band.mid)))
                        .collect()
                })
                .collect(),
        },
        Chart::Throughput => Table {
            caption: caption(chart),
            columns: vec![
                "req/s",
                "verdict",
                "completed, req/s",
                "over seeds, req/s",
                "goodput, req/s",
                "attainment",
                "output, tokens/s",
            ],
            rows: points
                .map(|point| {
                    let steady = |cell: String| if has_steady_latency(point) { cell } else { "–".into() };
                    let cells = [
                        format::rate(point.request_throughput.mid),
                        range(point.request_throughput),
                        steady(format::rate(point.goodput.mid)),
                        steady(attainment(point)),
                        format::number(point.output_token_throughput.mid, 4),
                    ];
                    head(point).into_iter().chain(cells).collect()
                })
                .collect(),
        },
    }
}

/// The share of all requests, and of each class where classes have limits of their own.
fn attainment(point: &CurvePoint) -> String {
    let class = |class: &ClassPoint| format!("{} {}", class.name, format::percent(class.attainment.mid));
    let classes: Vec<String> = point.classes.iter().map(class).collect();
    let all = format::percent(point.attainment.mid);
    if classes.is_empty() { all } else { format!("{all} ({})", classes.join(", ")) }
}

fn caption(chart: Chart) -> String {
    format!("{} by request rate. {}", chart.title(), chart.help())
}

fn head(point: &CurvePoint) -> [String; 2] {
    [format::rate(point.request_rate), verdict_word(point.verdict).to_owned()]
}

fn latency_row(point: &CurvePoint, bands: &LatencyBands) -> Vec<String> {
    let steady = has_steady_latency(point);
    let cells = [bands.mean, bands.p50, bands.p90, bands.p95, bands.p99].map(|band| latency_cell(steady, band.mid));
    let over_seeds = if steady { range(bands.p95) } else { "–".into() };
    head(point).into_iter().chain(cells).chain([over_seeds]).collect()
}

/// Overload has no latency to show, nor who attains: they would change with the length of the run.
fn latency_cell(is_steady: bool, ms: f64) -> String {
    if is_steady { format::number(ms, 3) } else { "–".into() }
}

fn range(band: Band) -> String {
    format!("{} – {}", format::number(band.low, 3), format::number(band.high, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view_model::chart::tests::curve;

    #[test]
    fn every_row_has_a_cell_for_every_column() {
        for chart in Chart::ALL {
            let table = table(chart, &curve());
            assert_eq!(table.rows.len(), 5);
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{table:?}");
        }
    }

    #[test]
    fn classes_with_limits_of_their_own_are_told_beside_the_whole() {
        let mut curve = curve();
        let class = |name: &str, mid: f64| ClassPoint {
            name: name.into(),
            attainment: Band { mid, ..Band::default() },
            meets_slo: true,
        };
        curve.points[0].classes = vec![class("batch", 1.0), class("critical", 0.5)];
        let table = table(Chart::Throughput, &curve);
        let cell = |row: usize| table.rows[row][5].replace('\u{a0}', " ");
        assert_eq!((cell(0).as_str(), cell(1).as_str()), ("97 % (batch 100 %, critical 50 %)", "97 %"));
    }

    #[test]
    fn overload_has_a_verdict_and_no_latency() {
        let table = table(Chart::Ttft, &curve());
        assert_eq!(table.rows[1], ["10.0", "stable", "60.0", "48.0", "96.0", "120", "240", "108 – 132"]);
        assert_eq!(table.rows[4], ["25.0", "overloaded", "–", "–", "–", "–", "–", "–"]);
        let table = super::table(Chart::Throughput, &curve());
        assert_eq!(table.rows[4][4..6], ["–", "–"]);
        assert!(table.rows[..3].iter().all(|row| row[4..6].iter().all(|cell| cell != "–")));
    }
}

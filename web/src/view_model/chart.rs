//! A curve as charts: what is drawn where, in which words; colours and pixels come later.

use super::format;
use plimsoll_core::curve::{Band, Curve, CurvePoint, LatencyBands};
use plimsoll_core::report::Verdict;
use plimsoll_core::scenario::Slo;
use plimsoll_protocol::view::Percentile;

/// One of the charts over request rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    /// Time to first token.
    Ttft,
    /// Time per output token and inter-token latency.
    Tpot,
    /// End-to-end latency.
    E2e,
    /// Throughput and goodput.
    Throughput,
}

/// How a series is told from the others, without regard to its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The main line: solid, with markers.
    Main,
    /// A second quantity: dashed.
    Second,
    /// A lower companion: dotted, thin.
    Lower,
    /// An upper companion: long dashes, thin.
    Upper,
    /// What was asked for, for comparison: thin dots without markers.
    Reference,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// How it is drawn.
    pub style: Style,
    /// Rate and value by ascending rate.
    pub points: Vec<(f64, f64)>,
    /// Whether a band over seeds belongs to it.
    pub has_band: bool,
    /// Lowest and highest over seeds at the same rates; empty without a band.
    pub band: Vec<(f64, f64)>,
}

/// A horizontal limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Words at the line.
    pub label: String,
    /// Where it lies.
    pub value: f64,
}

/// A range of rates with a verdict worse than stable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shade {
    /// First and last rate.
    pub range: (f64, f64),
    /// The verdict.
    pub verdict: Verdict,
}

/// What one chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartModel {
    /// Which chart.
    pub chart: Chart,
    /// Unit of the values: title of the axis, and behind values in hover texts.
    pub value_unit: &'static str,
    /// The lines.
    pub series: Vec<Series>,
    /// Limits of the SLO.
    pub limits: Vec<Limit>,
    /// Verdict shading.
    pub shades: Vec<Shade>,
    /// Capacity under the SLO.
    pub capacity: Option<f64>,
    /// Saturation point.
    pub saturation: Option<f64>,
    /// The rate at which a replayed trace was recorded.
    pub recorded: Option<f64>,
    /// Highest value worth showing; lines may leave the chart at the top.
    pub value_end: f64,
    /// Highest rate of the axis.
    pub rate_end: f64,
}

impl Chart {
    /// All charts in the order shown.
    pub const ALL: [Chart; 4] = [Chart::Ttft, Chart::Tpot, Chart::E2e, Chart::Throughput];

    /// Heading of the chart.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Chart::Ttft => "Time to first token (TTFT)",
            Chart::Tpot => "Time per output token (TPOT) and ITL",
            Chart::E2e => "End-to-end latency (E2E)",
            Chart::Throughput => "Throughput and goodput",
        }
    }

    /// Stable name in the document.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Chart::Ttft => "ttft",
            Chart::Tpot => "tpot",
            Chart::E2e => "e2e",
            Chart::Throughput => "throughput",
        }
    }

    /// Unit of the chart's values.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Chart::Ttft | Chart::Tpot => "ms",
            Chart::E2e => "s",
            Chart::Throughput => "req/s",
        }
    }

    /// Factor from the curve's values to the chart's.
    fn factor(self) -> f64 {
        if self == Chart::E2e { 1e-3 } else { 1.0 }
    }

    /// What the chart measures, one or two sentences.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Chart::Ttft => "Arrival to first output token, queueing included.",
            Chart::Tpot => {
                "TPOT: per request, (end-to-end − TTFT) ÷ (output tokens − 1), as vLLM's benchmark counts it. \
                 ITL: every single gap between output tokens, all requests pooled."
            }
            Chart::E2e => "Arrival to last output token.",
            Chart::Throughput => {
                "Completed requests per second of the measured window, and those of them that attain the SLO (goodput), \
                 which in overload depends on how long it lasts. Rates of longer runs are in the table only."
            }
        }
    }
}

/// The statistic of a metric that the selector asks for.
#[must_use]
pub fn pick(bands: &LatencyBands, percentile: Percentile) -> Band {
    match percentile {
        Percentile::Mean => bands.mean,
        Percentile::P50 => bands.p50,
        Percentile::P90 => bands.p90,
        Percentile::P95 => bands.p95,
        Percentile::P99 => bands.p99,
        Percentile::Slo => bands.slo,
    }
}

/// What a chart shows of a curve.
#[must_use]
pub fn model(chart: Chart, curve: &Curve, slo: &Slo, percentile: Percentile) -> ChartModel {
    let [_, axis_end] = curve.range_per_s;
    let last_rate = curve.points.last().map_or(1.0, |point| point.request_rate);
    let rate_end = if axis_end > 0.0 { axis_end } else { last_rate };
    let label = percentile.label(slo.percentile);
    let mut series = match chart {
        Chart::Ttft => latency_series(curve, percentile, &label, |point| &point.ttft),
        Chart::Tpot => {
            let mut series =
                vec![banded(curve, format!("TPOT {label}"), Style::Main, |point| pick(&point.tpot, percentile))];
            series.push(plain(curve, format!("ITL {label}"), Style::Second, |point| pick(&point.itl, percentile)));
            series.push(plain(curve, "TPOT mean".into(), Style::Lower, |point| point.tpot.mean));
            series
        }
        Chart::E2e => latency_series(curve, percentile, &label, |point| &point.e2e),
        Chart::Throughput => vec![
            collect(joined(curve), "completed".into(), Style::Main, true, |point| point.request_throughput),
            collect(
                joined(curve).filter(|point| has_steady_latency(point)),
                "goodput".into(),
                Style::Second,
                true,
                |point| point.goodput,
            ),
            Series {
                name: "offered".into(),
                style: Style::Reference,
                points: vec![(0.0, 0.0), (rate_end, rate_end)],
                has_band: false,
                band: Vec::new(),
            },
        ],
    };
    let factor = chart.factor();
    for series in &mut series {
        series.points.iter_mut().for_each(|(_, value)| *value *= factor);
        series.band.iter_mut().for_each(|(low, high)| (*low, *high) = (*low * factor, *high * factor));
    }
    let limits = limits(chart, slo);
    let value_end = value_end(chart, &series, &limits);
    ChartModel {
        chart,
        value_unit: chart.unit(),
        series,
        limits,
        shades: shades(curve, rate_end),
        capacity: curve.capacity.map(|capacity| capacity.request_rate).filter(|rate| *rate > 0.0),
        saturation: curve.saturation.filter(|found| found.next_failing_rate.is_some()).map(|found| found.request_rate),
        recorded: curve.recorded_rate,
        value_end,
        rate_end,
    }
}

/// The series' name as a word for what its verdict means to a reader.
#[must_use]
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stable => "stable",
        Verdict::Undecided => "undecided",
        Verdict::Backlogged => "backlogged",
        Verdict::Overloaded => "overloaded",
    }
}

/// The points that are joined by a line.
fn joined(curve: &Curve) -> impl Iterator<Item = &CurvePoint> {
    curve.points.iter().filter(|point| point.num_seeds > 0)
}

/// Whether a latency at this point, and what is made of it, is a steady state and may be drawn as one.
#[must_use]
pub fn has_steady_latency(point: &CurvePoint) -> bool {
    point.verdict != Verdict::Overloaded && point.num_seeds > 0
}

/// A companion drawn beside the statistic asked for: name, style, what it shows.
type Companion = (&'static str, Style, fn(&LatencyBands) -> Band);

fn latency_series(
    curve: &Curve,
    percentile: Percentile,
    label: &str,
    metric: fn(&CurvePoint) -> &LatencyBands,
) -> Vec<Series> {
    let mut series = vec![banded(curve, label.to_owned(), Style::Main, |point| pick(metric(point), percentile))];
    let companions: [Companion; 2] =
        [("p50", Style::Lower, |bands| bands.p50), ("p99", Style::Upper, |bands| bands.p99)];
    for (name, style, statistic) in companions {
        if name != label {
            series.push(plain(curve, name.to_owned(), style, |point| statistic(metric(point))));
        }
    }
    series
}

fn banded(curve: &Curve, name: String, style: Style, value: impl Fn(&CurvePoint) -> Band) -> Series {
    steady(curve, name, style, true, value)
}

fn plain(curve: &Curve, name: String, style: Style, value: impl Fn(&CurvePoint) -> Band) -> Series {
    steady(curve, name, style, false, value)
}

fn steady(curve: &Curve, name: String, style: Style, has_band: bool, value: impl Fn(&CurvePoint) -> Band) -> Series {
    collect(curve.points.iter().filter(|point| has_steady_latency(point)), name, style, has_band, value)
}

fn collect<'a>(
    points: impl Iterator<Item = &'a CurvePoint>,
    name: String,
    style: Style,
    has_band: bool,
    value: impl Fn(&CurvePoint) -> Band,
) -> Series {
    let mut series = Series { name, style, points: Vec::new(), has_band, band: Vec::new() };
    for point in points {
        let band = value(point);
        series.points.push((point.request_rate, band.mid));
        if has_band {
            series.band.push((band.low, band.high));
        }
    }
    series
}

fn limits(chart: Chart, slo: &Slo) -> Vec<Limit> {
    let limit = |name: &str, value: Option<f64>| {
        value.map(|value| Limit {
            label: format!("SLO {name}p{} ≤ {}", slo.percentile, format::limit_milliseconds(value)),
            value: value * chart.factor(),
        })
    };
    let found = match chart {
        Chart::Ttft => vec![limit("", slo.ttft_ms)],
        Chart::Tpot => vec![limit("TPOT ", slo.tpot_ms), limit("ITL ", slo.itl_ms)],
        Chart::E2e => vec![limit("", slo.e2e_ms)],
        Chart::Throughput => Vec::new(),
    };
    found.into_iter().flatten().collect()
}

/// The top of the chart: a little above the limit, or the main line where there is none.
///
/// Near saturation latencies differ by orders of magnitude; what leaves the chart at the top has missed the limit by far.
fn value_end(chart: Chart, series: &[Series], limits: &[Limit]) -> f64 {
    let highest = |wanted: &dyn Fn(&Series) -> bool| {
        series
            .iter()
            .filter(|series| wanted(series))
            .flat_map(|series| series.points.iter().map(|(_, value)| *value))
            .fold(0.0_f64, f64::max)
    };
    if chart == Chart::Throughput {
        return highest(&|series| series.style != Style::Reference) * 1.15;
    }
    let main = highest(&|series| series.style == Style::Main || series.style == Style::Second);
    let limit = limits.iter().map(|limit| limit.value).fold(0.0_f64, f64::max);
    if limit > 0.0 { (main * 1.08).clamp(limit * 1.25, limit * 2.0) } else { main * 1.08 }
}

/// Ranges of rates whose verdict is not stable; borders lie halfway between points.
fn shades(curve: &Curve, rate_end: f64) -> Vec<Shade> {
    let points: Vec<&CurvePoint> = curve.points.iter().filter(|point| point.num_seeds > 0).collect();
    let mut shades: Vec<Shade> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let halfway = |other: Option<&&CurvePoint>, edge: f64| {
            other.map_or(edge, |other| (other.request_rate + point.request_rate) / 2.0)
        };
        let start = halfway(index.checked_sub(1).and_then(|before| points.get(before)), 0.0);
        let end = halfway(points.get(index + 1), rate_end.max(point.request_rate));
        match shades.last_mut() {
            Some(last) if last.verdict == point.verdict => last.range.1 = end,
            _ => shades.push(Shade { range: (start, end), verdict: point.verdict }),
        }
    }
    shades.retain(|shade| shade.verdict != Verdict::Stable);
    shades
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use plimsoll_core::curve::Capacity;
    use plimsoll_core::report::LimiterShares;
    use plimsoll_protocol::EngineLimits;

    pub(crate) fn engine() -> EngineLimits {
        EngineLimits { num_blocks: 26_112, block_size: 16, max_num_seqs: 256, max_num_batched_tokens: 2048 }
    }

    pub(crate) fn point(request_rate: f64, verdict: Verdict, ttft_ms: f64) -> CurvePoint {
        let band = |mid: f64| Band { low: mid * 0.9, mid, high: mid * 1.1 };
        let latency = |mid: f64| LatencyBands {
            mean: band(mid * 0.5),
            p50: band(mid * 0.4),
            p90: band(mid * 0.8),
            p95: band(mid),
            p99: band(mid * 2.0),
            slo: band(mid),
        };
        CurvePoint {
            request_rate,
            verdict,
            meets_slo: verdict == Verdict::Stable && ttft_ms <= 500.0,
            num_seeds: 3,
            is_settled: true,
            ttft: latency(ttft_ms),
            tpot: latency(ttft_ms / 20.0),
            itl: latency(ttft_ms / 25.0),
            e2e: latency(ttft_ms * 20.0),
            request_throughput: band(request_rate),
            output_token_throughput: band(request_rate * 512.0),
            goodput: band(request_rate * 0.97),
            attainment: band(0.97),
            classes: Vec::new(),
            mean_running: request_rate * 4.0,
            mean_waiting: 0.5,
            kv_usage: 0.3,
            preemptions_per_request: 0.0,
            prefix_hit_ratio: 0.0,
            limiters: LimiterShares { none: 1.0, ..LimiterShares::default() },
            time_shares: Vec::new(),
        }
    }

    pub(crate) fn curve() -> Curve {
        let found = |request_rate: f64| Capacity {
            request_rate,
            next_failing_rate: Some(request_rate * 1.025),
            next_failing_verdict: Some(Verdict::Overloaded),
            band: [request_rate * 0.98, request_rate * 1.01],
            is_final: true,
            is_settled: true,
        };
        Curve {
            points: vec![
                point(5.0, Verdict::Stable, 40.0),
                point(10.0, Verdict::Stable, 120.0),
                point(15.0, Verdict::Backlogged, 900.0),
                point(20.0, Verdict::Overloaded, 60_000.0),
                point(25.0, Verdict::Overloaded, 90_000.0),
            ],
            range_per_s: [1.0, 25.0],
            saturation: Some(found(12.0)),
            capacity: Some(found(11.0)),
            is_complete: true,
            ..Curve::default()
        }
    }

    #[test]
    fn overload_is_shaded_and_its_latency_is_not_drawn() {
        let model = model(Chart::Ttft, &curve(), &Slo::default(), Percentile::Slo);
        let main = &model.series[0];
        assert_eq!(main.points.iter().map(|(rate, _)| *rate).collect::<Vec<_>>(), [5.0, 10.0, 15.0]);
        assert_eq!(main.band[1], (108.0, 132.0));
        assert_eq!(
            model.shades,
            [
                Shade { range: (12.5, 17.5), verdict: Verdict::Backlogged },
                Shade { range: (17.5, 25.0), verdict: Verdict::Overloaded },
            ]
        );
        assert_eq!((model.capacity, model.saturation), (Some(11.0), Some(12.0)));
    }

    #[test]
    fn throughput_in_overload_is_a_steady_state_and_is_drawn() {
        let model = model(Chart::Throughput, &curve(), &Slo::default(), Percentile::Slo);
        assert_eq!(model.series[0].points.len(), 5);
        // Who attains depends on how long the overload lasts.
        assert_eq!(model.series[1].points.len(), 3);
        assert_eq!(model.series[2].points, [(0.0, 0.0), (25.0, 25.0)]);
    }

    #[test]
    fn the_limit_is_named_and_inside_the_chart() {
        let model = model(Chart::Ttft, &curve(), &Slo::default(), Percentile::Slo);
        assert_eq!(model.limits, [Limit { label: "SLO p95 ≤ 500 ms".into(), value: 500.0 }]);
        assert!(model.value_end > 500.0 && model.value_end <= 1000.0, "{}", model.value_end);
    }

    #[test]
    fn the_selector_governs_the_main_line_and_is_not_drawn_twice() {
        let slo = Slo::default();
        let names = |percentile| -> Vec<String> {
            model(Chart::E2e, &curve(), &slo, percentile).series.into_iter().map(|series| series.name).collect()
        };
        assert_eq!(names(Percentile::Slo), ["p95", "p50", "p99"]);
        assert_eq!(names(Percentile::P99), ["p99", "p50"]);
    }

    #[test]
    fn a_point_without_a_told_seed_is_not_drawn() {
        let mut curve = curve();
        curve.points[0].num_seeds = 0;
        let model = model(Chart::Throughput, &curve, &Slo::default(), Percentile::Slo);
        assert_eq!(model.series[0].points[0].0, 10.0);
    }
}

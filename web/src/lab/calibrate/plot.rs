//! What the tab's charts show, as points; drawing them is another matter.

use crate::view_model::format;
use plimsoll_core::calibrate::{RequestPoint, RunReport};

/// Names of the compared metrics, in the order of [`RequestPoint`].
pub const METRICS: [&str; 3] = ["TTFT", "TPOT", "E2E"];

/// Most rows of a chart's table.
const MAX_ROWS: usize = 200;

/// A chart of points and lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plot {
    /// What the horizontal axis measures.
    pub x_name: String,
    /// What the vertical axis measures.
    pub y_name: String,
    /// Whether the horizontal axis is logarithmic.
    pub is_log_x: bool,
    /// Whether the vertical axis is logarithmic.
    pub is_log_y: bool,
    /// Range of the horizontal axis.
    pub x: [f64; 2],
    /// Range of the vertical axis.
    pub y: [f64; 2],
    /// Stretches of the horizontal axis in which a server was overloaded, behind everything.
    pub overloads: Vec<[f64; 2]>,
    /// What is drawn, back to front.
    pub series: Vec<Series>,
    /// Heads of the columns of the table.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

/// Points or a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend; empty for a line that needs none.
    pub name: String,
    /// Which color of the style sheet: `measured`, `predicted`, `held-out`, `reference`.
    pub color: &'static str,
    /// Whether the points are joined.
    pub is_line: bool,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// Where a point lies, 0–1 from the left and from below; none outside the axes.
    #[must_use]
    pub fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((share(x, self.x, self.is_log_x)?, share(y, self.y, self.is_log_y)?))
    }

    /// Ticks of an axis: where, 0–1, and their names.
    #[must_use]
    pub fn ticks(range: [f64; 2], is_log: bool) -> Vec<(f64, String)> {
        let [low, high] = range;
        let mut values = Vec::new();
        if is_log {
            let mut power = 10f64.powf(low.max(1e-9).log10().floor());
            while power <= high && values.len() < 12 {
                values.push(power);
                power *= 10.0;
            }
            values.retain(|value| *value >= low);
            if values.len() < 3 {
                // A decade or two: with steps of 2 and 5, or of a tenth where even these are too far apart.
                let decades = values.first().map_or(low, |first| first / 10.0);
                let start = 10f64.powf(decades.min(low).max(1e-9).log10().floor());
                let fine = |steps: &[f64]| -> Vec<f64> {
                    let all = (0..4).flat_map(|power| steps.iter().map(move |step| start * step * 10f64.powi(power)));
                    all.filter(|value| (low..=high).contains(value)).collect()
                };
                let steps: [&[f64]; 4] = [
                    &[1.0, 2.0, 5.0],
                    &[1.0, 2.0, 3.0, 5.0, 7.0],
                    &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
                    &[
                        1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0,
                        8.0, 9.0,
                    ],
                ];
                // The coarsest steps of which three are in sight.
                values =
                    steps.into_iter().map(fine).find(|values| values.len() >= 3).unwrap_or_else(|| vec![low, high]);
            }
        } else {
            // The longest round step that goes at least three times into the range.
            let most = ((high - low) / 3.0).max(1e-12);
            let power = 10f64.powf(most.log10().floor());
            let step = [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|step| *step <= most);
            let step = step.unwrap_or(most);
            let mut at = (low / step).ceil() * step;
            while at <= high + step * 1e-9 && values.len() < 12 {
                values.push(if at.abs() < step * 1e-6 { 0.0 } else { at });
                at += step;
            }
        }
        values.into_iter().filter_map(|value| Some((share(value, range, is_log)?, name(value)))).collect()
    }
}

/// A tick's name.
fn name(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 || value.fract() == 0.0 { format::grouped(value) } else { format::number(value, 2) }
}

fn share(value: f64, [low, high]: [f64; 2], is_log: bool) -> Option<f64> {
    let share = if is_log { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) };
    (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share)
}

/// The range of positive values, widened a little.
fn log_range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let positive = values.filter(|value| *value > 0.0 && value.is_finite());
    let [low, high] =
        positive.fold([f64::INFINITY, 0.0], |[low, high]: [f64; 2], value| [low.min(value), high.max(value)]);
    if low > high { [1.0, 10.0] } else { [low / 1.15, high * 1.15] }
}

fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let finite = values.filter(|value| value.is_finite());
    let [low, high] = finite
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high]: [f64; 2], value| [low.min(value), high.max(value)]);
    if low > high {
        [0.0, 1.0]
    } else if high > low {
        [low, high]
    } else {
        [low - 0.5, high + 0.5]
    }
}

type Runs = [Vec<RunReport>; 2];

fn pair(point: &RequestPoint, metric: usize) -> Option<(f64, f64)> {
    Some((point.measured.get(metric).copied().flatten()?, point.predicted.get(metric).copied().flatten()?))
}

/// All requests of the fitted runs and of those kept aside, by request where that is possible.
fn requests(runs: &[RunReport]) -> impl Iterator<Item = &RequestPoint> {
    runs.iter().filter(|run| run.is_by_request).flat_map(|run| &run.points)
}

/// Predicted over measured, a point for each request; the diagonal is a perfect prediction.
#[must_use]
pub fn scatter(runs: &Runs, metric: usize) -> Plot {
    let of = |runs: &[RunReport]| -> Vec<(f64, f64)> {
        requests(runs).filter_map(|point| pair(point, metric)).filter(|(m, p)| *m > 0.0 && *p > 0.0).collect()
    };
    let [train, held_out] = [of(&runs[0]), of(&runs[1])];
    let both = log_range(train.iter().chain(&held_out).flat_map(|(m, p)| [*m, *p]));
    let rows = train.iter().map(|pair| (pair, "fitted")).chain(held_out.iter().map(|pair| (pair, "kept aside")));
    let rows = rows.take(MAX_ROWS).map(|((measured, predicted), kind)| {
        vec![
            kind.to_owned(),
            format::number(*measured, 4),
            format::number(*predicted, 4),
            format!("{:+.1}", (predicted / measured - 1.0) * 100.0),
        ]
    });
    Plot {
        x_name: format!("measured {} (ms)", METRICS[metric % 3]),
        y_name: "simulated (ms)".into(),
        is_log_x: true,
        is_log_y: true,
        overloads: Vec::new(),
        x: both,
        y: both,
        rows: rows.collect(),
        columns: ["run", "measured (ms)", "simulated (ms)", "error (%)"].map(String::from).to_vec(),
        series: vec![
            Series {
                name: String::new(),
                color: "reference",
                is_line: true,
                points: vec![(both[0], both[0]), (both[1], both[1])],
            },
            Series { name: "fitted runs".into(), color: "predicted", is_line: false, points: train },
            Series { name: "kept aside".into(), color: "held-out", is_line: false, points: held_out },
        ],
    }
}

/// The share of requests that took no longer, measured and simulated.
#[must_use]
pub fn distribution(runs: &Runs, metric: usize) -> Plot {
    let of = |pick: fn(&RequestPoint) -> &[Option<f64>; 3]| {
        let points = runs.iter().flatten().flat_map(|run| &run.points);
        let mut values: Vec<f64> = points.filter_map(|point| pick(point).get(metric).copied().flatten()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (measured, predicted) = (of(|point| &point.measured), of(|point| &point.predicted));
    let x = log_range(measured.iter().chain(&predicted).copied());
    let curve = |values: &[f64]| -> Vec<(f64, f64)> {
        let count = values.len().max(1) as f64;
        values.iter().enumerate().map(|(index, value)| (*value, (index + 1) as f64 / count * 100.0)).collect()
    };
    let at = |values: &[f64], percent: usize| {
        let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
        values.get(index).map_or_else(|| "–".to_owned(), |value| format::number(*value, 4))
    };
    let rows = [1, 5, 10, 25, 50, 75, 90, 95, 99]
        .map(|percent| vec![format!("{percent} %"), at(&measured, percent), at(&predicted, percent)]);
    Plot {
        x_name: format!("{} (ms)", METRICS[metric % 3]),
        y_name: "requests (%)".into(),
        is_log_x: true,
        is_log_y: false,
        overloads: Vec::new(),
        x,
        y: [0.0, 100.0],
        rows: rows.to_vec(),
        columns: ["requests", "measured (ms)", "simulated (ms)"].map(String::from).to_vec(),
        series: vec![
            Series { name: "measured".into(), color: "measured", is_line: true, points: curve(&measured) },
            Series { name: "simulated".into(), color: "predicted", is_line: true, points: curve(&predicted) },
        ],
    }
}

/// What the error of each request is plotted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// When it was sent.
    Time,
    /// Its prompt's length.
    Input,
    /// Its output's length.
    Output,
}

/// The error of each request in percent, over time or length.
#[must_use]
pub fn residuals(runs: &Runs, metric: usize, over: Over) -> Plot {
    let place = |point: &RequestPoint| match over {
        Over::Time => point.send_s,
        Over::Input => f64::from(point.input_tokens),
        Over::Output => f64::from(point.output_tokens),
    };
    let of = |runs: &[RunReport]| -> Vec<(f64, f64)> {
        let errors = requests(runs).filter_map(|point| {
            let (measured, predicted) = pair(point, metric)?;
            (measured > 0.0).then(|| (place(point), (predicted / measured - 1.0) * 100.0))
        });
        errors.collect()
    };
    let [train, held_out] = [of(&runs[0]), of(&runs[1])];
    let all = || train.iter().chain(&held_out);
    let x = range(all().map(|(x, _)| *x));
    // A few wild errors must not flatten all others; they are held at the edge.
    let mut sizes: Vec<f64> = all().map(|(_, error)| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let most = sizes.get(sizes.len() * 98 / 100).copied().unwrap_or(10.0).max(5.0) * 1.15;
    let held = |points: &[(f64, f64)]| points.iter().map(|(x, error)| (*x, error.clamp(-most, most))).collect();
    let x_name = match over {
        Over::Time => "sent after (s)",
        Over::Input => "prompt (tokens)",
        Over::Output => "output (tokens)",
    };
    let mut overloads: Vec<[f64; 2]> = Vec::new();
    if over == Over::Time {
        for window in runs.iter().flatten().filter(|run| run.is_by_request).flat_map(|run| &run.overload) {
            let [from, until] = [window.from, window.until].map(|at| at.as_seconds().clamp(x[0], x[1]));
            // The end of a run that is kept aside has a report of its own.
            if from < until && !overloads.contains(&[from, until]) {
                overloads.push([from, until]);
            }
        }
    }
    let is_overloaded = |at: f64| overloads.iter().any(|[from, until]| (*from..=*until).contains(&at));
    let rows = all().take(MAX_ROWS).map(|(x, error)| {
        let mut row = vec![format::number(*x, 4), format!("{error:+.1}")];
        if !overloads.is_empty() {
            row.push(if is_overloaded(*x) { "yes" } else { "no" }.to_owned());
        }
        row
    });
    let mut columns = vec![x_name.to_owned(), "error (%)".to_owned()];
    columns.extend((!overloads.is_empty()).then(|| "sent in an overload".to_owned()));
    Plot {
        x_name: x_name.into(),
        y_name: format!("error of {} (%)", METRICS[metric % 3]),
        is_log_x: false,
        is_log_y: false,
        x,
        y: [-most, most],
        rows: rows.collect(),
        columns,
        overloads,
        series: vec![
            Series { name: String::new(), color: "reference", is_line: true, points: vec![(x[0], 0.0), (x[1], 0.0)] },
            Series { name: "fitted runs".into(), color: "predicted", is_line: false, points: held(&train) },
            Series { name: "kept aside".into(), color: "held-out", is_line: false, points: held(&held_out) },
        ],
    }
}

/// The best loss after so many evaluations of all.
#[must_use]
pub fn history(best: &[(u64, f64)], (done, total): (u64, u64)) -> Plot {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(best.len() * 2);
    for (count, loss) in best {
        if let Some((_, before)) = points.last().copied() {
            points.push((*count as f64, before));
        }
        points.push((*count as f64, *loss));
    }
    if let Some((_, last)) = points.last().copied() {
        points.push((done as f64, last));
    }
    let y = log_range(points.iter().map(|(_, loss)| *loss));
    let rows = best
        .iter()
        .rev()
        .take(MAX_ROWS)
        .map(|(count, loss)| vec![format::grouped(*count as f64), format::number(*loss, 4)]);
    Plot {
        x_name: "evaluations".into(),
        y_name: "best loss".into(),
        is_log_x: false,
        is_log_y: true,
        overloads: Vec::new(),
        x: [0.0, (total as f64).max(1.0)],
        y,
        rows: rows.collect(),
        columns: ["evaluations", "best loss"].map(String::from).to_vec(),
        series: vec![Series { name: String::new(), color: "predicted", is_line: true, points }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::measurement::{OverloadWindow, RunFigures};
    use plimsoll_core::time::SimTime;

    fn runs() -> Runs {
        let point = |send_s, measured, predicted| RequestPoint {
            send_s,
            input_tokens: 100,
            output_tokens: 10,
            measured: [Some(measured), None, Some(measured)],
            predicted: [Some(predicted), None, Some(predicted)],
        };
        let run = |points| RunReport {
            name: "a".into(),
            num_requests: 2,
            measured: RunFigures::default(),
            predicted: RunFigures::default(),
            errors: Vec::new(),
            comparisons: [None, None, None],
            overload: Vec::new(),
            is_by_request: true,
            points,
        };
        [vec![run(vec![point(0.0, 10.0, 11.0), point(1.0, 20.0, 18.0)])], vec![run(vec![point(4.0, 40.0, 40.0)])]]
    }

    #[test]
    fn a_scatter_has_its_diagonal_and_equal_axes() {
        let plot = scatter(&runs(), 0);
        assert_eq!(plot.x, plot.y);
        assert_eq!(plot.series[1].points, [(10.0, 11.0), (20.0, 18.0)]);
        assert_eq!(plot.series[2].points, [(40.0, 40.0)]);
        assert_eq!(plot.rows[1], ["fitted", "20.00", "18.00", "-10.0"]);
        let (x, y) = plot.place((40.0, 40.0)).expect("inside");
        assert!((x - y).abs() < 1e-12 && x < 1.0);
        assert_eq!(plot.place((400.0, 1.0)), None);
        assert!(scatter(&runs(), 1).series[1].points.is_empty(), "nobody measured it");
    }

    #[test]
    fn a_distribution_rises_to_all_requests() {
        let plot = distribution(&runs(), 2);
        let measured = &plot.series[0].points;
        assert_eq!(measured.last(), Some(&(40.0, 100.0)));
        assert_eq!(plot.rows[4], ["50 %", "20.00", "18.00"]);
    }

    #[test]
    fn errors_keep_their_sign_and_place() {
        let plot = residuals(&runs(), 0, Over::Time);
        let [(at, error)] = plot.series[1].points[1..] else { panic!("{plot:?}") };
        assert!(at == 1.0 && (error + 10.0).abs() < 1e-9);
        assert_eq!((plot.x, plot.place((0.0, 0.0)).map(|(_, y)| y)), ([0.0, 4.0], Some(0.5)));
    }

    #[test]
    fn overloads_are_marked_over_time_alone() {
        let window =
            |from, until| OverloadWindow { from: SimTime(from), until: SimTime(until), arrivals: 9, completions: 1 };
        let mut runs = runs();
        // A run whose end is kept aside has two reports with the same stretch; beyond the axis nothing is drawn.
        runs[0][0].overload = vec![window(500_000, 2_000_000), window(9_000_000, 9_500_000)];
        runs[1][0].overload = vec![window(500_000, 2_000_000)];
        let plot = residuals(&runs, 0, Over::Time);
        assert_eq!((plot.x, plot.overloads.as_slice()), ([0.0, 4.0], &[[0.5, 2.0]][..]));
        let marks: Vec<&str> = plot.rows.iter().map(|row| row[2].as_str()).collect();
        assert_eq!((marks.as_slice(), plot.columns.len()), (&["no", "yes", "no"][..], 3));
        let plot = residuals(&runs, 0, Over::Input);
        assert_eq!((plot.overloads.len(), plot.columns.len()), (0, 2));
    }

    #[test]
    fn a_history_is_a_staircase_down() {
        let plot = history(&[(1, 100.0), (50, 10.0)], (200, 300));
        assert_eq!(plot.series[0].points, [(1.0, 100.0), (50.0, 100.0), (50.0, 10.0), (200.0, 10.0)]);
        assert_eq!(plot.x, [0.0, 300.0]);
        assert_eq!(history(&[], (0, 200)).series[0].points, []);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let names =
            |range, is_log| -> Vec<String> { Plot::ticks(range, is_log).into_iter().map(|(_, name)| name).collect() };
        assert_eq!(names([0.0, 100.0], false), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(names([-12.0, 12.0], false), ["-10", "-5", "0", "5", "10"]);
        assert_eq!(names([-42.0, 42.0], false), ["-40", "-20", "0", "20", "40"]);
        assert_eq!(names([-5.75, 5.75], false), ["-4", "-2", "0", "2", "4"]);
        assert_eq!(names([8.0, 1500.0], true), ["10", "100", "1,000"]);
        assert_eq!(names([18.0, 80.0], true), ["20", "30", "50", "70"]);
        assert_eq!(names([25.0, 115.0], true), ["30", "50", "70", "100"]);
        assert_eq!(names([2.1, 4.5], true), ["2.2", "2.5", "2.8", "3", "3.5", "4", "4.5"]);
        assert_eq!(names([0.40, 0.53], true).len(), 3);
        assert_eq!(names([1.9, 75.0], true), ["2", "5", "10", "20", "50"]);
        assert!(Plot::ticks([0.0, 4.0], false).iter().all(|(at, _)| (0.0..=1.0).contains(at)));
    }
}

//! What the workload's tab shows, in words and bars.

use crate::view_model::format;
use plimsoll_core::numeric::Distribution;
use plimsoll_core::report::{ArrivalBins, PrefixPreview, WorkloadPreview};

/// Bars side by side; any scale, because the edges say where each begins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bars {
    /// Unit of the edges.
    pub unit: &'static str,
    /// What a bar counts, in the plural.
    pub counted: &'static str,
    /// Ascending; one more than there are bars.
    pub edges: Vec<f64>,
    /// Height of each bar.
    pub heights: Vec<f64>,
    /// Places on the axis with their names.
    pub marks: Vec<(f64, String)>,
    /// A height to compare with, and its name.
    pub level: Option<(f64, String)>,
    /// Whether the bars' widths grow.
    pub is_logarithmic: bool,
}

impl Bars {
    /// Where a value lies on the axis, 0–1; each bar is equally wide.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let num_bars = self.heights.len().max(1) as f64;
        let after = self.edges.partition_point(|edge| *edge <= value);
        let Some(bar) = after.checked_sub(1) else { return 0.0 };
        let (Some(&low), Some(&high)) = (self.edges.get(bar), self.edges.get(bar + 1)) else { return 1.0 };
        (bar as f64 + if high > low { (value - low) / (high - low) } else { 0.0 }) / num_bars
    }

    /// The greatest height that is drawn; above 0.
    #[must_use]
    pub fn top(&self) -> f64 {
        let level = self.level.as_ref().map_or(0.0, |(level, _)| *level);
        let top = self.heights.iter().copied().fold(level, f64::max);
        if top > 0.0 { top } else { 1.0 }
    }

    /// A bar in words.
    #[must_use]
    pub fn words(&self, bar: usize) -> Option<String> {
        let (low, high) = (self.edges.get(bar)?, self.edges.get(bar + 1)?);
        let height = self.heights.get(bar)?;
        let range = if self.unit == "tokens" && *high - *low <= 1.0 {
            format::grouped(*low)
        } else if self.unit == "tokens" {
            format!("{}–{}", format::grouped(*low), format::grouped(*high - 1.0))
        } else {
            format!("{}–{}", format::number(*low, 3), format::number(*high, 3))
        };
        let count = if height.fract() == 0.0 { format::grouped(*height) } else { format::number(*height, 4) };
        Some(format!("{range} {}: {count} {}", self.unit, self.counted))
    }
}

/// The lengths of prompts or answers as bars.
#[must_use]
pub fn length_bars(lengths: &Distribution) -> Bars {
    let [p50, p90, p99] = lengths.percentiles;
    let marks = [("mean", lengths.mean), ("p50", p50), ("p90", p90), ("p99", p99)];
    Bars {
        unit: "tokens",
        counted: "requests",
        edges: lengths.histogram.edges.iter().map(|edge| *edge as f64).collect(),
        heights: lengths.histogram.counts.iter().map(|count| *count as f64).collect(),
        marks: if lengths.count == 0 {
            Vec::new()
        } else {
            marks.map(|(name, value)| (value, name.to_owned())).to_vec()
        },
        level: None,
        is_logarithmic: lengths.histogram.is_logarithmic,
    }
}

/// The rate over time as bars, requests per second.
#[must_use]
pub fn rate_bars(arrivals: &ArrivalBins, asked_rate: Option<f64>) -> Bars {
    let width = arrivals.width_s;
    if width <= 0.0 {
        return Bars::default();
    }
    Bars {
        unit: "s",
        counted: "req/s",
        edges: (0..=arrivals.counts.len()).map(|bin| bin as f64 * width).collect(),
        heights: arrivals.counts.iter().map(|count| *count as f64 / width).collect(),
        marks: Vec::new(),
        level: asked_rate.map(|rate| (rate, format!("asked {} req/s", format::rate(rate)))),
        is_logarithmic: false,
    }
}

/// Name and value of each figure of the lengths.
#[must_use]
pub fn length_figures(lengths: &Distribution) -> Vec<(&'static str, String)> {
    let [p50, p90, p99] = lengths.percentiles;
    let tokens = |value: f64| format::grouped(value.round());
    vec![
        ("mean", tokens(lengths.mean)),
        ("p50", tokens(p50)),
        ("p90", tokens(p90)),
        ("p99", tokens(p99)),
        ("least", tokens(lengths.min as f64)),
        ("most", tokens(lengths.max as f64)),
    ]
}

/// The whole in one sentence.
#[must_use]
pub fn summary(preview: &WorkloadPreview) -> String {
    let count = format::grouped(preview.num_requests as f64);
    let span = format::number(preview.span_s, 3);
    let realized = (preview.span_s > 0.0 && preview.num_requests > 1)
        .then(|| format::rate((preview.num_requests - 1) as f64 / preview.span_s));
    match realized {
        Some(rate) => format!("{count} requests over {span} s, {rate} req/s on average"),
        None => format!("{count} requests at once"),
    }
}

/// What prompts share, in one sentence; none if they share nothing.
#[must_use]
pub fn prefix_words(prefix: &PrefixPreview, num_requests: u64) -> Option<String> {
    if prefix.num_requests == 0 {
        return None;
    }
    let share = format::percent(prefix.num_requests as f64 / num_requests.max(1) as f64);
    let prefixes = match prefix.num_prefixes {
        1 => "one shared prefix".to_owned(),
        count => format!("{} shared prefixes", format::grouped(count as f64)),
    };
    let repeated = format::percent(prefix.repeated_tokens as f64 / prefix.input_tokens.max(1) as f64);
    Some(format!(
        "{share} of the prompts begin with {prefixes}; {repeated} of all prompt tokens came before, which is the most a prefix cache can save."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::numeric::Histogram;

    fn bars() -> Bars {
        Bars {
            unit: "tokens",
            counted: "requests",
            edges: vec![1.0, 10.0, 100.0, 1000.0],
            heights: vec![3.0, 0.0, 7.0],
            ..Bars::default()
        }
    }

    #[test]
    fn places_follow_the_edges_whatever_their_widths() {
        let bars = bars();
        assert_eq!(bars.place(1.0), 0.0);
        assert!((bars.place(55.0) - 1.5 / 3.0).abs() < 1e-12);
        assert_eq!((bars.place(0.0), bars.place(1000.0), bars.place(5000.0)), (0.0, 1.0, 1.0));
        assert_eq!(Bars::default().place(3.0), 0.0);
    }

    #[test]
    fn a_bar_tells_its_whole_tokens() {
        assert_eq!(bars().words(0).as_deref(), Some("1–9 tokens: 3 requests"));
        assert_eq!(bars().words(3), None);
    }

    #[test]
    fn rates_are_counts_by_the_width_of_a_bin() {
        let arrivals = ArrivalBins { width_s: 0.5, counts: vec![2, 4], start_s: 100.0 };
        let bars = rate_bars(&arrivals, Some(5.0));
        assert_eq!((bars.edges, bars.heights), (vec![0.0, 0.5, 1.0], vec![4.0, 8.0]));
        assert_eq!(bars.level.map(|(level, _)| level), Some(5.0));
        assert_eq!(rate_bars(&ArrivalBins::default(), None), Bars::default());
    }

    #[test]
    fn nothing_drawn_has_no_marks_and_still_a_top() {
        let none = length_bars(&Distribution::default());
        assert!(none.marks.is_empty());
        assert_eq!(none.top(), 1.0);
        let one = Distribution {
            count: 1,
            mean: 7.0,
            histogram: Histogram { edges: vec![7, 8], counts: vec![1], is_logarithmic: false },
            ..Distribution::default()
        };
        assert_eq!(length_bars(&one).words(0).as_deref(), Some("7 tokens: 1 requests"));
    }

    #[test]
    fn words_count_what_is_shared() {
        let prefix = PrefixPreview { num_requests: 50, num_prefixes: 1, repeated_tokens: 250, input_tokens: 1000 };
        let words = prefix_words(&prefix, 100).expect("shared");
        assert!(words.contains("50") && words.contains("25") && words.contains("one shared prefix"), "{words}");
        assert_eq!(prefix_words(&PrefixPreview::default(), 100), None);
    }
}

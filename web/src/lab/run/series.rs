//! A replica's numbers over time as vectors and words.

use crate::view_model::format;
use plimsoll_core::report::Series;
use plimsoll_protocol::lab::RunSeen;

/// More replicas than this are drawn as one band.
pub const MAX_LINES: usize = 8;

/// Which number is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Requests waiting.
    Waiting,
    /// Requests in the batch.
    Running,
    /// KV blocks in use.
    UsedBlocks,
}

impl Measure {
    /// All in the order shown.
    pub const ALL: [Measure; 3] = [Measure::Waiting, Measure::Running, Measure::UsedBlocks];

    /// Its title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Waiting => "Queue depth",
            Self::Running => "Running",
            Self::UsedBlocks => "KV usage",
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Waiting | Self::Running => "requests",
            Self::UsedBlocks => "% of blocks",
        }
    }

    /// Id for tests.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::UsedBlocks => "kv",
        }
    }
}

/// One line with the band its values stay in, in the measure's unit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// Whose.
    pub name: String,
    /// Smallest value of each bin.
    pub min: Vec<f64>,
    /// Largest value of each bin.
    pub max: Vec<f64>,
    /// Mean of each bin.
    pub mean: Vec<f64>,
}

/// The lines of a measure: of one replica, of each of a few, or of all together.
#[must_use]
pub fn lines(seen: &RunSeen, measure: Measure, chosen: Option<usize>) -> Vec<Line> {
    let scale = match measure {
        Measure::UsedBlocks => 100.0 / f64::from(seen.num_blocks.max(1)),
        Measure::Waiting | Measure::Running => 1.0,
    };
    let of = |index: usize| -> Option<Line> {
        let replica = seen.replicas.get(index)?;
        let series: &Series = match measure {
            Measure::Waiting => &replica.series.waiting,
            Measure::Running => &replica.series.running,
            Measure::UsedBlocks => &replica.series.used_blocks,
        };
        let whole = |values: &[u32]| values.iter().map(|value| f64::from(*value) * scale).collect();
        Some(Line {
            name: format!("replica {index}"),
            min: whole(&series.min),
            max: whole(&series.max),
            mean: series.mean.iter().map(|value| f64::from(*value) * scale).collect(),
        })
    };
    if let Some(chosen) = chosen {
        return of(chosen).into_iter().collect();
    }
    let all: Vec<Line> = (0..seen.replicas.len()).filter_map(of).collect();
    if all.len() <= MAX_LINES { all } else { vec![together(&all)] }
}

/// The band of all lines and the mean of their means.
fn together(all: &[Line]) -> Line {
    let num_bins = all.iter().map(|line| line.mean.len()).min().unwrap_or(0);
    let over = |fold: fn(f64, f64) -> f64, start: f64, of: fn(&Line) -> &Vec<f64>| -> Vec<f64> {
        (0..num_bins).map(|bin| all.iter().filter_map(|line| of(line).get(bin).copied()).fold(start, fold)).collect()
    };
    let sums = over(|sum, value| sum + value, 0.0, |line| &line.mean);
    Line {
        name: format!("mean of {} replicas, from the smallest to the largest", all.len()),
        min: over(f64::min, f64::INFINITY, |line| &line.min),
        max: over(f64::max, 0.0, |line| &line.max),
        mean: sums.into_iter().map(|sum| sum / all.len().max(1) as f64).collect(),
    }
}

/// The greatest value of some lines; above 0.
#[must_use]
pub fn top(lines: &[Line]) -> f64 {
    let top = lines.iter().flat_map(|line| &line.max).copied().fold(0.0, f64::max);
    if top > 0.0 { top } else { 1.0 }
}

/// The greatest value in words, for the upper end of the axis.
#[must_use]
pub fn top_words(lines: &[Line], measure: Measure) -> String {
    let top = top(lines);
    match measure {
        Measure::Waiting | Measure::Running if top == 1.0 => "1 request".into(),
        // A count is whole unless it is the mean of several replicas.
        _ if top.fract() == 0.0 => format!("{} {}", format::grouped(top), measure.unit()),
        _ => format!("{} {}", format::number(top, 3), measure.unit()),
    }
}

/// The mean as a path in a box of `width` by `height`.
#[must_use]
pub fn line_path(line: &Line, top: f64, [width, height]: [f64; 2]) -> String {
    let step = width / line.mean.len().max(1) as f64;
    let mut path = String::new();
    for (bin, value) in line.mean.iter().enumerate() {
        let letter = if bin == 0 { 'M' } else { 'L' };
        path += &format!("{letter}{:.1} {:.2}", (bin as f64 + 0.5) * step, height - value / top * height);
    }
    path
}

/// The band from smallest to largest as a path in a box of `width` by `height`.
#[must_use]
pub fn band_path(line: &Line, top: f64, [width, height]: [f64; 2]) -> String {
    let step = width / line.max.len().max(1) as f64;
    let mut path = String::new();
    let place =
        |bin: usize, value: f64| format!("{:.1} {:.2}", (bin as f64 + 0.5) * step, height - value / top * height);
    for (bin, value) in line.max.iter().enumerate() {
        path += &format!("{}{}", if bin == 0 { 'M' } else { 'L' }, place(bin, *value));
    }
    for (bin, value) in line.min.iter().enumerate().rev() {
        path += &format!("L{}", place(bin, *value));
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

/// The values of a bin in words.
#[must_use]
pub fn words(lines: &[Line], bin: usize, bin_us: i64, unit: &str) -> Option<String> {
    let start = bin as f64 * bin_us as f64 / 1e6;
    let parts: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let (mean, min, max) = (line.mean.get(bin)?, line.min.get(bin)?, line.max.get(bin)?);
            let number = |value: &f64| format::number(*value, 3);
            Some(format!("{}: {} ({}–{})", line.name, number(mean), number(min), number(max)))
        })
        .collect();
    (!parts.is_empty())
        .then(|| format!("at {} s, {unit}, mean (least–most): {}", format::number(start, 4), parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::report::ReplicaSeries;
    use plimsoll_protocol::lab::ReplicaSeen;

    fn seen(num_replicas: u32) -> RunSeen {
        let replica = |index: u32| ReplicaSeen {
            series: ReplicaSeries {
                used_blocks: Series { min: vec![0, index], max: vec![50, 100 + index], mean: vec![25.0, 60.0] },
                ..ReplicaSeries::default()
            },
            ..ReplicaSeen::default()
        };
        RunSeen { num_blocks: 200, replicas: (0..num_replicas).map(replica).collect(), ..RunSeen::default() }
    }

    #[test]
    fn blocks_are_shown_as_a_share_and_one_replica_alone_on_demand() {
        let seen = seen(2);
        let all = lines(&seen, Measure::UsedBlocks, None);
        assert_eq!((all.len(), all[1].max[1], all[0].mean[0]), (2, 50.5, 12.5));
        assert_eq!(lines(&seen, Measure::UsedBlocks, Some(1))[0].name, "replica 1");
        assert!(lines(&seen, Measure::UsedBlocks, Some(7)).is_empty());
    }

    #[test]
    fn many_replicas_are_one_band_that_hides_no_peak() {
        let all = lines(&seen(20), Measure::UsedBlocks, None);
        let [line] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((line.min[1], line.max[1], line.mean[1]), (0.0, 59.5, 30.0));
        assert_eq!(top(&all), 59.5);
        assert_eq!(top_words(&all, Measure::UsedBlocks), "59.5 % of blocks");
        assert_eq!(top_words(&[], Measure::Waiting), "1 request");
        let full = Line { max: vec![1234.0], ..Line::default() };
        assert_eq!(top_words(&[full], Measure::Running), "1,234 requests");
    }

    #[test]
    fn paths_stand_on_their_bins() {
        let line = Line { min: vec![0.0, 1.0], max: vec![2.0, 4.0], mean: vec![1.0, 2.0], ..Line::default() };
        assert_eq!(line_path(&line, 4.0, [100.0, 40.0]), "M25.0 30.00L75.0 20.00");
        assert_eq!(band_path(&line, 4.0, [100.0, 40.0]), "M25.0 20.00L75.0 0.00L75.0 30.00L25.0 40.00Z");
        assert_eq!((band_path(&Line::default(), 1.0, [1.0, 1.0]), top(&[])), (String::new(), 1.0));
    }
}

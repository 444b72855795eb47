//! The timeline's geometry: which part of which request is where on the screen.
//!
//! A row is a request, in order of arrival. Where several rows share a line of pixels, the one that took longest, or that
//! lost its place, stands for all: what is rare and bad is never hidden by what is usual.

use crate::view_model::format;
use plimsoll_protocol::lab::{FATES, PHASES, RequestColumns};

/// Fewest rows and shortest span, microseconds, that can be zoomed to.
const MIN_ROWS: f64 = 8.0;
const MIN_SPAN: f64 = 1000.0;
/// A preempted request stands for its line before any that only took long, microseconds.
const PREEMPTED_COUNTS: i64 = 1 << 50;

/// The part of the run that is to be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// First and last microsecond.
    pub time: [f64; 2],
    /// First and last row; parts of rows while something moves.
    pub rows: [f64; 2],
}

impl Window {
    /// Everything: `num_rows` requests until `end_us`.
    #[must_use]
    pub fn whole(end_us: i64, num_rows: usize) -> Self {
        Self { time: [0.0, (end_us.max(1)) as f64], rows: [0.0, num_rows.max(1) as f64] }
    }

    /// Moved by parts of its own size: to later times and to later rows.
    #[must_use]
    pub fn moved(self, time_share: f64, row_share: f64, whole: Self) -> Self {
        let shift = |[low, high]: [f64; 2], share: f64, [least, most]: [f64; 2]| {
            let by = ((high - low) * share).clamp(least - low, (most - high).max(least - low));
            [low + by, high + by]
        };
        Self { time: shift(self.time, time_share, whole.time), rows: shift(self.rows, row_share, whole.rows) }
    }

    /// With spans multiplied by these factors about a place, given as shares of the window.
    #[must_use]
    pub fn zoomed(self, [time_factor, row_factor]: [f64; 2], [x, y]: [f64; 2], whole: Self) -> Self {
        let zoom = |[low, high]: [f64; 2], factor: f64, at: f64, [least, most]: [f64; 2], smallest: f64| {
            let span = ((high - low) * factor).clamp(smallest.min(most - least), most - least);
            let low = (low + (high - low) * at - span * at).clamp(least, most - span);
            [low, low + span]
        };
        Self {
            time: zoom(self.time, time_factor, x, whole.time, MIN_SPAN),
            rows: zoom(self.rows, row_factor, y, whole.rows, MIN_ROWS),
        }
    }
}

/// Which request stands for a group of neighbors, for groups of 2, 4, 8 … rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pyramid {
    /// Level k has one entry for each 2^(k+1) rows.
    levels: Vec<Vec<u32>>,
    num_rows: usize,
}

impl Pyramid {
    /// Of these requests.
    #[must_use]
    pub fn new(requests: &RequestColumns) -> Self {
        let num_rows = requests.id.len();
        let worth = |row: u32| {
            let index = row as usize;
            let took = requests.end.get(index).copied().unwrap_or(0) - arrival(requests, index);
            let preempted = requests.preemptions.get(index).is_some_and(|count| *count > 0);
            took + if preempted { PREEMPTED_COUNTS } else { 0 }
        };
        let mut levels: Vec<Vec<u32>> = Vec::new();
        let mut below: Vec<u32> = (0..u32::try_from(num_rows).unwrap_or(u32::MAX)).collect();
        while below.len() > 1 {
            below = below
                .chunks(2)
                .filter_map(|pair| pair.iter().copied().max_by_key(|row| (worth(*row), core::cmp::Reverse(*row))))
                .collect();
            levels.push(below.clone());
        }
        Self { levels, num_rows }
    }

    /// The rows to draw between two rows if each may be as thick as `rows_per_line`: index, first row and rows it stands for.
    pub fn lines(&self, [from, to]: [f64; 2], rows_per_line: f64) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        // The coarsest level whose groups are no thicker than a line.
        let level = (0..self.levels.len()).take_while(|level| f64::from(2_u32 << *level) <= rows_per_line).count();
        let group = 1_usize << level;
        let first = (from.max(0.0) as usize) / group;
        let last = (to.max(0.0).ceil() as usize).min(self.num_rows).div_ceil(group);
        (first..last).filter_map(move |line| {
            let row = match level.checked_sub(1) {
                None => line,
                Some(level) => *self.levels.get(level)?.get(line)? as usize,
            };
            Some((row, line * group, group))
        })
    }
}

/// When a request arrived, microseconds.
#[must_use]
pub fn arrival(requests: &RequestColumns, row: usize) -> i64 {
    let first = requests.first_change.get(row).copied().unwrap_or(0) as usize;
    requests.since.get(first).copied().unwrap_or(0)
}

/// What a request did from when to when, microseconds.
pub fn spans(requests: &RequestColumns, row: usize) -> impl Iterator<Item = (i64, i64, u8)> + '_ {
    let at = |row: usize| requests.first_change.get(row).copied().unwrap_or(0) as usize;
    let (first, last) = (at(row), at(row + 1));
    let end = requests.end.get(row).copied().unwrap_or(0);
    (first..last).filter_map(move |change| {
        let since = *requests.since.get(change)?;
        let until = if change + 1 < last { *requests.since.get(change + 1)? } else { end };
        (until > since).then_some((since, until, *requests.phase.get(change)?))
    })
}

/// The row nearest to a request's bar at this place, as shares of the window from the left and from the top.
#[must_use]
pub fn row_at(pyramid: &Pyramid, window: Window, height: f64, y: f64) -> Option<usize> {
    let [from, to] = window.rows;
    let row = from + (to - from) * y;
    let rows_per_line = (to - from) / height.max(1.0);
    pyramid.lines([row, row + 1e-9], rows_per_line).next().map(|(row, _, _)| row)
}

/// A request in words, one line each: its numbers with their units.
#[must_use]
pub fn words(requests: &RequestColumns, row: usize, classes: &[String]) -> Vec<String> {
    let get = |column: &[u32]| column.get(row).copied().unwrap_or(0);
    let Some(id) = requests.id.get(row) else { return Vec::new() };
    let millis = |micros: i64| format::milliseconds(micros as f64 / 1000.0);
    let fate = requests.fate.get(row).and_then(|fate| FATES.get(usize::from(*fate))).copied().unwrap_or_default();
    let class =
        requests.class.get(row).and_then(|class| classes.get(usize::from(*class))).filter(|name| !name.is_empty());
    let mut lines = vec![format!(
        "Request {id}, replica {}{}: {fate}",
        get(&requests.replica),
        class.map_or_else(String::new, |class| format!(", {class}"))
    )];
    let cached = match get(&requests.cached_tokens) {
        0 => String::new(),
        cached => format!(" ({} from the cache)", format::grouped(f64::from(cached))),
    };
    lines.push(format!(
        "{} prompt tokens{cached}, {} output tokens",
        format::grouped(f64::from(get(&requests.input_tokens))),
        format::grouped(f64::from(get(&requests.output_tokens)))
    ));
    lines.push(format!("arrived at {} s", format::number(arrival(requests, row) as f64 / 1e6, 5)));
    let mut spent = [0_i64; PHASES.len()];
    for (since, until, phase) in spans(requests, row) {
        if let Some(sum) = spent.get_mut(usize::from(phase)) {
            *sum += until - since;
        }
    }
    let parts: Vec<String> = PHASES
        .iter()
        .zip(spent)
        .filter(|(_, spent)| *spent > 0)
        .map(|(name, spent)| format!("{name} {}", millis(spent)))
        .collect();
    lines.push(parts.join(", "));
    let latency = |column: &[i64]| column.get(row).copied().filter(|value| *value >= 0);
    if let Some(ttft) = latency(&requests.ttft) {
        let e2e = latency(&requests.e2e).map_or_else(String::new, |e2e| format!(", E2E {}", millis(e2e)));
        lines.push(format!("TTFT {}{e2e}", millis(ttft)));
    }
    match get(&requests.preemptions) {
        0 => {}
        1 => lines.push("lost its place once".to_owned()),
        count => lines.push(format!("lost its place {count} times")),
    }
    lines
}

/// Round times inside a window, about `count` of them, seconds.
#[must_use]
pub fn ticks([from, to]: [f64; 2], count: usize) -> Vec<f64> {
    let wanted = (to - from) / 1e6 / count.max(1) as f64;
    if wanted.is_nan() || wanted <= 0.0 {
        return Vec::new();
    }
    let decade = 10_f64.powf(wanted.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * decade).find(|step| *step >= wanted).unwrap_or(wanted);
    let first = (from / 1e6 / step).ceil();
    (0..=count * 2).map(|index| (first + index as f64) * step).take_while(|tick| *tick <= to / 1e6).collect()
}

/// A tick with as many decimals as its neighbors need to differ.
#[must_use]
pub fn tick_label(ticks: &[f64], index: usize) -> Option<String> {
    let step = match ticks {
        [first, second, ..] => second - first,
        _ => 1.0,
    };
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
    ticks.get(index).map(|tick| format!("{tick:.decimals$} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests that arrive every 10 µs and take 100, but the third of every thousand takes long.
    fn requests(count: usize) -> RequestColumns {
        let mut requests = RequestColumns { first_change: vec![0], ..RequestColumns::default() };
        for index in 0..count {
            let arrive = index as i64 * 10;
            requests.id.push(index as u32);
            requests.replica.push(1);
            requests.input_tokens.push(1000);
            requests.output_tokens.push(10);
            requests.cached_tokens.push(0);
            requests.preemptions.push(u32::from(index % 5000 == 7));
            requests.class.push(0);
            requests.fate.push(0);
            requests.ttft.push(40);
            requests.e2e.push(100);
            requests.end.push(arrive + if index % 1000 == 3 { 9000 } else { 100 });
            requests.since.extend([arrive, arrive + 20, arrive + 40]);
            requests.phase.extend([1, 2, 3]);
            requests.first_change.push(requests.since.len() as u32);
        }
        requests
    }

    #[test]
    fn what_is_drawn_does_not_grow_with_the_requests_and_keeps_the_worst() {
        let requests = requests(10_000);
        let pyramid = Pyramid::new(&requests);
        let lines: Vec<_> = pyramid.lines([0.0, 10_000.0], 10_000.0 / 400.0).collect();
        assert!(lines.len() <= 800, "{}", lines.len());
        // Every row is stood for once, in order.
        let mut next = 0;
        for (row, first, group) in &lines {
            assert_eq!(*first, next);
            assert!((*first..first + group).contains(row));
            next += group;
        }
        assert!(next >= 10_000);
        for worst in [3, 1003, 7, 5007] {
            let stands =
                lines.iter().find(|(_, first, group)| (*first..first + group).contains(&worst)).expect("covered");
            let (row, ..) = *stands;
            let is_preempted = requests.preemptions[row] > 0;
            assert!(row == worst || is_preempted, "{worst} is hidden by {row}");
        }
    }

    #[test]
    fn close_up_every_row_is_its_own_line() {
        let pyramid = Pyramid::new(&requests(100));
        let lines: Vec<_> = pyramid.lines([10.5, 13.0], 0.1).collect();
        assert_eq!(lines, [(10, 10, 1), (11, 11, 1), (12, 12, 1)]);
        let window = Window { time: [0.0, 1.0], rows: [10.0, 20.0] };
        assert_eq!(row_at(&pyramid, window, 400.0, 0.55), Some(15));
        assert_eq!(row_at(&Pyramid::new(&requests(0)), window, 400.0, 0.5), None);
    }

    #[test]
    fn a_zoom_keeps_its_place_and_ends_at_the_whole() {
        let whole = Window::whole(1_000_000, 1000);
        let near = whole.zoomed([0.5, 0.5], [0.25, 0.5], whole);
        assert_eq!(near, Window { time: [125_000.0, 625_000.0], rows: [250.0, 750.0] });
        assert_eq!(near.zoomed([100.0, 100.0], [0.9, 0.1], whole), whole);
        let nearest = whole.zoomed([1e-9, 1e-9], [0.0, 1.0], whole);
        assert_eq!(nearest, Window { time: [0.0, MIN_SPAN], rows: [1000.0 - MIN_ROWS, 1000.0] });
        let moved = near.moved(9.0, -9.0, whole);
        assert_eq!(moved, Window { time: [500_000.0, 1_000_000.0], rows: [0.0, 500.0] });
        assert_eq!(whole.moved(0.3, 0.3, whole), whole);
    }

    #[test]
    fn a_short_run_can_be_seen_whole() {
        let whole = Window::whole(10, 2);
        assert_eq!(whole.zoomed([0.5, 0.5], [0.5, 0.5], whole), whole);
        assert_eq!(whole.moved(1.0, 1.0, whole), whole);
    }

    #[test]
    fn a_request_is_told_with_its_units() {
        let lines = words(&requests(5), 2, &[]);
        assert_eq!(lines[0], "Request 2, replica 1: completed");
        assert_eq!(lines[1], "1,000 prompt tokens, 10 output tokens");
        assert!(lines[3].contains("queued 0.0200 ms") && lines[3].contains("decode 0.0600 ms"), "{}", lines[3]);
        assert!(words(&requests(5), 9, &[]).is_empty());
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks([0.0, 10_000_000.0], 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks([1_200_000.0, 2_900_000.0], 4), [1.5, 2.0, 2.5]);
        assert!(ticks([5.0, 5.0], 4).is_empty());
        assert_eq!(tick_label(&[1.5, 2.0], 1).as_deref(), Some("2.0 s"));
        assert_eq!(tick_label(&[0.0, 500.0], 0).as_deref(), Some("0 s"));
        assert_eq!(tick_label(&[0.31, 0.312], 0).as_deref(), Some("0.310 s"));
    }
}

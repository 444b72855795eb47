//! Stretches of a run in which arrivals outran completions.

use super::Measurement;
use crate::time::SimTime;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Requests whose slowest tells how long the first ones of a run take: a tenth, and at least this many.
const FIRST_REQUESTS: usize = 5;
/// Parts into which a run is cut at most; a stretch is made of whole parts.
const MAX_PARTS: usize = 64;
/// Fewest arrivals of a part.
const PART: usize = 8;
/// Growth in standard deviations from which it is no accident.
const LEAST_SCORE: f64 = 4.0;
/// Share of the arrivals of a stretch that must stay behind.
const LEAST_SHARE: f64 = 0.1;

/// A stretch in which the server's backlog grew, and what came until it was gone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverloadWindow {
    /// Where the backlog begins to grow.
    pub from: SimTime,
    /// Where it is back to what it was, or the last send of the run.
    pub until: SimTime,
    /// Requests sent while it grew.
    pub arrivals: u32,
    /// Requests that ended meanwhile.
    pub completions: u32,
}

impl OverloadWindow {
    /// What happened there, e.g. `overloaded from 2.0 to 61.0 s: 1200 requests were sent while 700 ended`.
    #[must_use]
    pub fn words(&self) -> String {
        let [from, until] = [self.from, self.until].map(SimTime::as_seconds);
        let (sent, ended) = (self.arrivals, self.completions);
        format!("overloaded from {from:.1} to {until:.1} s: {sent} requests were sent while {ended} ended")
    }

    /// Whether a request sent at this time met the backlog.
    #[must_use]
    pub fn contains(&self, send: SimTime) -> bool {
        self.from <= send && send <= self.until
    }
}

/// The stretches of a run in which its server was overloaded, in the order of time.
///
/// A request sent there waits for those before it, so that its latency tells how far behind the server was, and little
/// of how long a step takes.
///
/// # Method
/// The backlog is the number of requests sent and not ended. While the first requests of a run are served it grows in any
/// run, so looking begins when the slowest of the first tenth has ended; it ends with the last send. In between a stretch
/// of `a` arrivals and `c` completions is an overload if `(a − c)/√(a + c)` is at least 4, which a balanced walk of
/// independent steps reaches in one of 30,000 stretches, and at least a tenth of the arrivals stayed behind. The stretch
/// of the highest score counts first, then those before and after it.
/// A closed loop sends when something ends, so its backlog cannot grow.
#[must_use]
pub fn overload_windows(run: &Measurement) -> Vec<OverloadWindow> {
    let end = |request: &super::MeasuredRequest| Some(request.send.0.saturating_add(request.e2e?.0));
    let first = (run.requests.len() / 10).max(FIRST_REQUESTS);
    let Some(begin) = run.requests.iter().take(first).filter_map(end).max() else { return Vec::new() };
    let mut ends: Vec<i64> = run.requests.iter().filter_map(end).collect();
    ends.sort_unstable();
    let sends: Vec<i64> = run.requests.iter().map(|request| request.send.0).filter(|send| *send >= begin).collect();
    let part = sends.len().div_ceil(MAX_PARTS).max(PART);
    // Borders of parts; completions are counted up to and with a border.
    let mut borders: Vec<(i64, usize)> = sends.iter().enumerate().step_by(part).map(|(at, send)| (*send, at)).collect();
    borders.extend(sends.last().map(|last| (*last, sends.len())));
    borders.dedup_by_key(|(time, _)| *time);
    let ended = |time: i64| ends.partition_point(|end| *end <= time);
    let walk: Vec<(i64, usize, usize)> = borders.into_iter().map(|(time, sent)| (time, sent, ended(time))).collect();
    let mut found = Vec::new();
    search(&walk, &mut found);
    found.sort_unstable();
    let earlier = run.requests.len() - sends.len();
    let mut windows: Vec<OverloadWindow> = Vec::new();
    for (from, to) in found {
        let ((start, sent, done), (_, sent_later, done_later)) = (walk[from], walk[to]);
        if windows.last().is_some_and(|window| window.until.0 >= start) {
            continue;
        }
        let level = (earlier + sent).saturating_sub(done);
        let is_back = |(at, send): &(usize, &i64)| **send > walk[to].0 && earlier + at <= level + ended(**send);
        let back = sends.iter().enumerate().find(is_back).map(|(_, send)| *send);
        windows.push(OverloadWindow {
            from: SimTime(start),
            until: SimTime(back.or(sends.last().copied()).unwrap_or(start)),
            arrivals: (sent_later - sent) as u32,
            completions: (done_later - done) as u32,
        });
    }
    windows
}

/// The stretches of a walk that grow, as positions in it.
fn search(walk: &[(i64, usize, usize)], found: &mut Vec<(usize, usize)>) {
    let mut open = alloc::vec![(0, walk.len())];
    while let Some((low, high)) = open.pop() {
        let mut best = (LEAST_SCORE, None);
        for from in low..high {
            for to in from + 1..high {
                let (arrivals, completions) = (walk[to].1 - walk[from].1, walk[to].2 - walk[from].2);
                let (a, c) = (arrivals as f64, completions as f64);
                let score = (a - c) / libm::sqrt(a + c);
                if a - c >= LEAST_SHARE * a && score >= best.0 {
                    best = (score, Some((from, to)));
                }
            }
        }
        if let (_, Some((from, to))) = best {
            found.push((from, to));
            open.extend([(low, from + 1), (to, high)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{LogFormat, MeasuredRequest};

    /// A server of one place per `service` milliseconds, and requests sent at these milliseconds.
    fn run(sends: impl Iterator<Item = i64>, service: i64, latency: i64) -> Measurement {
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        let mut free = 0;
        run.requests = sends
            .map(|send| {
                let start = send.max(free);
                free = start + service;
                MeasuredRequest {
                    arrive: SimTime(send * 1000),
                    send: SimTime(send * 1000),
                    input_tokens: 100,
                    output_tokens: 10,
                    ttft: Some(SimTime((start - send + 20) * 1000)),
                    e2e: Some(SimTime((start - send + latency) * 1000)),
                    session: None,
                    gaps: 0..0,
                }
            })
            .collect();
        run
    }

    #[test]
    fn a_server_that_keeps_up_is_not_overloaded() {
        // Ten places a second, eight asked for; the first second fills the server and is no overload.
        assert_eq!(overload_windows(&run((0..400).map(|k| k * 125), 100, 1000)), []);
        // Bursts of five that are worked off at once.
        assert_eq!(overload_windows(&run((0..400).map(|k| k / 5 * 625), 100, 1000)), []);
        assert_eq!(overload_windows(&Measurement::new("f", LogFormat::VllmBench)), []);
    }

    #[test]
    fn a_burst_beyond_the_capacity_is_found_until_it_is_worked_off() {
        // Eight a second for 20 s, twenty a second for 10 s, two a second for 30 s: ten a second can be served.
        let sends =
            (0..160).map(|k| k * 125).chain((0..200).map(|k| 20_000 + k * 50)).chain((0..60).map(|k| 30_000 + k * 500));
        let found = overload_windows(&run(sends, 100, 1000));
        assert_eq!(found.len(), 1, "{found:?}");
        let [from, until] = [found[0].from, found[0].until].map(|time| time.as_seconds());
        // A hundred are left behind at 30 s, and eight a second less than can be served take 12.5 s to go.
        assert!((19.0..21.5).contains(&from) && (41.0..44.0).contains(&until), "{found:?}");
        assert!(found[0].arrivals >= 180 && found[0].completions <= 110, "{found:?}");
        assert!(found[0].contains(SimTime(25_000_000)) && !found[0].contains(SimTime(10_000_000)));
    }

    #[test]
    fn an_overload_from_the_start_lasts_to_the_last_send() {
        let found = overload_windows(&run((0..300).map(|k| k * 50), 100, 500));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].until, SimTime(299 * 50_000));
        // A closed loop of twenty sends when something ends.
        let closed = run((0..300).map(|k| if k < 20 { 0 } else { (k - 20) * 100 + 100 }), 100, 100);
        assert_eq!(overload_windows(&closed), []);
    }
}

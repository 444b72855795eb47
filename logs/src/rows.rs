//! From the rows of any format to checked requests: what is dropped, what is counted, what rejects the file
//! (log formats 10).

use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::measurement::{ArrivalSource, MeasuredRequest, Measurement};
use plimsoll_core::time::SimTime;

/// A one-token answer may end this much before its first token: clocks are read twice (log formats 0).
const TOLERANCE_US: f64 = 1000.0;
/// Longer prompts or outputs are misread.
const MAX_TOKENS: f64 = 1e7;
/// A run of years is misread.
const MAX_US: f64 = 1e15;
/// Fewer requests say little about a deployment.
pub(crate) const FEW: usize = 20;
/// How many bad rows are told one by one.
const MAX_TOLD: usize = 5;

/// A request as a file states it; NaN where it states nothing.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Its index or line in the file, for messages.
    pub place: u64,
    /// Its number in the file, where there is one.
    pub id: Option<u64>,
    /// Microseconds on any clock.
    pub arrive: f64,
    /// Microseconds on any clock.
    pub send: f64,
    pub input_tokens: f64,
    pub output_tokens: f64,
    /// Microseconds after sending.
    pub ttft: f64,
    /// Microseconds after sending.
    pub e2e: f64,
    pub session: Option<u32>,
    /// In the measurement's list.
    pub gaps: std::ops::Range<u32>,
    /// Whether it failed by the file's own word.
    pub is_failed: bool,
}

/// What is collected on the way to a measurement.
#[derive(Debug)]
pub(crate) struct Rows {
    pub measurement: Measurement,
    pub rows: Vec<Row>,
    pub diagnostics: Vec<Diagnostic>,
    /// The first failure's own words.
    pub first_failure: String,
    /// How a row is named: `ttfts[{}]`, `line {}`.
    pub naming: fn(u64) -> String,
}

impl Rows {
    pub fn new(measurement: Measurement, naming: fn(u64) -> String) -> Self {
        Self { measurement, rows: Vec::new(), diagnostics: Vec::new(), first_failure: String::new(), naming }
    }

    fn path(&self, place: u64) -> String {
        format!("{}:{}", self.measurement.name, (self.naming)(place))
    }

    /// Checks the rows and puts them into the measurement, with the numbers of the requests that are kept.
    ///
    /// # Errors
    /// Every problem that rejects the file, warnings found before included.
    pub fn finish(mut self) -> Result<Finished, Vec<Diagnostic>> {
        let offered = self.rows.len();
        let name = self.measurement.name.clone();
        let mut bad: Vec<(u64, String)> = Vec::new();
        let mut kept: Vec<Row> = Vec::with_capacity(offered);
        let mut failed = 0usize;
        let mut misread = false;
        for row in std::mem::take(&mut self.rows) {
            for (what, value) in [("input_tokens", row.input_tokens), ("output_tokens", row.output_tokens)] {
                let is_length = value.is_nan() || (0.0..=MAX_TOKENS).contains(&value) && value.fract() == 0.0;
                if !is_length {
                    misread = true;
                    let message = format!("{what} is {value}");
                    self.diagnostics.push(
                        Diagnostic::error("log-invalid-value", self.path(row.place), message)
                            .with_hint("lengths are whole numbers of tokens from 0 to 10 million"),
                    );
                }
            }
            if row.is_failed || row.output_tokens == 0.0 {
                failed += 1;
                continue;
            }
            match reason_to_drop(&row) {
                Some(reason) => bad.push((row.place, reason)),
                None => kept.push(row),
            }
        }
        self.diagnostics.truncate(40);
        if misread {
            return Err(self.diagnostics);
        }
        self.measurement.num_failed += failed as u32;
        let num_failed = self.measurement.num_failed as usize;
        let total = (kept.len() + bad.len() + num_failed).max(1);
        self.tell_bad(&bad, total);
        if num_failed * 20 > total {
            let mut message = format!("{num_failed} of {total} requests failed");
            if !self.first_failure.is_empty() {
                message.push_str(&format!("; first error: {}", self.first_failure));
            }
            let diagnostic = if num_failed * 2 > total {
                Diagnostic::error("log-failed-requests", name.clone(), message)
            } else {
                Diagnostic::warning("log-failed-requests", name.clone(), message)
            };
            self.diagnostics.push(diagnostic.with_hint("repeat the run on a healthy server"));
        }
        let has_errors = |list: &[Diagnostic]| {
            list.iter().any(|diagnostic| diagnostic.severity == plimsoll_core::diagnostic::Severity::Error)
        };
        if has_errors(&self.diagnostics) {
            return Err(self.diagnostics);
        }
        if kept.is_empty() {
            self.diagnostics.push(
                Diagnostic::error("log-no-requests", name, "the file holds no successful request")
                    .with_hint("record a run again"),
            );
            return Err(self.diagnostics);
        }
        if kept.len() < FEW {
            self.diagnostics.push(
                Diagnostic::warning("log-too-few", name, format!("{} requests are few to calibrate with", kept.len()))
                    .with_hint("record a hundred or more"),
            );
        }
        let ids = self.place_in_time(kept);
        Ok(Finished { measurement: self.measurement, diagnostics: self.diagnostics, ids })
    }

    fn tell_bad(&mut self, bad: &[(u64, String)], total: usize) {
        if bad.is_empty() {
            return;
        }
        let is_rejected = bad.len() * 100 > total;
        for (place, reason) in bad.iter().take(MAX_TOLD) {
            let path = self.path(*place);
            let diagnostic = if is_rejected {
                Diagnostic::error("log-invalid-value", path, reason.clone())
            } else {
                Diagnostic::warning("log-invalid-value", path, format!("{reason}; the request is left out"))
            };
            self.diagnostics.push(diagnostic.with_hint("record the run again"));
        }
        if is_rejected && bad.len() > MAX_TOLD {
            let message = format!("{} of {total} requests are malformed", bad.len());
            self.diagnostics.push(
                Diagnostic::error("log-more-rows", self.measurement.name.clone(), message)
                    .with_hint("mend the first ones"),
            );
        }
    }

    /// Sorts by send time and counts time from the first arrival; the numbers of the requests in the new order.
    fn place_in_time(&mut self, mut kept: Vec<Row>) -> Vec<Option<u64>> {
        let finite = |value: f64| value.is_finite().then_some(value);
        let knows_sends = kept.iter().all(|row| row.send.is_finite());
        let knows_arrivals = kept.iter().all(|row| row.arrive.is_finite());
        if knows_sends {
            kept.sort_by(|a, b| a.send.total_cmp(&b.send));
        }
        let first = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        // Both clocks start somewhere of their own (log formats 3a); the lag is counted from its minimum.
        let origin = if knows_sends { first(&mut kept.iter().map(|row| row.send)) } else { 0.0 };
        let least_lag = if knows_sends && knows_arrivals {
            first(&mut kept.iter().map(|row| (row.send - origin) - row.arrive))
        } else {
            0.0
        };
        if !knows_sends {
            self.measurement.arrivals = ArrivalSource::Assumed;
        }
        let mut ids = Vec::with_capacity(kept.len());
        let requests = kept.into_iter().map(|row| {
            let send = if knows_sends { row.send - origin } else { 0.0 };
            let arrive = if knows_sends && knows_arrivals { (row.arrive + least_lag).min(send) } else { send };
            ids.push(row.id);
            MeasuredRequest {
                arrive: SimTime::from_micros_f64(libm::round(arrive)),
                send: SimTime::from_micros_f64(libm::round(send)),
                input_tokens: finite(row.input_tokens).unwrap_or(0.0) as u32,
                output_tokens: finite(row.output_tokens).unwrap_or(1.0) as u32,
                ttft: finite(row.ttft).map(micros),
                // Within the tolerance a last token before the first is the first.
                e2e: finite(row.e2e).map(|e2e| micros(finite(row.ttft).map_or(e2e, |ttft| e2e.max(ttft)))),
                session: row.session,
                gaps: row.gaps,
            }
        });
        self.measurement.requests = requests.collect();
        ids
    }
}

/// A checked measurement.
#[derive(Debug)]
pub(crate) struct Finished {
    pub measurement: Measurement,
    pub diagnostics: Vec<Diagnostic>,
    /// Numbers of the requests in the file, in the order of the measurement.
    pub ids: Vec<Option<u64>>,
}

pub(crate) fn micros(value: f64) -> SimTime {
    SimTime::from_micros_f64(libm::round(value))
}

fn reason_to_drop(row: &Row) -> Option<String> {
    let named = [("send time", row.send), ("TTFT", row.ttft), ("end-to-end latency", row.e2e)];
    for (what, value) in named {
        if value.is_infinite() || value.abs() > 1e3 * MAX_US {
            return Some(format!("the {what} is {value}"));
        }
    }
    if row.input_tokens.is_nan() || row.output_tokens.is_nan() {
        return Some("the number of tokens is missing".into());
    }
    for (what, value) in named.into_iter().skip(1) {
        if value < 0.0 {
            return Some(format!("the {what} is {:.6} s, below zero", value / 1e6));
        }
        if value > MAX_US {
            return Some(format!("the {what} is {value} µs"));
        }
    }
    if row.ttft.is_nan() && row.e2e.is_nan() {
        return Some("there is neither a TTFT nor an end-to-end latency".into());
    }
    if row.e2e + TOLERANCE_US < row.ttft {
        return Some(format!("the last token comes {:.3} ms before the first", (row.ttft - row.e2e) / 1e3));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::measurement::LogFormat;

    fn row(place: u64, send: f64, ttft: f64, e2e: f64) -> Row {
        Row {
            place,
            id: None,
            arrive: f64::NAN,
            send,
            input_tokens: 10.0,
            output_tokens: 3.0,
            ttft,
            e2e,
            session: None,
            gaps: 0..0,
            is_failed: false,
        }
    }

    fn finish(rows: Vec<Row>) -> Result<Finished, Vec<Diagnostic>> {
        let mut all = Rows::new(Measurement::new("f", LogFormat::Lmbench), |place| format!("{place}"));
        all.rows = rows;
        all.finish()
    }

    #[test]
    fn requests_are_sorted_and_counted_from_the_first() {
        let finished = finish(vec![row(0, 2e6, 5e4, 7e4), row(1, 1e6, 5e4, 5e4 - 900.0)]).unwrap();
        let requests = &finished.measurement.requests;
        assert_eq!([requests[0].send, requests[1].send], [SimTime(0), SimTime(1_000_000)]);
        // Within a millisecond the last token counts as the first.
        assert_eq!(requests[0].e2e, requests[0].ttft);
        assert_eq!(finished.diagnostics[0].code, "log-too-few");
    }

    #[test]
    fn a_few_bad_rows_are_left_out_and_many_reject_the_file() {
        let mut rows: Vec<Row> = (0..200).map(|i| row(i, i as f64, 5e4, 7e4)).collect();
        rows[7].e2e = 1e4;
        let finished = finish(rows.clone()).unwrap();
        assert_eq!(finished.measurement.requests.len(), 199);
        assert_eq!(finished.diagnostics[0].path, "f:7");
        for at in [9, 10, 11, 12, 13, 14, 15] {
            rows[at].ttft = -1.0;
        }
        let problems = finish(rows).unwrap_err();
        assert_eq!(problems.len(), MAX_TOLD + 1, "{problems:?}");
        assert_eq!(problems[MAX_TOLD].message, "8 of 200 requests are malformed");
    }

    #[test]
    fn failed_requests_are_counted_and_half_of_them_reject_the_file() {
        let mut rows: Vec<Row> = (0..100).map(|i| row(i, i as f64, 5e4, 7e4)).collect();
        rows[3].is_failed = true;
        let finished = finish(rows.clone()).unwrap();
        assert_eq!((finished.measurement.num_failed, finished.diagnostics.len()), (1, 0));
        rows.iter_mut().take(10).for_each(|row| row.output_tokens = 0.0);
        assert_eq!(finish(rows.clone()).unwrap().diagnostics[0].code, "log-failed-requests");
        rows.iter_mut().take(51).for_each(|row| row.is_failed = true);
        assert_eq!(finish(rows).unwrap_err()[0].message, "51 of 100 requests failed");
    }
}

//! Attainment and goodput (definitions 2).

use crate::observation::{Fate, RequestRecord};
use crate::scenario::Slo;
use crate::time::SimTime;
use serde::{Deserialize, Serialize};

/// The per-request limits of an SLO, microseconds; infinite where none is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestLimits {
    ttft: f64,
    tpot: f64,
    e2e: f64,
}

impl RequestLimits {
    /// The limits of `slo`, each multiplied by `factor`.
    #[must_use]
    pub fn new(slo: &Slo, factor: f64) -> Self {
        // Times are whole microseconds; the hair's breadth keeps a limit met to the microsecond from failing by rounding.
        let limit = |millis: Option<f64>| millis.map_or(f64::INFINITY, |ms| ms * factor * 1000.0 * (1.0 + 1e-12));
        Self { ttft: limit(slo.ttft_ms), tpot: limit(slo.tpot_ms), e2e: limit(slo.e2e_ms) }
    }

    /// Whether a finished request keeps every limit.
    ///
    /// A one-token output has no time per output token; as in vLLM's goodput it counts as zero.
    #[inline]
    #[must_use]
    pub fn hold(&self, ttft: SimTime, e2e: SimTime, output_tokens: u32) -> bool {
        let gaps = output_tokens.saturating_sub(1);
        let decode = (e2e.0 - ttft.0) as f64;
        ttft.0 as f64 <= self.ttft && e2e.0 as f64 <= self.e2e && (gaps == 0 || decode <= self.tpot * f64::from(gaps))
    }

    /// Whether a request that is unfinished at `end` has missed a limit already.
    #[must_use]
    pub fn missed_already(&self, arrive: SimTime, ttft: Option<SimTime>, end: SimTime) -> bool {
        let age = end.0.saturating_sub(arrive.0) as f64;
        age > self.e2e || ttft.map_or(age, |ttft| ttft.0 as f64) > self.ttft
    }
}

/// What became of the requests under the SLO.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SloReport {
    /// Requests that keep every per-request limit.
    pub attaining_requests: u64,
    /// Requests that missed a limit, were dropped or timed out, or are unfinished past a limit.
    pub missing_requests: u64,
    /// Unfinished at the horizon with every limit still open; in neither number above.
    pub open_requests: u64,
    /// Attaining share of attaining and missing requests, 0–1; 0 if there are none.
    pub slo_attainment: f64,
    /// Attaining requests per second of the run.
    pub goodput_requests_per_sec: f64,
    /// The reference's form: finished requests within the E2E limit, share of finished ones, 0–1.
    pub slo_attainment_reference: f64,
    /// Whether each percentile limit holds over the whole run and the attainment is reached.
    pub is_met: bool,
}

/// Counts attainment as requests settle.
#[derive(Debug, Clone)]
pub(super) struct Attainment {
    limits: RequestLimits,
    attaining: u64,
    missing: u64,
    within_e2e: u64,
    finished: u64,
    /// Arrival and TTFT of the unfinished: judged when the end of the run is known.
    unfinished: alloc::vec::Vec<(SimTime, Option<SimTime>)>,
}

impl Attainment {
    pub(super) fn new(slo: &Slo) -> Self {
        let unfinished = alloc::vec::Vec::new();
        Self { limits: RequestLimits::new(slo, 1.0), attaining: 0, missing: 0, within_e2e: 0, finished: 0, unfinished }
    }

    #[inline]
    pub(super) fn add(&mut self, record: &RequestRecord) {
        match (record.fate, record.ttft, record.e2e) {
            (Fate::Completed | Fate::LengthCapped, Some(ttft), Some(e2e)) => {
                self.finished += 1;
                self.within_e2e += u64::from(e2e.0 as f64 <= self.limits.e2e);
                let attains = self.limits.hold(ttft, e2e, record.produced_tokens);
                self.attaining += u64::from(attains);
                self.missing += u64::from(!attains);
            }
            (Fate::StillQueued | Fate::StillRunning, ttft, _) => self.unfinished.push((record.request.arrive, ttft)),
            (Fate::InPipeline, ..) => {}
            _ => self.missing += 1,
        }
    }

    /// The report of a run that ended at `end`; `percentiles_hold` speaks for the percentile limits.
    pub(super) fn report(&self, end: SimTime, percentiles_hold: bool, attainment_target: f64) -> SloReport {
        let past =
            self.unfinished.iter().filter(|&&(arrive, ttft)| self.limits.missed_already(arrive, ttft, end)).count()
                as u64;
        let missing = self.missing + past;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let slo_attainment = share(self.attaining, self.attaining + missing);
        SloReport {
            attaining_requests: self.attaining,
            missing_requests: missing,
            open_requests: self.unfinished.len() as u64 - past,
            slo_attainment,
            goodput_requests_per_sec: if end.0 > 0 { self.attaining as f64 / end.as_seconds() } else { 0.0 },
            slo_attainment_reference: share(self.within_e2e, self.finished),
            is_met: percentiles_hold && self.attaining > 0 && slo_attainment >= attainment_target,
        }
    }
}

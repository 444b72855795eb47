//! Attainment and goodput (definitions 2).

use crate::observation::{Fate, RequestRecord};
use crate::scenario::{ClassSlo, Slo, UNNAMED_CLASS};
use crate::time::SimTime;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The per-request limits of an SLO, microseconds; infinite where none is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestLimits {
    ttft: f64,
    tpot: f64,
    e2e: f64,
}

impl RequestLimits {
    /// Limits in milliseconds, each multiplied by `factor`.
    fn new(ttft_ms: Option<f64>, tpot_ms: Option<f64>, e2e_ms: Option<f64>, factor: f64) -> Self {
        // Times are whole microseconds; the hair's breadth keeps a limit met to the microsecond from failing by rounding.
        let limit = |millis: Option<f64>| millis.map_or(f64::INFINITY, |ms| ms * factor * 1000.0 * (1.0 + 1e-12));
        Self { ttft: limit(ttft_ms), tpot: limit(tpot_ms), e2e: limit(e2e_ms) }
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

    /// Which of the limits on TTFT, TPOT and E2E there are.
    #[must_use]
    pub fn given(&self) -> [bool; 3] {
        [self.ttft, self.tpot, self.e2e].map(f64::is_finite)
    }

    /// Which of the limits on TTFT, TPOT and E2E a finished request exceeds.
    #[inline]
    #[must_use]
    pub fn exceeded(&self, ttft: SimTime, e2e: SimTime, output_tokens: u32) -> [bool; 3] {
        let gaps = output_tokens.saturating_sub(1);
        let decode = (e2e.0 - ttft.0) as f64;
        [ttft.0 as f64 > self.ttft, gaps > 0 && decode > self.tpot * f64::from(gaps), e2e.0 as f64 > self.e2e]
    }

    /// Whether these times, microseconds, keep every limit.
    #[must_use]
    pub fn cover(&self, ttft: f64, tpot: f64, e2e: f64) -> bool {
        ttft <= self.ttft && tpot <= self.tpot && e2e <= self.e2e
    }

    /// Whether a request that is unfinished at `end` has missed a limit already.
    #[must_use]
    pub fn missed_already(&self, arrive: SimTime, ttft: Option<SimTime>, end: SimTime) -> bool {
        let age = end.0.saturating_sub(arrive.0) as f64;
        age > self.e2e || ttft.map_or(age, |ttft| ttft.0 as f64) > self.ttft
    }
}

/// The per-request limits of every SLO class.
#[derive(Debug, Clone)]
pub struct ClassLimits {
    general: RequestLimits,
    /// By class index; classes beyond have the general limits.
    classes: Vec<RequestLimits>,
}

impl ClassLimits {
    /// The limits of `slo` and of `own` by class name, each multiplied by `factor`; `names` of the classes by index.
    #[must_use]
    pub fn new(slo: &Slo, own: &BTreeMap<String, ClassSlo>, names: &[String], factor: f64) -> Self {
        let general = RequestLimits::new(slo.ttft_ms, slo.tpot_ms, slo.e2e_ms, factor);
        let unnamed = [String::new()];
        let names = if names.is_empty() { &unnamed } else { names };
        let of = |name: &String| {
            own.get(class_name(name))
                .map_or(general, |class| RequestLimits::new(class.ttft_ms, class.tpot_ms, class.e2e_ms, factor))
        };
        let classes = if own.is_empty() { Vec::new() } else { names.iter().map(of).collect() };
        Self { general, classes }
    }

    /// Whether some class has limits of its own.
    #[must_use]
    pub fn differ(&self) -> bool {
        !self.classes.is_empty()
    }

    /// The limits of the class with this index.
    #[inline]
    #[must_use]
    pub fn of(&self, class: u16) -> &RequestLimits {
        self.classes.get(usize::from(class)).unwrap_or(&self.general)
    }
}

/// What a class is called.
#[must_use]
pub fn class_name(name: &str) -> &str {
    if name.is_empty() { UNNAMED_CLASS } else { name }
}

/// What became of the requests under the SLO.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SloReport {
    /// Requests that keep every per-request limit of their class.
    pub attaining_requests: u64,
    /// Requests that missed a limit, were refused, dropped or timed out, or are unfinished past a limit.
    pub missing_requests: u64,
    /// Unfinished at the horizon with every limit still open; in neither number above.
    pub open_requests: u64,
    /// Attaining share of attaining and missing requests, 0–1; 0 if there are none.
    pub slo_attainment: f64,
    /// Attaining requests per second of the run.
    pub goodput_requests_per_sec: f64,
    /// The reference's form: finished requests within the E2E limit of their class, share of finished ones, 0–1.
    pub slo_attainment_reference: f64,
    /// Whether each percentile limit holds over the whole run, and the attainment is reached by all requests together
    /// and by every class with limits of its own.
    pub is_met: bool,
}

/// What became of the requests of one SLO class under its limits.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClassAttainment {
    /// Requests that keep every per-request limit of the class.
    pub attaining_requests: u64,
    /// Requests that missed one, were refused, dropped or timed out, or are unfinished past one.
    pub missing_requests: u64,
    /// Unfinished at the horizon with every limit still open; in neither number above.
    pub open_requests: u64,
    /// Attaining share of attaining and missing requests, 0–1; 0 if there are none.
    pub slo_attainment: f64,
    /// The reference's form: finished requests within the E2E limit, share of finished ones, 0–1.
    pub slo_attainment_reference: f64,
}

/// Counts of one SLO class.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    attaining: u64,
    missing: u64,
    open: u64,
    within_e2e: u64,
    finished: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.attaining += other.attaining;
        self.missing += other.missing;
        self.open += other.open;
        self.within_e2e += other.within_e2e;
        self.finished += other.finished;
    }

    fn attainment(&self) -> ClassAttainment {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        ClassAttainment {
            attaining_requests: self.attaining,
            missing_requests: self.missing,
            open_requests: self.open,
            slo_attainment: share(self.attaining, self.attaining + self.missing),
            slo_attainment_reference: share(self.within_e2e, self.finished),
        }
    }
}

/// Counts attainment as requests settle.
#[derive(Debug, Clone)]
pub(super) struct Attainment {
    limits: ClassLimits,
    /// By class index.
    classes: Vec<Counts>,
    /// Class, arrival and TTFT of the unfinished: judged when the end of the run is known.
    unfinished: Vec<(u16, SimTime, Option<SimTime>)>,
}

impl Attainment {
    pub(super) fn new(limits: ClassLimits) -> Self {
        Self { limits, classes: alloc::vec![Counts::default()], unfinished: Vec::new() }
    }

    #[inline]
    fn counts(&mut self, class: u16) -> &mut Counts {
        let class = usize::from(class);
        if class >= self.classes.len() {
            self.classes.resize(class + 1, Counts::default());
        }
        &mut self.classes[class]
    }

    #[inline]
    pub(super) fn add(&mut self, record: &RequestRecord) {
        let class = record.request.slo_class;
        match (record.fate, record.ttft, record.e2e) {
            (Fate::Completed | Fate::LengthCapped, Some(ttft), Some(e2e)) => {
                let limits = *self.limits.of(class);
                let attains = limits.hold(ttft, e2e, record.produced_tokens);
                let counts = self.counts(class);
                counts.finished += 1;
                counts.within_e2e += u64::from(e2e.0 as f64 <= limits.e2e);
                counts.attaining += u64::from(attains);
                counts.missing += u64::from(!attains);
            }
            (Fate::StillQueued | Fate::StillRunning, ttft, _) => {
                self.unfinished.push((class, record.request.arrive, ttft));
            }
            (Fate::InPipeline, ..) => {}
            _ => self.counts(class).missing += 1,
        }
    }

    /// The attainment of all requests of a run that ended at `end`, and of each class by index; `percentiles_hold`
    /// speaks for the percentile limits.
    pub(super) fn report(
        mut self,
        end: SimTime,
        percentiles_hold: bool,
        attainment_target: f64,
    ) -> (SloReport, Vec<ClassAttainment>) {
        for (class, arrive, ttft) in core::mem::take(&mut self.unfinished) {
            let is_past = self.limits.of(class).missed_already(arrive, ttft, end);
            let counts = self.counts(class);
            counts.missing += u64::from(is_past);
            counts.open += u64::from(!is_past);
        }
        let mut all = Counts::default();
        self.classes.iter().for_each(|class| all.add(class));
        let classes: Vec<ClassAttainment> = self.classes.iter().map(Counts::attainment).collect();
        let has_own = !self.limits.classes.is_empty();
        let misses = |class: &ClassAttainment| {
            class.attaining_requests + class.missing_requests > 0 && class.slo_attainment < attainment_target
        };
        let whole = all.attainment();
        let is_reached = whole.slo_attainment >= attainment_target && !(has_own && classes.iter().any(misses));
        let report = SloReport {
            attaining_requests: whole.attaining_requests,
            missing_requests: whole.missing_requests,
            open_requests: whole.open_requests,
            slo_attainment: whole.slo_attainment,
            goodput_requests_per_sec: if end.0 > 0 { all.attaining as f64 / end.as_seconds() } else { 0.0 },
            slo_attainment_reference: whole.slo_attainment_reference,
            is_met: percentiles_hold && all.attaining > 0 && is_reached,
        };
        (report, classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::request;
    use crate::workload::Request;

    fn record(class: u16, ttft_ms: i64, e2e_ms: i64) -> RequestRecord {
        let request = Request { output_tokens: 11, slo_class: class, ..request(0, 0, 0) };
        RequestRecord {
            ttft: Some(SimTime(ttft_ms * 1000)),
            e2e: Some(SimTime(e2e_ms * 1000)),
            produced_tokens: 11,
            ..RequestRecord::unserved(request, Fate::Completed, SimTime::ZERO)
        }
    }

    #[test]
    fn each_class_is_judged_by_its_own_limits() {
        let slo = Slo { ttft_ms: Some(100.0), tpot_ms: None, e2e_ms: Some(1000.0), ..Slo::default() };
        let own = BTreeMap::from([
            ("batch".into(), ClassSlo { e2e_ms: Some(9000.0), ..ClassSlo::default() }),
            (UNNAMED_CLASS.into(), ClassSlo { ttft_ms: Some(50.0), ..ClassSlo::default() }),
        ]);
        let names: Vec<String> = ["", "batch", "critical"].map(String::from).into();
        let mut counted = Attainment::new(ClassLimits::new(&slo, &own, &names, 1.0));
        // The unnamed class has a limit of 50 ms on TTFT alone, batch one of 9 s on E2E alone, critical the general ones.
        for (class, ttft, e2e) in
            [(0, 60, 900), (0, 40, 5000), (1, 700, 8000), (1, 700, 9001), (2, 60, 900), (2, 60, 1001)]
        {
            counted.add(&record(class, ttft, e2e));
        }
        let waiting = RequestRecord { fate: Fate::StillQueued, ttft: None, e2e: None, ..record(1, 0, 0) };
        counted.add(&waiting);
        counted.add(&RequestRecord { fate: Fate::Rejected, ..waiting });
        let (all, classes) = counted.clone().report(SimTime(2_000_000), true, 0.3);
        let shares: Vec<(u64, u64, u64, f64)> = classes
            .iter()
            .map(|c| (c.attaining_requests, c.missing_requests, c.open_requests, c.slo_attainment_reference))
            .collect();
        assert_eq!(shares, [(1, 1, 0, 1.0), (1, 2, 1, 0.5), (1, 1, 0, 0.5)]);
        assert_eq!((all.attaining_requests, all.missing_requests, all.open_requests), (3, 4, 1));
        assert_eq!(all.slo_attainment_reference, 4.0 / 6.0);
        // All together reach three sevenths and batch a third.
        assert!(all.is_met);
        assert!(!counted.clone().report(SimTime(2_000_000), true, 0.4).0.is_met, "batch does not reach it");
        assert!(!counted.report(SimTime(9_000_001), true, 0.3).0.is_met, "one more of batch is past its limit");
    }
}

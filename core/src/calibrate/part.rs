//! Which requests of a run count.

use super::{FitSettings, Prediction};
use crate::measurement::{MeasuredRequest, MeasuredTotals, Measurement, overload_windows};
use crate::time::SimTime;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What becomes of requests that were sent while the server was overloaded ([`overload_windows`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overload {
    /// They count and are told.
    #[default]
    Flag,
    /// They load the simulated server and do not count.
    Exclude,
}

impl Overload {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Flag, Self::Exclude];

    /// Its name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Exclude => "exclude",
        }
    }

    /// What becomes of these requests, in a few words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Flag => "they count like all others",
            Self::Exclude => "they are replayed and do not count",
        }
    }

    /// What this name stands for.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|overload| overload.name() == name)
    }
}

impl FitSettings {
    /// The requests of a run that are fitted, in the order of the run.
    #[must_use]
    pub fn fitted(&self, run: &Measurement) -> Vec<bool> {
        self.counted(run, |send, cut| send < cut)
    }

    /// The requests of a run that are kept aside to judge the fit: those of its last part in time; none without
    /// [`FitSettings::validate_last`].
    #[must_use]
    pub fn held_out(&self, run: &Measurement) -> Vec<bool> {
        self.counted(run, |send, cut| send >= cut)
    }

    fn counted(&self, run: &Measurement, is_in: impl Fn(SimTime, SimTime) -> bool) -> Vec<bool> {
        let first = run.requests.iter().map(|request| request.send.0).min().unwrap_or(0);
        let last = run.requests.iter().map(|request| request.send.0).max().unwrap_or(0);
        let share = self.validate_last.clamp(0.0, Self::MAX_VALIDATE_LAST);
        let cut = match share > 0.0 {
            true => SimTime(first.saturating_add(((1.0 - share) * (last - first) as f64) as i64)),
            false => SimTime::MAX,
        };
        let overloads = match self.overload {
            Overload::Exclude => overload_windows(run),
            Overload::Flag => Vec::new(),
        };
        run.requests
            .iter()
            .map(|request| is_in(request.send, cut) && !overloads.iter().any(|window| window.contains(request.send)))
            .collect()
    }
}

/// The part of a run whose requests count; the run itself if all do.
///
/// The part has no gaps, no figures of the tool and no duration, which belong to the whole run.
pub(super) fn part_of(run: &Measurement, counted: &[bool]) -> Measurement {
    if counted.iter().all(|is_counted| *is_counted) {
        return run.clone();
    }
    let requests = run.requests.iter().zip(counted).filter(|(_, is_counted)| **is_counted);
    let requests = requests.map(|(request, _)| MeasuredRequest { gaps: 0..0, ..request.clone() }).collect();
    let totals = MeasuredTotals::default();
    Measurement { requests, gaps: Vec::new(), duration: None, totals, ..run.clone() }
}

impl Prediction {
    /// Of the requests that count; without a span, which belongs to the whole run.
    pub(super) fn part(mut self, counted: &[bool]) -> Self {
        if counted.iter().all(|is_counted| *is_counted) {
            return self;
        }
        let mut is_counted = counted.iter();
        self.latencies.retain(|_| is_counted.next().is_some_and(|is_counted| *is_counted));
        self.span_s = 0.0;
        self
    }
}

//! What delays a request between its client and the queue beside what every request takes.

use serde::{Deserialize, Serialize};

/// Delays of a client and of the server's front end that depend on who else is in flight.
///
/// # Source
/// Left-out runs of real servers: docs/calibration.md, "The calibrated roofline".
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientEffects {
    /// What a request waits that finds nobody in flight, microseconds: a server that has nothing to do must be woken,
    /// and what it otherwise prepares beside a running step is not hidden.
    pub idle_delay_us: f64,
    /// What a request waits for each other one in flight, microseconds: client and front end write the tokens of all
    /// streams in one thread, and a new request stands behind them.
    pub busy_delay_us: f64,
}

impl ClientEffects {
    /// Whether nothing is delayed.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Delay of a request that finds so many others in flight, microseconds.
    #[must_use]
    pub fn delay(self, in_flight: usize) -> i64 {
        match in_flight {
            0 => self.idle_delay_us as i64,
            _ => (self.busy_delay_us * in_flight as f64) as i64,
        }
    }
}

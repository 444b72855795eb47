//! What a client did beside its plan: how many requests it had in flight, and how late it sent.

use super::{ArrivalSource, Measurement};
use crate::time::SimTime;
use alloc::vec::Vec;

/// A request that is sent so much later than wanted was held back, and not just slow to leave.
const HELD_BACK: SimTime = SimTime(10_000);
/// Requests that must have been held back before a cap is believed.
const LEAST_HELD: usize = 8;
/// Share of them that must have been sent with the most in flight; a client may be slow to fill a slot.
const AT_THE_CAP: f64 = 0.9;

/// A client's requests in flight and the lag of its sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClientLoad {
    /// Most requests in flight at once.
    pub most_in_flight: u32,
    /// Mean time from wanting to send to sending, where arrivals were recorded.
    pub mean_send_lag: Option<SimTime>,
    /// The longest.
    pub longest_send_lag: Option<SimTime>,
    /// Requests in flight that the client did not exceed although it wanted to send: its cap, as stated or as found.
    pub cap: Option<u32>,
    /// Whether the cap was found and not stated.
    pub is_found: bool,
}

impl ClientLoad {
    /// Of a run with single requests.
    ///
    /// # Model
    /// A cap shows as a constant number in flight while sends lag behind arrivals: nine in ten of the requests that were
    /// held back went out as the last of the most that ever were in flight.
    #[must_use]
    pub fn of(run: &Measurement) -> Self {
        let levels = levels_at_sends(run);
        let most_in_flight = levels.iter().copied().max().unwrap_or(0);
        let lags: Vec<i64> = match run.arrivals {
            ArrivalSource::Recorded => {
                run.requests.iter().map(|request| (request.send.0 - request.arrive.0).max(0)).collect()
            }
            ArrivalSource::Derived | ArrivalSource::Assumed => Vec::new(),
        };
        let held: Vec<u32> =
            lags.iter().zip(&levels).filter(|(lag, _)| **lag >= HELD_BACK.0).map(|(_, level)| *level).collect();
        let at_most = held.iter().filter(|level| **level >= most_in_flight).count();
        let is_capped = held.len() >= LEAST_HELD && at_most as f64 >= AT_THE_CAP * held.len() as f64;
        let stated = run.load.max_concurrency;
        let count = i64::try_from(lags.len()).unwrap_or(i64::MAX);
        Self {
            most_in_flight,
            mean_send_lag: lags.iter().sum::<i64>().checked_div(count).map(SimTime),
            longest_send_lag: lags.iter().copied().max().map(SimTime),
            cap: stated.or(is_capped.then_some(most_in_flight)),
            is_found: stated.is_none() && is_capped,
        }
    }
}

/// Requests in flight at each request's send, itself included, in the order of the run; where two requests meet, one has
/// ended before the other is sent.
fn levels_at_sends(run: &Measurement) -> Vec<u32> {
    let mut levels = alloc::vec![0; run.requests.len()];
    // Ends come before sends of the same time.
    let mut changes: Vec<(i64, bool, usize)> = Vec::with_capacity(2 * run.requests.len());
    for (at, request) in run.requests.iter().enumerate() {
        let Some(e2e) = request.e2e else { continue };
        changes.push((request.send.0, true, at));
        changes.push((request.send.0.saturating_add(e2e.0), false, at));
    }
    changes.sort_unstable();
    let mut level = 0u32;
    for (_, is_send, at) in changes {
        level = if is_send { level.saturating_add(1) } else { level.saturating_sub(1) };
        if let (true, Some(slot)) = (is_send, levels.get_mut(at)) {
            *slot = level;
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{LogFormat, MeasuredRequest};

    /// Requests by when they were wanted, sent and done, milliseconds.
    fn run(times: &[[i64; 3]]) -> Measurement {
        let mut run = Measurement::new("a", LogFormat::VllmBench);
        let request = |[arrive, send, end]: &[i64; 3]| MeasuredRequest {
            arrive: SimTime(arrive * 1000),
            send: SimTime(send * 1000),
            input_tokens: 1,
            output_tokens: 1,
            ttft: None,
            e2e: Some(SimTime((end - send) * 1000)),
            session: None,
            gaps: 0..0,
        };
        run.requests = times.iter().map(request).collect();
        run.arrivals = ArrivalSource::Recorded;
        run
    }

    /// One request every 20 ms, each of which takes 100 ms, through `slots`.
    fn through(slots: usize) -> Measurement {
        let mut ends: Vec<i64> = Vec::new();
        let mut times = Vec::new();
        for at in 0..40i64 {
            let arrive = 20 * at;
            let free = ends.len().checked_sub(slots).and_then(|before| ends.get(before)).copied();
            let send = free.map_or(arrive, |free| arrive.max(free + 1));
            ends.push(send + 100);
            times.push([arrive, send, send + 100]);
        }
        run(&times)
    }

    #[test]
    fn requests_in_flight_are_counted_between_send_and_end() {
        let load = ClientLoad::of(&run(&[[0, 0, 50], [20, 20, 50], [50, 50, 60]]));
        assert_eq!((load.most_in_flight, load.mean_send_lag), (2, Some(SimTime(0))));
    }

    #[test]
    fn a_cap_is_found_where_sends_wait_for_ends_and_nowhere_else() {
        let capped = ClientLoad::of(&through(3));
        assert_eq!((capped.cap, capped.is_found, capped.most_in_flight), (Some(3), true, 3));
        assert!(capped.longest_send_lag > Some(SimTime(400_000)), "{capped:?}");
        // Five slots suffice for one request every 20 ms.
        let free = ClientLoad::of(&through(6));
        assert_eq!((free.cap, free.longest_send_lag), (None, Some(SimTime(0))));
        // A client that is just late, whatever is in flight.
        let late: Vec<[i64; 3]> = (0..40).map(|at| [20 * at, 20 * at + 30, 20 * at + 130 + (at % 5) * 20]).collect();
        assert_eq!(ClientLoad::of(&run(&late)).cap, None);
        let stated = Measurement {
            load: crate::measurement::OfferedLoad { max_concurrency: Some(9), ..through(3).load },
            ..through(3)
        };
        assert_eq!((ClientLoad::of(&stated).cap, ClientLoad::of(&stated).is_found), (Some(9), false));
    }
}

//! Arrival times of a benchmark client, regenerated from its seed and rate (log formats 1c).
//!
//! The client draws gaps from NumPy's legacy generator: MT19937 with the seed that the user gave, by default 0.
//! Regenerated times are proved by the makespan: with the client's cap and the measured latencies the last request
//! must end when the recorded run did.

use plimsoll_core::measurement::{ArrivalSource, Measurement};
use plimsoll_core::time::SimTime;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The replayed makespan may differ this much from the recorded duration.
const TOLERANCE: f64 = 0.02;
/// The client's default seed; no file states another.
const SEED: u32 = 0;

/// Fills in arrival and send times of requests in file order, and says what they are worth.
pub(crate) fn regenerate(measurement: &mut Measurement) -> ArrivalSource {
    let load = measurement.load.clone();
    let count = measurement.requests.len() + measurement.num_failed as usize;
    let rate = load.request_rate.unwrap_or(f64::INFINITY);
    let shape = load.burstiness.unwrap_or(1.0);
    let duration = measurement.duration.map_or(f64::NAN, SimTime::as_seconds);
    let candidates: Vec<Vec<f64>> = if rate.is_finite() && rate > 0.0 && shape > 0.0 {
        // Failed requests took part in the stream but their places are not known here.
        vec![older(count, rate, shape), newer(count, rate, shape)]
    } else {
        vec![vec![0.0; count]]
    };
    let mut best: Option<(f64, Vec<(f64, f64)>)> = None;
    for arrivals in candidates {
        let sends = capped(measurement, &arrivals);
        let ends = sends
            .iter()
            .zip(&measurement.requests)
            .map(|((_, send), request)| send + request.e2e.or(request.ttft).map_or(0.0, SimTime::as_seconds));
        let makespan = ends.fold(0.0, f64::max);
        let error = if duration > 0.0 { (makespan / duration - 1.0).abs() } else { f64::INFINITY };
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, sends));
        }
    }
    let Some((error, sends)) = best else { return ArrivalSource::Assumed };
    for (request, (arrive, send)) in measurement.requests.iter_mut().zip(sends) {
        request.arrive = SimTime::from_micros_f64(libm::round(arrive * 1e6));
        request.send = SimTime::from_micros_f64(libm::round(send * 1e6));
    }
    // A request is sent as soon as a slot is free, so equal send times keep the order of arrival.
    measurement.requests.sort_by_key(|request| (request.send, request.arrive));
    if error <= TOLERANCE { ArrivalSource::Derived } else { ArrivalSource::Assumed }
}

/// Arrival and send time of each request under the client's cap: the earliest free slot, first come, first served.
fn capped(measurement: &Measurement, arrivals: &[f64]) -> Vec<(f64, f64)> {
    let cap = measurement.load.max_concurrency.map_or(usize::MAX, |cap| cap as usize).max(1);
    let mut ends: BinaryHeap<Reverse<i64>> = BinaryHeap::new();
    let place = |(request, arrive): (&plimsoll_core::measurement::MeasuredRequest, &f64)| {
        let mut send = *arrive;
        if ends.len() >= cap
            && let Some(Reverse(free)) = ends.pop()
        {
            send = send.max(free as f64 / 1e9);
        }
        let e2e = request.e2e.or(request.ttft).map_or(0.0, SimTime::as_seconds);
        ends.push(Reverse(((send + e2e) * 1e9) as i64));
        (*arrive, send)
    };
    measurement.requests.iter().zip(arrivals).map(place).collect()
}

/// First request at once, then one gap each.
fn older(count: usize, rate: f64, shape: f64) -> Vec<f64> {
    let mut random = Mt19937::new(SEED);
    let mut at = 0.0;
    (0..count)
        .map(|index| {
            if index > 0 {
                at += random.gamma(shape) / (rate * shape);
            }
            at
        })
        .collect()
}

/// Every request waits a gap; then all are scaled so that the last comes after `count / rate`.
fn newer(count: usize, rate: f64, shape: f64) -> Vec<f64> {
    let mut random = Mt19937::new(SEED);
    let mut at = 0.0;
    let raw: Vec<f64> = (0..count)
        .map(|_| {
            at += random.gamma(shape) / (rate * shape);
            at
        })
        .collect();
    let scale = if at > 0.0 { count as f64 / rate / at } else { 1.0 };
    raw.into_iter().map(|time| time * scale).collect()
}

/// NumPy's legacy generator.
///
/// # Source
/// Matsumoto and Nishimura (1998), *Mersenne Twister*; the derived distributions follow NumPy's legacy functions,
/// which NumPy keeps frozen.
struct Mt19937 {
    state: [u32; 624],
    next: usize,
    spare_normal: Option<f64>,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [0u32; 624];
        let mut value = seed;
        for (index, slot) in state.iter_mut().enumerate() {
            if index > 0 {
                value = 1_812_433_253u32.wrapping_mul(value ^ (value >> 30)).wrapping_add(index as u32);
            }
            *slot = value;
        }
        Self { state, next: 624, spare_normal: None }
    }

    fn bits(&mut self) -> u32 {
        if self.next >= 624 {
            for index in 0..624 {
                let upper = self.state[index] & 0x8000_0000;
                let lower = self.state[(index + 1) % 624] & 0x7fff_ffff;
                let mixed = upper | lower;
                let twist = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[index] = self.state[(index + 397) % 624] ^ (mixed >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A uniform of 53 bits in [0, 1).
    fn unit(&mut self) -> f64 {
        let high = f64::from(self.bits() >> 5);
        let low = f64::from(self.bits() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let x1 = 2.0 * self.unit() - 1.0;
            let x2 = 2.0 * self.unit() - 1.0;
            let square = x1 * x1 + x2 * x2;
            if square < 1.0 && square != 0.0 {
                let factor = libm::sqrt(-2.0 * libm::log(square) / square);
                self.spare_normal = Some(factor * x1);
                return factor * x2;
            }
        }
    }

    /// A gamma of this shape and scale 1.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape == 1.0 {
            return self.exponential();
        }
        if shape < 1.0 {
            loop {
                let u = self.unit();
                let v = self.exponential();
                if u <= 1.0 - shape {
                    let x = libm::pow(u, 1.0 / shape);
                    if x <= v {
                        return x;
                    }
                } else {
                    let y = -libm::log((1.0 - u) / shape);
                    let x = libm::pow(1.0 - shape + shape * y, 1.0 / shape);
                    if x <= v + y {
                        return x;
                    }
                }
            }
        }
        let b = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * b);
        loop {
            let (x, v) = loop {
                let x = self.normal();
                let v = 1.0 + c * x;
                if v > 0.0 {
                    break (x, v);
                }
            };
            let v = v * v * v;
            let u = self.unit();
            if u < 1.0 - 0.0331 * (x * x) * (x * x) || libm::log(u) < 0.5 * x * x + b * (1.0 - v + libm::log(v)) {
                return b * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::measurement::{LogFormat, MeasuredRequest};

    /// Values of NumPy 2.4.6: `RandomState(0).random_sample(3)`, `.gamma(shape, 1, 3)`.
    #[test]
    fn the_stream_is_numpys() {
        let close = |found: Vec<f64>, expected: [f64; 3]| {
            for (a, b) in found.iter().zip(expected) {
                assert!((a / b - 1.0).abs() < 1e-14, "{found:?} {expected:?}");
            }
        };
        let draw = |next: fn(&mut Mt19937) -> f64| {
            let mut random = Mt19937::new(0);
            (0..3).map(|_| next(&mut random)).collect::<Vec<f64>>()
        };
        close(draw(Mt19937::unit), [0.548_813_503_927_324_8, 0.715_189_366_372_419_5, 0.602_763_376_071_643_9]);
        close(draw(|r| r.gamma(1.0)), [GAMMA_1[0], GAMMA_1[1], GAMMA_1[2]]);
        close(draw(|r| r.gamma(0.5)), [GAMMA_HALF[0], GAMMA_HALF[1], GAMMA_HALF[2]]);
        close(draw(|r| r.gamma(50.0)), [GAMMA_50[0], GAMMA_50[1], GAMMA_50[2]]);
    }

    const GAMMA_1: [f64; 3] = [0.79587450816311, 1.2559307629658378, 0.9232231458040688];
    const GAMMA_HALF: [f64; 3] = [0.3040018897607044, 0.37827172006781556, 0.1794833890028876];
    const GAMMA_50: [f64; 3] = [63.16489483498185, 52.54046985885096, 64.02502593919908];

    fn run(e2e_s: f64, count: usize, cap: Option<u32>, duration_s: f64) -> Measurement {
        let mut run = Measurement::new("f", LogFormat::VllmBench);
        let e2e = SimTime((e2e_s * 1e6) as i64);
        let request = MeasuredRequest {
            arrive: SimTime(0),
            send: SimTime(0),
            input_tokens: 1,
            output_tokens: 1,
            ttft: Some(e2e),
            e2e: Some(e2e),
            session: None,
            gaps: 0..0,
        };
        run.requests = vec![request; count];
        run.load.max_concurrency = cap;
        run.duration = Some(SimTime((duration_s * 1e6) as i64));
        run
    }

    #[test]
    fn a_cap_holds_requests_back_until_a_slot_is_free() {
        let mut all_at_once = run(2.0, 5, Some(2), 6.0);
        assert_eq!(regenerate(&mut all_at_once), ArrivalSource::Derived);
        let sends: Vec<i64> = all_at_once.requests.iter().map(|request| request.send.0).collect();
        assert_eq!(sends, [0, 0, 2_000_000, 2_000_000, 4_000_000]);
        let mut wrong = run(2.0, 5, Some(2), 20.0);
        assert_eq!(regenerate(&mut wrong), ArrivalSource::Assumed);
    }
}

//! Randomness: one named, independent stream per purpose and replicate.
//!
//! The generator is PCG32 (`Lcg64Xsh32`: 64-bit congruential state, 32-bit output by xorshift and random rotation),
//! chosen because 64-bit multiplication is one instruction in WebAssembly, where 128-bit ones are a call.
//! Conversions to doubles are our own and exact, transcendental functions are `libm`'s, so that the same seed gives
//! the same numbers on every platform and with every version of the generator's crate.
//!
//! Nothing here draws entropy: every stream follows from a [`Seed`].

use rand_core::Rng;
use rand_pcg::Lcg64Xsh32;

/// What all streams of a run follow from: the scenario's seed and the replicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed {
    /// Seed of the scenario.
    pub seed: u64,
    /// Replicate; each one is an independent repetition.
    pub replicate: u32,
}

/// What a stream is used for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Gaps between arrivals.
    Arrivals,
    /// Prompt lengths.
    InputLengths,
    /// Output lengths.
    OutputLengths,
    /// Whether a request carries a shared prefix, and which.
    PrefixChoice,
    /// Share of an output that is reasoning.
    ReasonRatio,
    /// Time from an answer to the next turn.
    ThinkTime,
    /// Candidates of an optimizer.
    Search,
}

impl Purpose {
    /// A fixed number per purpose. Never renumber: results depend on it.
    fn code(self) -> u64 {
        match self {
            Purpose::Arrivals => 1,
            Purpose::InputLengths => 2,
            Purpose::OutputLengths => 3,
            Purpose::PrefixChoice => 4,
            Purpose::ReasonRatio => 5,
            Purpose::ThinkTime => 6,
            Purpose::Search => 100,
        }
    }
}

/// A stream of random numbers.
///
/// # Determinism
/// Equal seeds and purposes give equal streams, on every platform.
#[derive(Debug, Clone)]
pub struct Stream {
    generator: Lcg64Xsh32,
}

impl Stream {
    /// The stream of `purpose` under `seed`.
    #[must_use]
    pub fn new(seed: Seed, purpose: Purpose) -> Self {
        Self::of_part(seed, purpose, 0)
    }

    /// The stream of `purpose` for one of several parts of a workload, e.g. a client; part 0 is [`Stream::new`]'s.
    #[must_use]
    pub fn of_part(seed: Seed, purpose: Purpose, part: u64) -> Self {
        let replicate = mix(seed.seed ^ mix(u64::from(seed.replicate)));
        let purpose = mix(replicate ^ mix(purpose.code() << 32));
        let state = if part == 0 { purpose } else { mix(purpose ^ mix(part)) };
        // A congruential generator's streams differ by the increment; a hashed state keeps them from running parallel.
        Self { generator: Lcg64Xsh32::new(state, mix(state)) }
    }

    /// Sixty-four random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// A uniform double strictly between 0 and 1: (k + ½)·2⁻⁵² with k of 52 bits, exact and symmetric about ½.
    #[inline]
    pub fn open_unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 52) as f64;
        ((self.bits() >> 12) as f64 + 0.5) * STEP
    }

    /// An exponential with mean 1, by inversion: −ln U.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.open_unit())
    }

    /// A standard normal, by inversion, so that exactly one draw is used and larger draws give larger values.
    #[inline]
    pub fn normal(&mut self) -> f64 {
        normal_quantile(self.open_unit())
    }

    /// A gamma with this shape and mean `shape`; uses a varying number of draws.
    ///
    /// # Source
    /// Marsaglia and Tsang (2000), *A simple method for generating gamma variables*; shapes below 1 by its section 6.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::pow(self.open_unit(), 1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let t = 1.0 + c * x;
            if t <= 0.0 {
                continue;
            }
            let v = t * t * t;
            let u = self.open_unit();
            if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }
}

/// The output function of SplitMix64: a bijection that spreads every input bit over all output bits.
///
/// # Source
/// Steele, Lea and Flood (2014), *Fast splittable pseudorandom number generators*.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The value below which a standard normal falls with probability `p`, 0 < p < 1; about 15 digits.
///
/// # Source
/// Wichura (1988), algorithm AS 241, PPND16; the polynomials are evaluated by Estrin's scheme, which is shorter where
/// several operations run at once.
#[must_use]
#[inline]
pub fn normal_quantile(p: f64) -> f64 {
    const NUMERATOR: [f64; 8] = [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ];
    const DENOMINATOR: [f64; 8] = [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ];
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&NUMERATOR, r) / polynomial(&DENOMINATOR, r);
    }
    normal_tail(p, q)
}

/// [`normal_quantile`] outside the central 85 %.
#[inline(never)]
fn normal_tail(p: f64, q: f64) -> f64 {
    const NUMERATOR: [f64; 8] = [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ];
    const DENOMINATOR: [f64; 8] = [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ];
    const FAR_NUMERATOR: [f64; 8] = [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ];
    const FAR_DENOMINATOR: [f64; 8] = [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ];
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = libm::sqrt(-libm::log(tail));
    let magnitude = if r <= 5.0 {
        polynomial(&NUMERATOR, r - 1.6) / polynomial(&DENOMINATOR, r - 1.6)
    } else {
        polynomial(&FAR_NUMERATOR, r - 5.0) / polynomial(&FAR_DENOMINATOR, r - 5.0)
    };
    if q < 0.0 { -magnitude } else { magnitude }
}

/// A polynomial of degree seven, lowest coefficient first.
#[inline]
fn polynomial(c: &[f64; 8], x: f64) -> f64 {
    let x2 = x * x;
    let low = (c[0] + c[1] * x) + (c[2] + c[3] * x) * x2;
    let high = (c[4] + c[5] * x) + (c[6] + c[7] * x) * x2;
    low + high * (x2 * x2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn stream(replicate: u32, purpose: Purpose) -> Stream {
        Stream::new(Seed { seed: 42, replicate }, purpose)
    }

    fn part(part: u64) -> Stream {
        Stream::of_part(Seed { seed: 42, replicate: 0 }, Purpose::InputLengths, part)
    }

    /// Mean and variance of `n` draws.
    fn moments(n: u32, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / f64::from(n - 1);
        (mean, variance)
    }

    #[test]
    fn the_quantile_inverts_the_normal_distribution() {
        // Values of Python's statistics.NormalDist().inv_cdf.
        for (p, expected) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_053_6),
            (0.6, 0.253_347_103_135_799_7),
            (0.01, -2.326_347_874_040_841),
            (1e-12, -7.034_483_825_301_132),
        ] {
            assert!((normal_quantile(p) - expected).abs() < 2e-15 * (1.0 + expected.abs()) * 8.0, "{p}");
        }
    }

    /// Seed 42, 100,000 draws; each bound is 4.9 standard errors: false alarm 1e-6 each.
    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let n = 100_000;
        let se = |variance: f64| 4.9 * libm::sqrt(variance / f64::from(n));
        let mut s = stream(0, Purpose::Arrivals);
        let (mean, variance) = moments(n, || s.exponential());
        assert!((mean - 1.0).abs() < se(1.0), "{mean}");
        assert!((variance - 1.0).abs() < se(8.0), "{variance}");
        let (mean, variance) = moments(n, || s.normal());
        assert!(mean.abs() < se(1.0), "{mean}");
        assert!((variance - 1.0).abs() < se(2.0), "{variance}");
        for shape in [0.25, 1.0, 4.0] {
            let (mean, variance) = moments(n, || s.gamma(shape));
            assert!((mean - shape).abs() < se(shape), "{shape}: {mean}");
            // Fourth central moment of a gamma: 3k² + 6k.
            assert!((variance - shape).abs() < se(2.0 * shape * shape + 6.0 * shape), "{shape}: {variance}");
        }
    }

    /// Seed 42, 20,000 pairs of normals; the bound on |r| is 4.9/√n: false alarm 1e-6 each.
    #[test]
    fn streams_of_other_purposes_and_replicates_are_uncorrelated() {
        let n = 20_000;
        for (a, b) in [
            (stream(0, Purpose::InputLengths), stream(0, Purpose::OutputLengths)),
            (stream(0, Purpose::InputLengths), stream(1, Purpose::InputLengths)),
            (stream(1, Purpose::Arrivals), stream(0, Purpose::PrefixChoice)),
            (part(1), part(2)),
            (part(1), part((2 << 32) + 1)),
        ] {
            let (mut a, mut b) = (a, b);
            let r = (0..n).map(|_| a.normal() * b.normal()).sum::<f64>() / f64::from(n);
            assert!(r.abs() < 4.9 / libm::sqrt(f64::from(n)), "{r}");
        }
    }

    #[test]
    fn a_stream_is_the_same_for_ever() {
        let mut s = stream(0, Purpose::Arrivals);
        let first: Vec<u64> = (0..2).map(|_| s.bits()).collect();
        assert_eq!(Stream::of_part(Seed { seed: 42, replicate: 0 }, Purpose::Arrivals, 0).bits(), first[0]);
        assert_eq!(first, [14_110_050_847_086_933_503, 7_394_757_195_391_727_434]);
    }
}

//! How measured and predicted values of one metric compare (metrics specification 5).

use crate::measurement::percentile;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Fewest pairs for a correlation and a grade.
const FEWEST: usize = 3;

/// Two vectors of one metric, compared pair by pair and as distributions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Pairs.
    pub count: u32,
    /// Of the measured values.
    pub measured: Spread,
    /// Of the predicted values.
    pub predicted: Spread,
    /// Mean of the absolute errors relative to the measured values, where these are not 0; a fraction.
    pub mape: f64,
    /// Whether the sum of the errors is above or below 0.
    pub bias: Bias,
    /// Pearson's correlation; 0 below three pairs and for constant values.
    pub pearson_r: f64,
    /// The grade; none below three pairs and for constant values.
    pub quality: Option<Quality>,
}

/// Mean and percentiles in the unit of the values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Which way predictions err.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bias {
    /// Too long.
    OverPredict,
    /// Too short.
    UnderPredict,
    /// Neither.
    Neutral,
}

/// The grade of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// MAPE below 10 % and correlation above 0.95.
    Excellent,
    /// Below 20 % and above 0.85.
    Good,
    /// Below 35 % and above 0.70.
    Fair,
    /// All else.
    Poor,
}

impl Comparison {
    /// Compares `(measured, predicted)` pairs; none of no pairs.
    #[must_use]
    pub fn new(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let relative = pairs.iter().filter(|(measured, _)| *measured != 0.0);
        let (absolute, signed, count) = relative.fold((0.0, 0.0, 0u32), |(absolute, signed, count), (m, p)| {
            ((p - m).abs() / m + absolute, signed + (p - m), count + 1)
        });
        let mape = if count > 0 { absolute / f64::from(count) } else { 0.0 };
        let bias = match signed {
            over if over > 0.0 => Bias::OverPredict,
            under if under < 0.0 => Bias::UnderPredict,
            _ => Bias::Neutral,
        };
        let correlation = correlation(pairs);
        let quality = correlation.map(|r| match (mape, r) {
            (mape, r) if mape < 0.10 && r > 0.95 => Quality::Excellent,
            (mape, r) if mape < 0.20 && r > 0.85 => Quality::Good,
            (mape, r) if mape < 0.35 && r > 0.70 => Quality::Fair,
            _ => Quality::Poor,
        });
        Some(Self {
            count: pairs.len() as u32,
            measured: Spread::of(pairs.iter().map(|(measured, _)| *measured).collect()),
            predicted: Spread::of(pairs.iter().map(|(_, predicted)| *predicted).collect()),
            mape,
            bias,
            pearson_r: correlation.unwrap_or(0.0),
            quality,
        })
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |p| percentile(&values, p).unwrap_or(0.0);
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        Self { mean, p50: at(50.0), p90: at(90.0), p95: at(95.0), p99: at(99.0) }
    }
}

/// Pearson's correlation; none below three pairs or where one side does not vary.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < FEWEST {
        return None;
    }
    let count = pairs.len() as f64;
    // From deviations: the sums of squares of the specification cancel where values are large and vary little.
    let mean = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>() / count;
    let (x0, y0) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - x0, y - y0);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    let scale = libm::sqrt(xx * yy);
    (scale > 0.0).then(|| xy / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_pairs_by_hand() {
        let found = Comparison::new(&[(10.0, 11.0), (20.0, 19.0), (40.0, 42.0)]).unwrap();
        // Errors of 10 %, 5 % and 5 %, +2 in sum.
        assert!((found.mape - 0.2 / 3.0).abs() < 1e-12);
        assert_eq!((found.bias, found.count, found.quality), (Bias::OverPredict, 3, Some(Quality::Excellent)));
        // Deviations −40/3, −10/3, 50/3 and −13, −5, 18: 490 over √(4200/9 · 518).
        let r = 490.0 / libm::sqrt(4200.0 / 9.0 * 518.0);
        assert!((found.pearson_r - r).abs() < 1e-12, "{} {r}", found.pearson_r);
        assert_eq!((found.measured.p50, found.measured.p90, found.predicted.mean), (20.0, 36.0, 24.0));
    }

    #[test]
    fn grades_need_both_a_small_error_and_a_correlation() {
        let scaled = |factor: f64| {
            let pairs: Vec<(f64, f64)> = (1..=10).map(|x| (f64::from(x), f64::from(x) * factor)).collect();
            Comparison::new(&pairs).unwrap().quality
        };
        assert_eq!(scaled(1.05), Some(Quality::Excellent));
        assert_eq!(scaled(1.15), Some(Quality::Good));
        assert_eq!(scaled(1.30), Some(Quality::Fair));
        assert_eq!(scaled(1.40), Some(Quality::Poor));
        let backwards: Vec<(f64, f64)> = (0..10).map(|x| (100.0 + f64::from(x), 109.0 - f64::from(x))).collect();
        assert_eq!(Comparison::new(&backwards).unwrap().quality, Some(Quality::Poor));
    }

    #[test]
    fn too_little_and_constant_data_have_no_grade() {
        assert_eq!(Comparison::new(&[]), None);
        let two = Comparison::new(&[(1.0, 1.0), (2.0, 2.0)]).unwrap();
        assert_eq!((two.quality, two.pearson_r, two.bias), (None, 0.0, Bias::Neutral));
        let constant = Comparison::new(&[(5.0, 4.0); 4]).unwrap();
        assert_eq!((constant.quality, constant.bias), (None, Bias::UnderPredict));
        assert_eq!(Comparison::new(&[(0.0, 4.0); 4]).unwrap().mape, 0.0);
    }
}

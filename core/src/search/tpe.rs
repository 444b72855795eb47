//! Tree-structured Parzen estimator.

use super::{Batch, Candidate};
use crate::random::{Purpose, Seed, Stream};
use crate::study::Ask;
use alloc::vec::Vec;

/// Uniform points before the first estimate.
const STARTUP: usize = 10;
/// Points per batch afterwards: few, as all of a batch rest on the same values.
const BATCH: usize = 2;
/// Draws from the good points' density of which the most promising is taken.
const DRAWS: usize = 24;
/// Share of all points that count as good, and the most of them.
const GOOD_SHARE: f64 = 0.1;
const MOST_GOOD: usize = 25;
/// The newest so many of the others tell where not to look: each is weighed against every draw.
const MOST_OTHERS: usize = 1000;
/// The newest so many points weigh fully; older ones less, down to one over their number.
const FULL_WEIGHT: usize = 25;

/// A tree-structured Parzen estimator over all coordinates together.
///
/// It divides the points told so far into a few good ones and the newest of the rest, estimates a density of each, and asks where the
/// ratio of the two is best among draws from the first.
/// For few evaluations and many coordinates, some of which may not matter.
///
/// # Determinism
/// A batch is asked from what was told before it, in the order of asking, so the order of telling is free.
///
/// # Source
/// Bergstra, Bardenet, Bengio and Kégl (2011), *Algorithms for hyper-parameter optimization*; bandwidths, weights and
/// shares as in Optuna's defaults.
#[derive(Debug, Clone)]
pub struct Tpe {
    stream: Stream,
    dimension: usize,
    batch: Batch,
}

impl Tpe {
    /// A search in this many dimensions.
    #[must_use]
    pub fn new(dimension: usize, seed: u64) -> Self {
        let stream = Stream::new(Seed { seed, replicate: 2 }, Purpose::Search);
        Self { stream, dimension, batch: Batch::default() }
    }

    /// The same search, which looks at these points first.
    #[must_use]
    pub fn beginning_at(mut self, points: Vec<Vec<f64>>) -> Self {
        self.batch = Batch::of(points);
        self
    }

    /// The next point, once all of the batch before are told.
    pub fn ask(&mut self) -> Ask<Candidate> {
        if !self.batch.is_open() {
            if self.batch.is_before_sampling(STARTUP) {
                for _ in 0..STARTUP {
                    let point = (0..self.dimension).map(|_| self.stream.open_unit()).collect();
                    self.batch.push(point);
                }
            } else {
                for _ in 0..BATCH {
                    let point = self.suggest();
                    self.batch.push(point);
                }
            }
        }
        self.batch.ask()
    }

    /// The value of a point.
    pub fn tell(&mut self, id: u64, value: f64) {
        self.batch.tell(id, value);
    }

    fn suggest(&mut self) -> Vec<f64> {
        let told = self.batch.told();
        let of =
            |which: Vec<usize>| Parzen::new(which.iter().map(|at| told[*at].0.as_slice()).collect(), self.dimension);
        let [good, rest] = divided(self.batch.order()).map(of);
        let mut best = (f64::NEG_INFINITY, Vec::new());
        for _ in 0..DRAWS {
            let point = good.draw(&mut self.stream);
            let promise = good.log_density(&point) - rest.log_density(&point);
            if promise > best.0 || best.1.is_empty() {
                best = (promise, point);
            }
        }
        best.1
    }
}

/// The good points and the newest of the others, of positions in the order of their values; each by age.
fn divided(mut order: Vec<usize>) -> [Vec<usize>; 2] {
    let count = (libm::ceil(GOOD_SHARE * order.len() as f64) as usize).min(MOST_GOOD);
    let mut others = order.split_off(count);
    order.sort_unstable();
    others.sort_unstable();
    let newest = others.split_off(others.len().saturating_sub(MOST_OTHERS));
    [order, newest]
}

/// A mixture of normal distributions cut to the cube: one around each point, as wide in each coordinate as its farther
/// neighbor there is away, and a wide one for what nobody looked at yet.
struct Parzen {
    parts: Vec<Part>,
}

struct Part {
    center: Vec<f64>,
    width: Vec<f64>,
    weight: f64,
    /// Logarithm of the weight over the widths and the masses inside.
    log_scale: f64,
}

impl Parzen {
    /// Around these points, in the order in which they were asked.
    fn new(points: Vec<&[f64]>, dimension: usize) -> Self {
        let count = points.len();
        let old = count.saturating_sub(FULL_WEIGHT);
        let weight = |age: usize| {
            let share = age as f64 / old.saturating_sub(1).max(1) as f64;
            if age >= old { 1.0 } else { (1.0 + share * (count as f64 - 1.0)) / count as f64 }
        };
        let mut parts: Vec<Part> = points
            .iter()
            .enumerate()
            .map(|(age, point)| Part {
                center: point.to_vec(),
                width: Vec::with_capacity(dimension),
                weight: weight(age),
                log_scale: 0.0,
            })
            .collect();
        let least = 1.0 / 100f64.min(2.0 + count as f64);
        for axis in 0..dimension {
            let mut sorted: Vec<(f64, usize)> = points.iter().enumerate().map(|(at, p)| (p[axis], at)).collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut widths = alloc::vec![0.0; count];
            for (at, (center, index)) in sorted.iter().enumerate() {
                let left = at.checked_sub(1).map(|before| center - sorted[before].0);
                let right = sorted.get(at + 1).map(|next| next.0 - center);
                // A single point has no neighbor but the bounds.
                let width = match (left, right) {
                    (None, None) => center.max(1.0 - center),
                    (left, right) => left.unwrap_or(0.0).max(right.unwrap_or(0.0)),
                };
                widths[*index] = width.clamp(least, 1.0);
            }
            for (part, width) in parts.iter_mut().zip(widths) {
                part.width.push(width);
            }
        }
        let wide = |value: f64| alloc::vec![value; dimension];
        parts.push(Part { center: wide(0.5), width: wide(1.0), weight: 1.0, log_scale: 0.0 });
        let sum: f64 = parts.iter().map(|part| part.weight).sum();
        for part in &mut parts {
            part.weight /= sum;
            let inside = part.center.iter().zip(&part.width).map(|(center, width)| {
                let mass = phi((1.0 - center) / width) - phi(-center / width);
                libm::log(width * mass)
            });
            part.log_scale = libm::log(part.weight) - inside.sum::<f64>();
        }
        Self { parts }
    }

    fn draw(&self, stream: &mut Stream) -> Vec<f64> {
        let mut pick = stream.open_unit();
        let chosen = self.parts.iter().find(|part| {
            pick -= part.weight;
            pick <= 0.0
        });
        let Some(part) = chosen.or(self.parts.last()) else { return Vec::new() };
        let axes = part.center.iter().zip(&part.width);
        axes.map(|(center, width)| draw_inside(*center, *width, stream)).collect()
    }

    fn log_density(&self, point: &[f64]) -> f64 {
        let logs: Vec<f64> = self
            .parts
            .iter()
            .map(|part| {
                let axes = point.iter().zip(&part.center).zip(&part.width);
                let squares: f64 = axes.map(|((x, center), width)| (x - center) * (x - center) / (width * width)).sum();
                part.log_scale - 0.5 * squares
            })
            .collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + libm::log(logs.iter().map(|log| libm::exp(log - most)).sum())
    }
}

/// A normal draw within 0–1. The center lies inside and the width is at most 1, so at least a third of the draws do.
fn draw_inside(center: f64, width: f64, stream: &mut Stream) -> f64 {
    for _ in 0..100 {
        let x = center + width * stream.normal();
        if (0.0..=1.0).contains(&x) {
            return x;
        }
    }
    center
}

/// The standard normal distribution.
pub(super) fn phi(z: f64) -> f64 {
    0.5 * libm::erfc(-z / core::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_good_and_the_newest_of_the_others_are_weighed_however_many_there_are() {
        // The oldest are the best.
        let [good, others] = divided((0..5000).collect());
        assert_eq!(good, (0..25).collect::<Vec<usize>>());
        assert_eq!(others, (4000..5000).collect::<Vec<usize>>());
        // The newest are: a tenth of them, and all others.
        let [good, others] = divided((0..100).rev().collect());
        assert_eq!((good, others), ((90..100).collect(), (0..90).collect()));
    }
}

//! What sums over requests tell of the coefficients: lines through looks at the simulator, and draws from the posterior.

use super::moments::dot;
use crate::random::Stream;
use crate::search::Cholesky;
use alloc::vec;
use alloc::vec::Vec;

/// Added to the squares of each coefficient as a share of them, so that one which the looks hardly vary has no slope.
const RIDGE: f64 = 1e-6;
/// Steps of a fit to the lines, and of its damping; few are needed, as a fit begins near the end of another.
const MAX_STEPS: usize = 40;
const MAX_DAMPINGS: usize = 8;
/// A step that gains a smaller share than this is the last.
const LEAST_GAIN: f64 = 1e-6;
/// The damping at first, and what a bad and a good step make of it.
const DAMPING: f64 = 1e-2;
const MORE_DAMPING: f64 = 5.0;
const LESS_DAMPING: f64 = 0.2;
/// Lines are believed beyond the looks by this share of how far the looks lie apart.
const BELIEVED_BEYOND: f64 = 0.5;

/// A coordinate of the search whose coefficient is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Logarithm of the ratio of its ends, where the scale is logarithmic.
    pub log_range: Option<f64>,
    /// Where it is expected before any log is read.
    pub expected: f64,
    /// The standard deviation of what is expected.
    pub deviation: f64,
}

impl Axis {
    /// What the coefficient is larger at `x` than at `from`: as a share of it on a logarithmic scale, else in coordinates.
    fn change(&self, from: f64, x: f64) -> f64 {
        self.log_range.map_or(x - from, |range| libm::expm1((x - from) * range))
    }

    /// How fast the coefficient changes where it is larger by `change`.
    fn rate(&self, change: f64) -> f64 {
        self.log_range.map_or(1.0, |range| range * (1.0 + change))
    }

    /// How far from what is expected, in standard deviations.
    fn distance(&self, x: f64) -> f64 {
        (x - self.expected) / self.deviation
    }
}

/// A point and its sums, measured less predicted.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// A coordinate for each axis.
    pub point: Vec<f64>,
    pub gaps: Vec<f64>,
}

/// Sums as lines in the coefficients: times are sums of coefficients times work, so they are straight in these, and bent in
/// the logarithms that are searched.
#[derive(Debug)]
pub(super) struct Picture<'a> {
    axes: &'a [Axis],
    center: Vec<f64>,
    /// By sum: the value at the center, and what each coefficient adds as it changes.
    lines: Vec<Vec<f64>>,
    /// By sum: its own noise, and how far looks are from the line.
    variances: Vec<f64>,
    /// By axis: from where to where the lines are believed.
    reach: Vec<(f64, f64)>,
}

/// What each sum and each expectation is shifted by, in standard deviations.
struct Shifts {
    gaps: Vec<f64>,
    expected: Vec<f64>,
}

impl<'a> Picture<'a> {
    /// The lines nearest to these looks (least squares); `noise` is the standard deviation of each sum. None if there are
    /// fewer than two looks for every unknown.
    ///
    /// A simulation starts its steps at other moments wherever it is looked at, which scatters the looks about the lines as
    /// it scatters what was measured. So does what is not straight. Both count as noise.
    pub(super) fn new(axes: &'a [Axis], center: Vec<f64>, looks: &[&Look], noise: &[f64]) -> Option<Self> {
        let unknowns = axes.len() + 1;
        if looks.len() < 2 * unknowns {
            return None;
        }
        let rows: Vec<Vec<f64>> = looks.iter().map(|look| row(axes, &center, &look.point)).collect();
        let mut squares = vec![vec![0.0; unknowns]; unknowns];
        let mut rights = vec![vec![0.0; unknowns]; noise.len()];
        for (row, look) in rows.iter().zip(looks) {
            add_square(&mut squares, row);
            for (right, gap) in rights.iter_mut().zip(&look.gaps) {
                right.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * gap);
            }
        }
        squares.iter_mut().enumerate().for_each(|(at, row)| row[at] *= 1.0 + RIDGE);
        let factors = Cholesky::new(squares)?;
        let lines: Vec<Vec<f64>> = rights.iter().map(|right| factors.solve(right)).collect();
        let degrees = (looks.len() - unknowns) as f64;
        let variance = |(at, (line, noise)): (usize, (&Vec<f64>, &f64))| {
            let errors = rows.iter().zip(looks).map(|(row, look)| look.gaps[at] - dot(line, row));
            noise * noise + errors.map(|error| error * error).sum::<f64>() / degrees
        };
        let variances = lines.iter().zip(noise).enumerate().map(variance).collect();
        let believed = |axis: usize| {
            let within = looks.iter().map(|look| look.point[axis]);
            let (low, high) = within.fold((1.0, 0.0), |(low, high), x| (f64::min(low, x), f64::max(high, x)));
            let beyond = BELIEVED_BEYOND * (high - low);
            (f64::max(low - beyond, 0.0), f64::min(high + beyond, 1.0))
        };
        let reach = (0..axes.len()).map(believed).collect();
        Some(Self { axes, center, lines, variances, reach })
    }

    /// Squares of the sums at a point, each in units of its variance.
    pub(super) fn squares(&self, point: &[f64]) -> f64 {
        let row = row(self.axes, &self.center, point);
        let square = |(line, variance): (&Vec<f64>, &f64)| dot(line, &row) * dot(line, &row) / variance;
        self.lines.iter().zip(&self.variances).map(square).sum()
    }

    /// The most likely point, searched from another; variances count `excess` times.
    pub(super) fn most_likely(&self, from: &[f64], excess: f64) -> Vec<f64> {
        self.fitted(from, excess, &Shifts { gaps: vec![0.0; self.lines.len()], expected: vec![0.0; self.axes.len()] })
    }

    /// Draws from the posterior, each searched from the most likely point.
    ///
    /// # Source
    /// Randomized maximum likelihood (Oliver, He and Reynolds 1996): what is most likely where measurements and expectations
    /// are disturbed by as much as they are uncertain. Exact for straight sums, and along bent ridges, which steps of a
    /// random walk would take long to pass.
    pub(super) fn draws(&self, likely: &[f64], excess: f64, count: usize, stream: &mut Stream) -> Vec<Vec<f64>> {
        let draw = |_| {
            let gaps = self.lines.iter().map(|_| stream.normal()).collect();
            let expected = self.axes.iter().map(|_| stream.normal()).collect();
            self.fitted(likely, excess, &Shifts { gaps, expected })
        };
        (0..count).map(draw).collect()
    }

    /// The most likely point under these shifts.
    ///
    /// # Source
    /// Levenberg–Marquardt (Nocedal and Wright 2006, *Numerical Optimization*, 10.3), held within reach.
    fn fitted(&self, from: &[f64], excess: f64, shifts: &Shifts) -> Vec<f64> {
        let scales: Vec<f64> = self.variances.iter().map(|variance| 1.0 / libm::sqrt(variance * excess)).collect();
        let gaps = |row: &[f64]| -> Vec<f64> {
            let sums = self.lines.iter().zip(&scales).zip(&shifts.gaps);
            sums.map(|((line, scale), shift)| dot(line, row) * scale + shift).collect()
        };
        let distances = |point: &[f64]| -> Vec<f64> {
            let axes = self.axes.iter().zip(point).zip(&shifts.expected);
            axes.map(|((axis, x), shift)| axis.distance(*x) + shift).collect()
        };
        let cost = |point: &[f64]| {
            let (gaps, distances) = (gaps(&row(self.axes, &self.center, point)), distances(point));
            dot(&gaps, &gaps) + dot(&distances, &distances)
        };
        let mut point = from.to_vec();
        let mut least = cost(&point);
        let mut damping = DAMPING;
        for _ in 0..MAX_STEPS {
            let here = row(self.axes, &self.center, &point);
            let rates: Vec<f64> = self.axes.iter().zip(&here[1..]).map(|(axis, change)| axis.rate(*change)).collect();
            let mut squares = vec![vec![0.0; self.axes.len()]; self.axes.len()];
            let mut right = vec![0.0; self.axes.len()];
            for ((line, scale), gap) in self.lines.iter().zip(&scales).zip(gaps(&here)) {
                let slopes: Vec<f64> = line[1..].iter().zip(&rates).map(|(slope, rate)| slope * rate * scale).collect();
                add_square(&mut squares, &slopes);
                right.iter_mut().zip(&slopes).for_each(|(sum, slope)| *sum -= slope * gap);
            }
            for (at, (axis, distance)) in self.axes.iter().zip(distances(&point)).enumerate() {
                squares[at][at] += 1.0 / (axis.deviation * axis.deviation);
                right[at] -= distance / axis.deviation;
            }
            let before = least;
            for _ in 0..MAX_DAMPINGS {
                let mut damped = squares.clone();
                damped.iter_mut().enumerate().for_each(|(at, row)| row[at] *= 1.0 + damping);
                let Some(factors) = Cholesky::new(damped) else { break };
                let steps = point.iter().zip(factors.solve(&right)).zip(&self.reach);
                let next: Vec<f64> = steps.map(|((x, by), (low, high))| (x + by).clamp(*low, *high)).collect();
                let found = cost(&next);
                if found < least {
                    (point, least) = (next, found);
                    damping *= LESS_DAMPING;
                    break;
                }
                damping *= MORE_DAMPING;
            }
            if before - least <= LEAST_GAIN * before {
                break;
            }
        }
        point
    }
}

/// 1, and by how much each coefficient is larger than at the center.
fn row(axes: &[Axis], center: &[f64], point: &[f64]) -> Vec<f64> {
    let changes = axes.iter().zip(center).zip(point).map(|((axis, from), x)| axis.change(*from, *x));
    core::iter::once(1.0).chain(changes).collect()
}

/// Adds every product of two entries.
fn add_square(sums: &mut [Vec<f64>], row: &[f64]) {
    for (sums, x) in sums.iter_mut().zip(row) {
        sums.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Seed};

    /// Coordinates expected at 0.5 with a deviation of 0.1.
    const EVEN: Axis = Axis { log_range: None, expected: 0.5, deviation: 0.1 };

    /// The picture of sums that are these functions of a point, looked at on a grid of five by five around the middle.
    fn picture<'a>(axes: &'a [Axis], center: [f64; 2], sums: &[&dyn Fn(f64, f64) -> f64], noise: f64) -> Picture<'a> {
        let look = |at: usize| {
            let (x, y) = (0.1 + 0.2 * (at % 5) as f64, 0.1 + 0.2 * (at / 5) as f64);
            Look { point: vec![x, y], gaps: sums.iter().map(|sum| sum(x, y)).collect() }
        };
        let looks: Vec<Look> = (0..25).map(look).collect();
        Picture::new(axes, center.to_vec(), &looks.iter().collect::<Vec<_>>(), &vec![noise; sums.len()]).unwrap()
    }

    fn stream() -> Stream {
        Stream::new(Seed { seed: 3, replicate: 0 }, Purpose::Search)
    }

    /// Means, variances and covariance of draws of two coordinates.
    fn moments(draws: &[Vec<f64>]) -> ([f64; 2], [f64; 3]) {
        let mean = |of: &dyn Fn(&[f64]) -> f64| draws.iter().map(|draw| of(draw)).sum::<f64>() / draws.len() as f64;
        let [x, y] = [mean(&|draw| draw[0]), mean(&|draw| draw[1])];
        let product = |a: usize, b: usize| mean(&|draw| (draw[a] - [x, y][a]) * (draw[b] - [x, y][b]));
        ([x, y], [product(0, 0), product(1, 1), product(0, 1)])
    }

    #[test]
    fn what_is_measured_is_as_sure_as_its_noise_and_the_rest_as_before() {
        let axes = [EVEN; 2];
        let picture = picture(&axes, [0.5, 0.5], &[&|x, _| x - 0.6], 0.05);
        // Precisions of 100 around 0.5 and 400 around 0.6: the mean is 0.58, the variance 1/500.
        let likely = picture.most_likely(&[0.2, 0.2], 1.0);
        assert!((likely[0] - 0.58).abs() < 1e-4 && (likely[1] - 0.5).abs() < 1e-4, "{likely:?}");
        let (means, [x, y, both]) = moments(&picture.draws(&likely, 1.0, 4000, &mut stream()));
        assert!((means[0] - 0.58).abs() < 3e-3 && (means[1] - 0.5).abs() < 5e-3, "{means:?}");
        assert!((x * 500.0 - 1.0).abs() < 0.1 && (y * 100.0 - 1.0).abs() < 0.1 && both.abs() < 3e-4, "{x} {y} {both}");
        // Four times the variance: precisions of 100 and 100.
        let (means, [x, ..]) = moments(&picture.draws(&likely, 4.0, 4000, &mut stream()));
        assert!((means[0] - 0.55).abs() < 5e-3 && (x * 200.0 - 1.0).abs() < 0.1, "{means:?} {x}");
    }

    #[test]
    fn a_sum_that_is_known_leaves_its_parts_as_they_were_but_bound() {
        let axes = [EVEN; 2];
        let picture = picture(&axes, [0.5, 0.5], &[&|x, y| x + y - 1.0], 1e-3);
        let (_, [x, y, both]) = moments(&picture.draws(&[0.5, 0.5], 1.0, 4000, &mut stream()));
        // Of two variances of 0.01 the known sum takes away half of each.
        for (found, expected) in [(x, 5e-3), (y, 5e-3), (both, -5e-3)] {
            assert!((found / expected - 1.0).abs() < 0.1, "{x} {y} {both}");
        }
    }

    #[test]
    fn draws_follow_a_bent_ridge() {
        // Coefficients of 1 to 100 on logarithmic scales, whose sum is 40 by the logs.
        let range = libm::log(100.0);
        let wide = Axis { log_range: Some(range), expected: 0.6, deviation: 0.2 };
        let (axes, value) = ([wide; 2], |x: f64| libm::exp(x * range));
        let picture = picture(&axes, [0.6, 0.6], &[&|x, y| (value(x) + value(y) - 40.0) / 40.0], 0.01);
        let draws = picture.draws(&picture.most_likely(&[0.6, 0.6], 1.0), 1.0, 2000, &mut stream());
        let sums: Vec<f64> = draws.iter().map(|draw| value(draw[0]) + value(draw[1])).collect();
        assert!(sums.iter().all(|sum| (sum - 40.0).abs() < 2.0), "{sums:?}");
        // Either can be nearly all of it, which no ellipse around the middle says.
        let shares = draws.iter().map(|draw| value(draw[0]) / 40.0);
        let (least, most) = shares.fold((1.0, 0.0), |(least, most), x| (f64::min(least, x), f64::max(most, x)));
        assert!(least < 0.1 && most > 0.9, "{least} {most}");
    }

    #[test]
    fn what_no_line_explains_is_noise() {
        // Looks are off by 0.3 up and down: 25 squares of 0.09 over 22 degrees of freedom.
        let axes = [EVEN; 2];
        let jump = |x: f64, y: f64| if libm::round(5.0 * (x + y)) % 2.0 == 0.0 { 0.3 } else { -0.3 };
        let of_jumps = picture(&axes, [0.5, 0.5], &[&|x, y| x - 0.6 + jump(x, y)], 0.05);
        let expected = 0.05 * 0.05 + 25.0 * 0.09 / 22.0;
        assert!((of_jumps.variances[0] / expected - 1.0).abs() < 0.02, "{:?}", of_jumps.variances);
        // Twelve are up and thirteen down, which lowers the line by 0.012.
        assert!((of_jumps.squares(&[0.7, 0.5]) * expected - 0.088 * 0.088).abs() < 5e-4);
        // Nothing is believed further away than half as far again as the looks lie apart.
        assert_eq!(of_jumps.reach, vec![(0.0, 1.0); 2]);
        let look = |at: i32| (0.4 + 0.02 * f64::from(at), 0.5 + 0.01 * f64::from(at % 3));
        let near: Vec<Look> = (0..9).map(look).map(|(x, y)| Look { point: vec![x, y], gaps: vec![1.0] }).collect();
        let reach = Picture::new(&axes, vec![0.5; 2], &near.iter().collect::<Vec<_>>(), &[0.1]).unwrap().reach;
        for (found, expected) in reach.iter().zip([(0.32, 0.64), (0.49, 0.53)]) {
            assert!((found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9, "{reach:?}");
        }
        assert!(Picture::new(&axes, vec![0.5; 2], &[&near[0]; 5], &[0.1]).is_none());
    }
}

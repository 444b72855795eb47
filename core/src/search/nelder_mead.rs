//! Downhill simplex: a short polish of a point that is nearly right.

use super::Candidate;
use crate::study::Ask;
use alloc::vec::Vec;

/// Downhill simplex with coefficients that depend on the dimension; points are clamped to the bounds.
///
/// # Source
/// Nelder and Mead (1965), *A simplex method for function minimization*; coefficients by Gao and Han (2012),
/// *Implementing the Nelder–Mead simplex algorithm with adaptive parameters*.
#[derive(Debug, Clone)]
pub struct NelderMead {
    simplex: Vec<(Vec<f64>, f64)>,
    /// Vertices that are asked for before the simplex moves.
    waiting: Vec<Vec<f64>>,
    phase: Phase,
    pending: Option<(u64, Vec<f64>)>,
    next_id: u64,
    dimension: usize,
}

#[derive(Debug, Clone)]
enum Phase {
    /// The first vertices, or those of a shrunken simplex.
    Build,
    Reflect,
    /// The reflected point and its value.
    Expand(Vec<f64>, f64),
    /// The reflected point's value; contracts outside if it is better than the worst.
    Contract(f64),
}

impl NelderMead {
    /// Starts with a simplex of edges `size` at `start`.
    #[must_use]
    pub fn new(start: Vec<f64>, size: f64) -> Self {
        let dimension = start.len();
        let mut waiting = alloc::vec![start.clone()];
        for axis in 0..dimension {
            let mut vertex = start.clone();
            // Away from the nearer bound.
            vertex[axis] += if vertex[axis] > 0.5 { -size } else { size };
            waiting.push(clamped(vertex));
        }
        waiting.reverse();
        Self { simplex: Vec::new(), waiting, phase: Phase::Build, pending: None, next_id: 0, dimension }
    }

    /// The next vertex; one at a time.
    pub fn ask(&mut self) -> Ask<Candidate> {
        if self.pending.is_some() {
            return Ask::Wait;
        }
        if self.dimension == 0 {
            return Ask::Done;
        }
        let n = self.dimension as f64;
        let point = match &self.phase {
            Phase::Build => match self.waiting.pop() {
                Some(vertex) => vertex,
                None => return Ask::Done,
            },
            Phase::Reflect => self.beyond(1.0),
            Phase::Expand(..) => self.beyond(1.0 + 2.0 / n),
            Phase::Contract(value) => {
                let inside = 0.75 - 1.0 / (2.0 * n);
                let worst = self.simplex.last().map_or(f64::INFINITY, |vertex| vertex.1);
                self.beyond(if *value < worst { inside } else { -inside })
            }
        };
        let id = self.next_id;
        self.next_id += 1;
        self.pending = Some((id, point.clone()));
        Ask::Trial(Candidate { id, point })
    }

    /// The value of the vertex asked for.
    pub fn tell(&mut self, id: u64, value: f64) {
        let Some((_, point)) = self.pending.take_if(|(known, _)| *known == id) else { return };
        let phase = core::mem::replace(&mut self.phase, Phase::Reflect);
        let value_at = |simplex: &[(Vec<f64>, f64)], index: usize| simplex.get(index).map_or(f64::INFINITY, |v| v.1);
        match phase {
            Phase::Build => {
                self.simplex.push((point, value));
                if !self.waiting.is_empty() {
                    self.phase = Phase::Build;
                }
            }
            Phase::Reflect => {
                let last = self.simplex.len().saturating_sub(1);
                if value < value_at(&self.simplex, 0) {
                    self.phase = Phase::Expand(point, value);
                } else if value < value_at(&self.simplex, last.saturating_sub(1)) {
                    self.replace_worst(point, value);
                } else {
                    self.phase = Phase::Contract(value);
                }
            }
            Phase::Expand(reflected, reflected_value) => {
                if value < reflected_value {
                    self.replace_worst(point, value);
                } else {
                    self.replace_worst(reflected, reflected_value);
                }
            }
            Phase::Contract(reflected_value) => {
                let worst = value_at(&self.simplex, self.simplex.len().saturating_sub(1));
                if value < reflected_value.min(worst) {
                    self.replace_worst(point, value);
                } else {
                    self.shrink();
                }
            }
        }
        self.simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
    }

    fn replace_worst(&mut self, point: Vec<f64>, value: f64) {
        self.simplex.pop();
        self.simplex.push((point, value));
    }

    fn shrink(&mut self) {
        let factor = 1.0 - 1.0 / self.dimension as f64;
        // In one dimension the formula would collapse the simplex at once.
        let factor = if factor > 0.0 { factor } else { 0.5 };
        let Some((best, _)) = self.simplex.first().cloned() else { return };
        self.waiting = self
            .simplex
            .drain(1..)
            .map(|(vertex, _)| vertex.iter().zip(&best).map(|(v, b)| b + factor * (v - b)).collect())
            .collect();
        self.phase = Phase::Build;
    }

    /// The worst vertex mirrored at the others' center, `factor` times as far.
    fn beyond(&self, factor: f64) -> Vec<f64> {
        let Some(((worst, _), others)) = self.simplex.split_last() else { return Vec::new() };
        let point = worst.iter().enumerate().map(|(axis, w)| {
            let center = others.iter().map(|(vertex, _)| vertex[axis]).sum::<f64>() / others.len() as f64;
            center + factor * (center - w)
        });
        clamped(point.collect())
    }
}

fn clamped(mut point: Vec<f64>) -> Vec<f64> {
    point.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
    point
}

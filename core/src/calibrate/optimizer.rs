//! Which minimizer searches the coefficients.

use super::{FitSettings, Space};
use crate::search::{Cmaes, GaussianProcess, Minimizer, MultiStart, NelderMead, RandomSearch, Tpe};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How far covariance adaptation steps at first, and how long the edges of a simplex are: a tenth of the cube.
const FIRST_STEP: f64 = 0.05;

/// Which minimizer searches the coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Covariance matrix adaptation from several competing starts, the best one polished ([`MultiStart`]).
    #[default]
    MultiStart,
    /// Covariance matrix adaptation from the first start, with restarts ([`Cmaes`]).
    CmaEs,
    /// Tree-structured Parzen estimators ([`Tpe`]).
    Tpe,
    /// Bayesian optimization ([`GaussianProcess`]).
    GaussianProcess,
    /// Downhill simplex from the first start ([`NelderMead`]).
    NelderMead,
    /// Uniform sampling ([`RandomSearch`]).
    Random,
}

impl Optimizer {
    /// All of them, the default first.
    pub const ALL: [Self; 6] =
        [Self::MultiStart, Self::CmaEs, Self::Tpe, Self::GaussianProcess, Self::NelderMead, Self::Random];

    /// Its name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MultiStart => "multi-start",
            Self::CmaEs => "cma-es",
            Self::Tpe => "tpe",
            Self::GaussianProcess => "gaussian-process",
            Self::NelderMead => "nelder-mead",
            Self::Random => "random",
        }
    }

    /// The optimizer of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|optimizer| optimizer.name() == name)
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::MultiStart => "CMA-ES from several starts",
            Self::CmaEs => "one start, with restarts",
            Self::Tpe => "Parzen estimators",
            Self::GaussianProcess => "Bayesian",
            Self::NelderMead => "simplex from one start",
            Self::Random => "uniform sampling",
        }
    }

    /// Evaluations where nobody says how many: fits of the measured logs still gained in predicting other
    /// lengths up to here (docs/validation.md), and five logs are fitted in the page in eight seconds. Parzen estimators weigh up to a thousand points for the next one, and a Gaussian process solves
    /// equations of up to 120, so they are for fewer.
    #[must_use]
    pub fn usual_budget(self) -> u64 {
        match self {
            Self::MultiStart | Self::CmaEs | Self::Random => 16_000,
            Self::NelderMead => 2_000,
            Self::Tpe => 1_000,
            Self::GaussianProcess => 200,
        }
    }

    /// The search of a space that begins at these points of the unit cube, the first of them for those that have one
    /// start. It never asks the same again for another number of threads.
    pub(super) fn search(self, space: &Space, starts: Vec<Vec<f64>>, settings: &FitSettings) -> Minimizer {
        let (dimension, seed) = (space.parameters.len(), settings.seed);
        let first = || starts.first().cloned().unwrap_or_default();
        match self {
            Self::MultiStart => Minimizer::MultiStart(
                MultiStart::new(starts, FIRST_STEP, settings.budget, seed).holding(space.choices()),
            ),
            Self::CmaEs => Minimizer::Cmaes(Cmaes::new(first(), FIRST_STEP, seed)),
            Self::Tpe => Minimizer::Tpe(Tpe::new(dimension, seed).beginning_at(starts)),
            Self::GaussianProcess => {
                Minimizer::GaussianProcess(GaussianProcess::new(dimension, seed).beginning_at(starts))
            }
            Self::NelderMead => Minimizer::NelderMead(NelderMead::new(first(), FIRST_STEP)),
            Self::Random => Minimizer::Random(RandomSearch::new(dimension, seed).beginning_at(starts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error, StrDeserializer};

    #[test]
    fn names_are_those_of_files() {
        for optimizer in Optimizer::ALL {
            assert_eq!(Optimizer::of_name(optimizer.name()), Some(optimizer));
            let name = StrDeserializer::<Error>::new(optimizer.name());
            assert_eq!(Optimizer::deserialize(name), Ok(optimizer));
        }
        assert_eq!(Optimizer::of_name("grid"), None);
    }
}

//! The catalogue the product ships with, ready scenarios, and published experiments.
//!
//! Every entry is a YAML file beside this crate, checked when the crate is built and embedded as compact JSON; for the
//! browser without the sources, which the page does not show.
//! Nothing is computed here: what an entry means is decided by `plimsoll_core`.

use plimsoll_core::calibrate::Experiment;
use plimsoll_core::catalog::Catalog;
use plimsoll_core::scenario::Scenario;
use serde::Deserialize;
use std::sync::OnceLock;

/// The frozen base 1 as JSON, a scenario of version 1: what old links are differences from. Never edited; sections that
/// came later may be missing in it, with the meaning they have by default.
pub const BASE_1: &str = include_str!("base_1.json");

/// The frozen base 2 as JSON, a scenario of version 2: what links are differences from. Never edited.
pub const BASE_2: &str = include_str!("base_2.json");

/// A scenario ready to open.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReadyScenario {
    /// Id: the file's name.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// The scenario.
    pub scenario: Scenario,
}

/// The embedded catalogue; decoded on the first call.
#[must_use]
pub fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        plimsoll_json::from_text(include_str!(concat!(env!("OUT_DIR"), "/catalog.json")))
            .expect("a test decodes the embedded catalogue")
    })
}

/// The ready scenarios, the default one first.
#[must_use]
pub fn scenarios() -> &'static [ReadyScenario] {
    static SCENARIOS: OnceLock<Vec<ReadyScenario>> = OnceLock::new();
    SCENARIOS.get_or_init(|| {
        plimsoll_json::from_text(include_str!(concat!(env!("OUT_DIR"), "/scenarios.json")))
            .expect("a test decodes the embedded scenarios")
    })
}

/// The ready scenario with this id.
#[must_use]
pub fn scenario(id: &str) -> Option<Scenario> {
    scenarios().iter().find(|entry| entry.id == id).map(|entry| entry.scenario.clone())
}

/// The published experiments.
#[must_use]
pub fn experiments() -> &'static [Experiment] {
    static EXPERIMENTS: OnceLock<Vec<Experiment>> = OnceLock::new();
    EXPERIMENTS.get_or_init(|| {
        plimsoll_json::from_text(include_str!(concat!(env!("OUT_DIR"), "/experiments.json")))
            .expect("a test decodes the embedded experiments")
    })
}

/// The experiment with this id.
#[must_use]
pub fn experiment(id: &str) -> Option<&'static Experiment> {
    experiments().iter().find(|experiment| experiment.id == id)
}

#[cfg(test)]
mod tests;

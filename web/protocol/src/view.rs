//! How the result is looked at; travels in a link apart from the scenario.

use plimsoll_core::scenario::Scenario;
use serde::{Deserialize, Serialize};

/// A part of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tab {
    /// Charts over request rate.
    #[default]
    Curves,
    /// What binds: time shares and limiter counts.
    Bottleneck,
    /// Where the memory goes.
    Memory,
    /// What the workload will generate.
    Workload,
    /// One run: replicas, requests, decisions.
    Run,
    /// Coefficients fitted to logs.
    Calibrate,
}

impl Tab {
    /// All tabs in the order shown.
    pub const ALL: [Tab; 6] = [Tab::Curves, Tab::Bottleneck, Tab::Memory, Tab::Workload, Tab::Run, Tab::Calibrate];

    /// Whether the lab shows it, which is loaded when the first such tab is opened.
    #[must_use]
    pub fn is_of_lab(self) -> bool {
        matches!(self, Tab::Workload | Tab::Run | Tab::Calibrate)
    }

    /// Name in links.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Tab::Curves => "curves",
            Tab::Bottleneck => "bottleneck",
            Tab::Memory => "memory",
            Tab::Workload => "workload",
            Tab::Run => "run",
            Tab::Calibrate => "calibrate",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Tab::Curves => "Curves",
            Tab::Bottleneck => "What binds",
            Tab::Memory => "Memory",
            Tab::Workload => "Workload",
            Tab::Run => "Run",
            Tab::Calibrate => "Calibrate",
        }
    }

    /// The tab of this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.id() == id)
    }
}

/// The statistic that every chart and number shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Percentile {
    /// Arithmetic mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// The percentile the SLO is stated for.
    #[default]
    Slo,
}

impl Percentile {
    /// All choices in the order shown.
    pub const ALL: [Percentile; 6] =
        [Percentile::Slo, Percentile::Mean, Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99];

    /// Name in links.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Percentile::Mean => "mean",
            Percentile::P50 => "p50",
            Percentile::P90 => "p90",
            Percentile::P95 => "p95",
            Percentile::P99 => "p99",
            Percentile::Slo => "slo",
        }
    }

    /// Name for people, given the percentile of the SLO.
    #[must_use]
    pub fn label(self, slo_percentile: f64) -> String {
        match self {
            Percentile::Slo => format!("p{slo_percentile}"),
            other => other.id().to_owned(),
        }
    }

    /// The choice of this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|percentile| percentile.id() == id)
    }
}

/// How the result is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The open tab.
    pub tab: Tab,
    /// The statistic shown.
    pub percentile: Percentile,
}

/// The fragment of a scenario and a view, without the leading `#`; empty for the base in the default view.
///
/// `changes` are the parts of the scenario as [`crate::DeskState`] has them.
#[must_use]
pub fn fragment(changes: &str, view: View) -> String {
    if changes.is_empty() && view == View::default() { String::new() } else { link(changes, view) }
}

/// The same to pass on: it tells the model version for the base too.
#[must_use]
pub fn link(changes: &str, view: View) -> String {
    let mut fragment = format!("v1;{};model-version={}", Scenario::NEWEST_BASE, plimsoll_core::MODEL_VERSION);
    if view.tab != Tab::default() {
        fragment.push_str(";view.tab=");
        fragment.push_str(view.tab.id());
    }
    if view.percentile != Percentile::default() {
        fragment.push_str(";view.percentile=");
        fragment.push_str(view.percentile.id());
    }
    if !changes.is_empty() {
        fragment.push(';');
        fragment.push_str(changes);
    }
    fragment
}

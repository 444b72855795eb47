//! What a run means: collected observations, metrics, attainment, verdict, bottleneck.
//!
//! A [`Collector`] listens to a simulation; [`Report::new`] computes every metric from what it heard and from the
//! replica's totals. Formulas and their order of operations are those of metrics specification 1–4; what we define
//! ourselves is in `docs/metrics.md`. Nothing here looks inside an engine.

mod anomaly;
mod collector;
mod decisions;
mod fitness;
mod json;
mod network;
mod preview;
mod replicas;
mod series;
mod shares;
mod slo;
mod steady;
mod summary;
mod types;
mod verdict;
mod watch;

pub use anomaly::{AnomalyCounters, RejectedClass};
pub use collector::{Collector, ReportSettings};
pub use decisions::{Decision, TraceSummary};
pub use fitness::{FitnessComponent, FitnessReport, FitnessWeights};
pub use json::{RequestJson, SummaryJson};
pub use network::ClientReport;
pub use preview::{ArrivalBins, ClientPreview, PrefixPreview, PreviewRun, WorkloadPreview};
pub use replicas::ReplicaReport;
pub use series::Series;
pub use shares::{limiter_shares, time_shares};
pub use slo::{ClassAttainment, ClassLimits, RequestLimits, SloReport, class_name};
pub use steady::{BinnedMean, NUM_BINS, warm_up};
pub(crate) use summary::{Asked, gap_summary};
pub use summary::{ClassReport, KvReport, LatencyStats, RawDistribution, Report, TenantReport};
pub use types::{LimiterShares, TimeShare, Verdict};
pub use verdict::{Assessment, MIN_MEASURED_REQUESTS, MIN_TIME_SCALES, Residence, assess, assess_settled};
pub use watch::{Life, Phase, ReplicaSeries, RunWatch, Watched};

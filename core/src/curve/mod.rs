//! How latency and throughput change with request rate, and where a deployment saturates.
//!
//! A [`CurveStudy`] asks for runs at given rates and seeds and is told their [`PointSample`]s; its snapshot is a
//! [`Curve`]. A [`TrialRun`] does one such run, in slices. The study and the runs meet only in plain data, so they can
//! live in different places. A [`UsersStudy`] does the same over the number of users who wait for their answers, who
//! have no rate. The rules are in `docs/curve.md`.

mod aggregate;
mod capacity;
mod plan;
mod search;
mod study;
mod trial;
mod types;
mod users;

pub use plan::CurvePlan;
pub use study::CurveStudy;
pub use trial::{TrialBuffers, TrialRun, run_trial, run_trial_in, run_users_trial};
pub use types::{
    Band, Capacity, ClassPoint, ClassSample, Curve, CurvePoint, CurveScenario, CurveTrial, LatencyBands, LimitShare,
    Limiter, PointSample, Precision, SamplePercentiles, Stage,
};
pub use users::{UsersCurve, UsersPoint, UsersStudy, UsersTrial};

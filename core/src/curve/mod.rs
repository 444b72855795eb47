//! How latency and throughput change with request rate, and where a deployment saturates.
//!
//! A [`CurveStudy`] asks for runs at given rates and seeds and is told their [`PointSample`]s; its snapshot is a
//! [`Curve`]. Nothing here runs a simulation.

mod types;

pub use types::{Band, Capacity, Curve, CurvePoint, CurveTrial, LatencyBands, PointSample, Limiter, SamplePercentiles, Stage};

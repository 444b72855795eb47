//! Names that an option takes.

use clap::ValueEnum;
use plimsoll_core::scenario::{LatencyModelChoice, PerformanceMode, PriorityPolicy, Scheduling, SchedulingPolicy};

/// What a run keeps of its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceLevel {
    None,
    Decisions,
}

/// How much is told, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
    Panic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LatencyModelName {
    Auto,
    Blackbox,
    Calibrated,
    MeasuredRoofline,
    Quadratic,
    Roofline,
    TrainedPhysics,
}

impl From<LatencyModelName> for LatencyModelChoice {
    fn from(name: LatencyModelName) -> Self {
        match name {
            LatencyModelName::Auto => Self::Auto,
            LatencyModelName::Blackbox => Self::Blackbox,
            LatencyModelName::Calibrated => Self::Calibrated,
            LatencyModelName::MeasuredRoofline => Self::MeasuredRoofline,
            LatencyModelName::Quadratic => Self::Quadratic,
            LatencyModelName::Roofline => Self::Roofline,
            LatencyModelName::TrainedPhysics => Self::TrainedPhysics,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PerformanceName {
    Balanced,
    Interactivity,
    Throughput,
}

impl From<PerformanceName> for PerformanceMode {
    fn from(name: PerformanceName) -> Self {
        match name {
            PerformanceName::Balanced => Self::Balanced,
            PerformanceName::Interactivity => Self::Interactivity,
            PerformanceName::Throughput => Self::Throughput,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchedulingName {
    /// Those of vLLM's scheduler.
    VllmV1,
    /// Those of the reference simulator.
    Reference,
}

impl From<SchedulingName> for Scheduling {
    fn from(name: SchedulingName) -> Self {
        match name {
            SchedulingName::VllmV1 => Self::VllmV1,
            SchedulingName::Reference => Self::Reference,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchedulerName {
    Fcfs,
    Priority,
    PriorityFcfs,
    Sjf,
    ReversePriority,
}

impl From<SchedulerName> for SchedulingPolicy {
    fn from(name: SchedulerName) -> Self {
        match name {
            SchedulerName::Fcfs => Self::Fcfs,
            SchedulerName::Priority => Self::Priority,
            SchedulerName::PriorityFcfs => Self::PriorityFcfs,
            SchedulerName::Sjf => Self::Sjf,
            SchedulerName::ReversePriority => Self::ReversePriority,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PriorityName {
    Constant,
    SloBased,
    InvertedSlo,
}

impl From<PriorityName> for PriorityPolicy {
    fn from(name: PriorityName) -> Self {
        match name {
            PriorityName::Constant => Self::Constant,
            PriorityName::SloBased => Self::SloBased,
            PriorityName::InvertedSlo => Self::InvertedSlo,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArrivalName {
    Constant,
    Poisson,
    Gamma,
    Weibull,
}

//! Runs against what can be computed by hand or by queueing theory.
#![cfg(not(target_arch = "wasm32"))]

mod by_hand;
mod hit_ratio;
mod lever;
mod queueing;
mod steady;
mod users;
mod verdict;

use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::observation::{Observer, QueueSample, ReplicaTotals, RequestRecord};
use plimsoll_core::scenario::{ClusterConfig, EngineConfig};
use plimsoll_core::workload::RequestSource;

/// Keeps everything it is told.
#[derive(Default)]
struct Log {
    records: Vec<RequestRecord>,
    queue: Vec<QueueSample>,
}

impl Observer for Log {
    fn settled(&mut self, record: &RequestRecord) {
        self.records.push(*record);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.queue.push(*sample);
    }
}

/// 16-token blocks, 1,000 of them, the limits of the specification.
fn engine() -> EngineConfig {
    EngineConfig::new(1000)
}

fn blackbox(alpha: [f64; 3], beta: [f64; 3]) -> LatencyModel {
    LatencyModel::blackbox(&alpha, &beta).expect("finite, not negative, not all zero")
}

/// Records by request number and totals of a run.
fn run<S: RequestSource>(engine: EngineConfig, latency: LatencyModel, source: S, mode: Mode) -> (Log, ReplicaTotals) {
    let mut log = Log::default();
    let totals = simulate(&ClusterConfig::single(), engine, latency, source, mode, &mut log);
    log.records.sort_by_key(|record| record.request.id);
    (log, totals.total)
}

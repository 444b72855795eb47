//! What clients see behind their networks (workload specification 7).

use super::{Asked, LatencyStats};
use crate::numeric::Samples;
use crate::observation::RequestRecord;
use crate::scenario::{Slo, WorkloadSettings};
use crate::workload::RequestDetail;
use serde::{Deserialize, Serialize};

/// Latencies as clients see them, milliseconds; those of clients without a network are the server's.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClientReport {
    /// Time to first token.
    pub ttft: LatencyStats,
    /// End-to-end latency.
    pub e2e: LatencyStats,
}

impl ClientReport {
    /// What the clients of a workload saw; none if no client has a network. `details` of the requests by id.
    ///
    /// Times are rounded to whole microseconds.
    #[must_use]
    pub fn new(
        records: &[RequestRecord],
        details: &[RequestDetail],
        workload: &WorkloadSettings,
        slo: &Slo,
    ) -> Option<Self> {
        if !workload.has_networks() {
            return None;
        }
        let (mut ttfts, mut e2es) = (Samples::default(), Samples::default());
        for record in records {
            let request = &record.request;
            let client =
                details.get(request.id as usize).and_then(|detail| workload.clients.get(detail.client as usize));
            let network = client.and_then(|client| client.network).unwrap_or_default();
            if let Some(ttft) = record.ttft {
                ttfts.add(whole(network.client_ttft_us(ttft.0 as f64, request.input_tokens)));
            }
            if let Some(e2e) = record.e2e {
                e2es.add(whole(network.client_e2e_us(e2e.0 as f64, request.input_tokens, record.produced_tokens)));
            }
        }
        let asked = Asked::new(slo);
        let stats = |samples: &mut Samples| asked.stats(&samples.summarize(&asked.percentiles), 1.0);
        Some(Self { ttft: stats(&mut ttfts), e2e: stats(&mut e2es) })
    }
}

fn whole(micros: f64) -> i64 {
    libm::round(micros) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::request;
    use crate::observation::Fate;
    use crate::scenario::{ClientSettings, NetworkSettings};
    use crate::time::SimTime;
    use crate::workload::Request;
    use alloc::vec;

    #[test]
    fn a_round_trip_and_two_transfers_come_on_top() {
        // 1,000 tokens are 32,000 bits: 3,200 µs at 10 Mbit/s.
        let network = NetworkSettings { rtt_ms: 20.0, bandwidth_mbps: 10.0 };
        assert_eq!(network.transfer_us(1000), 3200.0);
        assert_eq!(network.client_ttft_us(500.0, 1000), 23_700.0);
        assert_eq!(network.client_e2e_us(900.0, 1000, 100), 24_420.0);
        let unlimited = NetworkSettings { rtt_ms: 1.5, bandwidth_mbps: 0.0 };
        assert_eq!(unlimited.client_e2e_us(900.0, 1000, 100), 2400.0);
    }

    #[test]
    fn each_client_has_its_own_network() {
        let network = Some(NetworkSettings { rtt_ms: 20.0, bandwidth_mbps: 10.0 });
        let client = |network| ClientSettings { network, ..ClientSettings::default() };
        let mut workload = WorkloadSettings { clients: vec![client(None), client(network)], ..Default::default() };
        let record = |id: u32| {
            let request = Request { input_tokens: 1000, output_tokens: 100, ..request(id, 0, 0) };
            RequestRecord {
                ttft: Some(SimTime(500)),
                e2e: Some(SimTime(900)),
                produced_tokens: 100,
                ..RequestRecord::unserved(request, Fate::Completed, SimTime::ZERO)
            }
        };
        let details = [0, 1].map(|client| RequestDetail { client, ..RequestDetail::default() });
        let seen = ClientReport::new(&[record(1), record(0)], &details, &workload, &Slo::default()).expect("a network");
        assert_eq!((seen.ttft.min, seen.ttft.max), (0.5, 23.7));
        assert_eq!((seen.e2e.min, seen.e2e.max, seen.e2e.count), (0.9, 24.42, 2));
        workload.clients.pop();
        assert_eq!(ClientReport::new(&[record(0)], &details, &workload, &Slo::default()), None);
    }
}

//! The reference's output, field by field (metrics specification 2).

use crate::observation::{Fate, RequestRecord};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The summary block, with the reference's names in the reference's order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SummaryJson {
    /// `cluster`, or `instance_<i>`.
    pub instance_id: String,
    /// Requests that completed.
    pub completed_requests: u64,
    /// Waiting at the end.
    pub still_queued: u64,
    /// Running at the end.
    pub still_running: u64,
    /// Completed + queued + running + dropped + timed out.
    pub injected_requests: u64,
    /// Input tokens of enqueued requests.
    pub total_input_tokens: u64,
    /// Output tokens of completed requests.
    pub total_output_tokens: u64,
    /// End time, seconds.
    pub vllm_estimated_duration_s: f64,
    /// Completed requests per second.
    pub responses_per_sec: f64,
    /// Output tokens per second.
    pub tokens_per_sec: f64,
    /// End-to-end latency, mean, ms.
    pub e2e_mean_ms: f64,
    /// 90th percentile.
    pub e2e_p90_ms: f64,
    /// 95th percentile.
    pub e2e_p95_ms: f64,
    /// 99th percentile.
    pub e2e_p99_ms: f64,
    /// Time to first token, mean, ms.
    pub ttft_mean_ms: f64,
    /// 90th percentile.
    pub ttft_p90_ms: f64,
    /// 95th percentile.
    pub ttft_p95_ms: f64,
    /// 99th percentile.
    pub ttft_p99_ms: f64,
    /// Inter-token gaps of completed requests, mean, ms.
    pub itl_mean_ms: f64,
    /// 90th percentile.
    pub itl_p90_ms: f64,
    /// 95th percentile.
    pub itl_p95_ms: f64,
    /// 99th percentile.
    pub itl_p99_ms: f64,
    /// 99th percentile of the scheduling delay, ms.
    pub scheduling_delay_p99_ms: f64,
    /// Last-token allocations that failed; left out when 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kv_allocation_failures: u64,
    /// Preemptions.
    pub preemption_count: u64,
    /// Requests dropped because they could never fit.
    pub dropped_unservable: u64,
    /// Requests cut by `max_model_len`.
    pub length_capped_requests: u64,
    /// Requests whose deadline passed.
    pub timed_out_requests: u64,
    /// Requests that the end of the run cut off, which are in no latency above; left out when 0 and under the rules of
    /// the reference, whose fields are fixed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_off_requests: u64,
    /// One entry per request; in results files only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestJson>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// One request of a results file; times are 0 where there is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RequestJson {
    /// Arrival, seconds.
    pub arrived_at: f64,
    /// `request_<number>`.
    #[serde(rename = "requestID")]
    pub request_id: String,
    /// Prompt length.
    pub num_prefill_tokens: u32,
    /// Output length.
    pub num_decode_tokens: u32,
    /// Time to first token, ms.
    pub ttft_ms: f64,
    /// Mean gap, ms.
    pub itl_ms: f64,
    /// End-to-end latency, ms.
    pub e2e_ms: f64,
    /// Arrival to last admission, ms.
    pub scheduling_delay_ms: f64,
    /// SLO class, if it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub slo_class: String,
    /// Tenant, if it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// `instance_<index>`: the replica it was sent to.
    #[serde(default)]
    pub handled_by: String,
    /// Whether `max_model_len` cut it; left out when not.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub length_capped: bool,
}

impl RequestJson {
    /// Entries of all requests that reached a replica and were not dropped, by arrival, then number.
    #[must_use]
    pub fn entries(records: &[RequestRecord], classes: &[String], tenants: &[String]) -> Vec<RequestJson> {
        let reached =
            |record: &&RequestRecord| !matches!(record.fate, Fate::Rejected | Fate::Dropped | Fate::InPipeline);
        let mut kept: Vec<&RequestRecord> = records.iter().filter(reached).collect();
        kept.sort_unstable_by_key(|record| (record.request.arrive, record.request.id));
        kept.into_iter().map(|record| Self::entry(record, classes, tenants)).collect()
    }

    fn entry(record: &RequestRecord, classes: &[String], tenants: &[String]) -> RequestJson {
        let request = &record.request;
        let millis = |time: Option<crate::time::SimTime>| time.map_or(0.0, crate::time::SimTime::as_millis);
        let length_capped = record.fate == Fate::LengthCapped;
        // Engine specification 5.4: over n − 1, or over the gaps there are where the length was capped.
        let gaps = match (request.output_tokens, length_capped) {
            (0, _) => 0,
            (_, true) => record.num_gaps.saturating_sub(1).max(1),
            (n, false) => (n - 1).max(1),
        };
        let mean_gap = if gaps == 0 { 0.0 } else { record.gap_sum.0 as f64 / f64::from(gaps) };
        let name = |names: &[String], index: u16| names.get(usize::from(index)).cloned().unwrap_or_default();
        RequestJson {
            arrived_at: request.arrive.as_seconds(),
            request_id: alloc::format!("request_{}", request.id),
            num_prefill_tokens: request.input_tokens,
            num_decode_tokens: request.output_tokens,
            ttft_ms: millis(record.ttft),
            itl_ms: mean_gap / 1000.0,
            e2e_ms: millis(record.e2e),
            scheduling_delay_ms: millis(record.scheduling_delay),
            slo_class: name(classes, request.slo_class),
            tenant_id: name(tenants, request.tenant),
            handled_by: alloc::format!("instance_{}", record.replica),
            length_capped,
        }
    }
}

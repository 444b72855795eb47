//! `token-bucket`: whoever finds as many tokens in the bucket as the prompt has.

use crate::observation::AdmissionReason;
use crate::workload::Request;

#[derive(Debug)]
pub(in crate::cluster) struct TokenBucket {
    capacity: f64,
    /// Tokens per second.
    refill_rate: f64,
    level: f64,
    last: i64,
}

impl TokenBucket {
    /// A full bucket at time zero.
    pub(super) fn new(capacity: f64, refill_rate: f64) -> Self {
        Self { capacity, refill_rate, level: capacity, last: 0 }
    }

    pub(super) fn refuse(&mut self, request: &Request, now: i64) -> Option<AdmissionReason> {
        let elapsed = now - self.last;
        if elapsed > 0 {
            self.level = self.capacity.min(self.level + elapsed as f64 * self.refill_rate / 1e6);
            self.last = now;
        }
        let cost = f64::from(request.input_tokens);
        if self.level < cost {
            return Some(AdmissionReason::InsufficientTokens);
        }
        self.level -= cost;
        None
    }
}

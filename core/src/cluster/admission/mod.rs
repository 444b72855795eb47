//! Who is let in (cluster specification 4): one file per policy.

mod always_admit;
mod reject_all;
mod token_bucket;

use crate::observation::AdmissionReason;
use crate::scenario::AdmissionConfig;
use crate::workload::Request;
use always_admit::AlwaysAdmit;
use reject_all::RejectAll;
use token_bucket::TokenBucket;

/// An admission policy and its state.
#[derive(Debug)]
pub(super) enum Admission {
    AlwaysAdmit(AlwaysAdmit),
    TokenBucket(TokenBucket),
    RejectAll(RejectAll),
}

impl Admission {
    pub(super) fn new(config: AdmissionConfig) -> Self {
        match config {
            AdmissionConfig::AlwaysAdmit => Self::AlwaysAdmit(AlwaysAdmit),
            AdmissionConfig::TokenBucket { capacity, refill_rate } => {
                Self::TokenBucket(TokenBucket::new(capacity, refill_rate))
            }
            AdmissionConfig::RejectAll => Self::RejectAll(RejectAll),
        }
    }

    /// Why the request is refused at `now`; none if it is admitted.
    #[inline]
    pub(super) fn refuse(&mut self, request: &Request, now: i64) -> Option<AdmissionReason> {
        match self {
            Self::AlwaysAdmit(policy) => policy.refuse(),
            Self::TokenBucket(policy) => policy.refuse(request, now),
            Self::RejectAll(policy) => policy.refuse(),
        }
    }
}

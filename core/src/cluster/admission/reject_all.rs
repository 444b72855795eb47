//! `reject-all`: nobody. Pathological, for comparison.

use crate::observation::AdmissionReason;

#[derive(Debug)]
pub(in crate::cluster) struct RejectAll;

impl RejectAll {
    pub(super) fn refuse(&self) -> Option<AdmissionReason> {
        Some(AdmissionReason::RejectAll)
    }
}

//! `always-admit`: everybody.

use crate::observation::AdmissionReason;

#[derive(Debug)]
pub(in crate::cluster) struct AlwaysAdmit;

impl AlwaysAdmit {
    pub(super) fn refuse(&self) -> Option<AdmissionReason> {
        None
    }
}

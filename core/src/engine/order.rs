//! Order of the waiting queue: priorities and scheduler keys (cluster specification 6 and 7).

use crate::scenario::{PriorityPolicy, SchedulerPolicy};
use core::cmp::Ordering;

/// What a scheduler looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct QueueKey {
    pub priority: f64,
    pub input_tokens: u32,
    pub arrive: i64,
    pub id: u32,
}

/// Priority of a request of this arrival at `now`.
///
/// The last bits of the product can never reorder two requests: ages are whole microseconds, and neighbouring ones
/// differ by far more than a rounding error as long as they stay below 2⁵¹ (70 years).
pub(super) fn priority(policy: PriorityPolicy, arrive: i64, now: i64) -> f64 {
    let age = (now - arrive) as f64;
    match policy {
        PriorityPolicy::Constant => 0.0,
        PriorityPolicy::SloBased => 0.0 + 1e-6 * age,
        PriorityPolicy::InvertedSlo => 0.0 - 1e-6 * age,
    }
}

/// Whether `left` comes before `right`; `Fcfs` keeps the order of enqueueing.
pub(super) fn compare(scheduler: SchedulerPolicy, left: &QueueKey, right: &QueueKey) -> Ordering {
    let by_age = || left.arrive.cmp(&right.arrive).then_with(|| compare_as_text(left.id, right.id));
    match scheduler {
        SchedulerPolicy::Fcfs => Ordering::Equal,
        SchedulerPolicy::PriorityFcfs => right.priority.total_cmp(&left.priority).then_with(by_age),
        SchedulerPolicy::Sjf => left.input_tokens.cmp(&right.input_tokens).then_with(by_age),
        SchedulerPolicy::ReversePriority => left.priority.total_cmp(&right.priority).then_with(by_age),
    }
}

/// Compares two ids as decimal text: 10 comes before 2.
pub(crate) fn compare_as_text(left: u32, right: u32) -> Ordering {
    let digits = |value: u32| value.checked_ilog10().unwrap_or(0);
    let (a, b) = (digits(left), digits(right));
    let scale = |value: u32, by: u32| u64::from(value) * 10u64.pow(by);
    let widest = a.max(b);
    scale(left, widest - a).cmp(&scale(right, widest - b)).then(a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_compare_as_their_decimal_text() {
        let ids = [0, 1, 2, 9, 10, 11, 19, 20, 99, 100, 101, 1000, 123_456, 4_294_967_295];
        for left in ids {
            for right in ids {
                assert_eq!(compare_as_text(left, right), left.to_string().cmp(&right.to_string()), "{left} {right}");
            }
        }
    }
}

//! Ready mixes of clients to start from: the repository's own specifications.

/// Name, file name and text of each.
pub const START: [(&str, &str, &str); 4] = [
    ("SLO classes", "mixed-slo.yaml", include_str!("../../../../configs/workload-specs/mixed-slo.yaml")),
    ("Conversations", "multi-turn-chat.yaml", include_str!("../../../../configs/workload-specs/multi-turn-chat.yaml")),
    ("A day's rhythm", "cohorts.yaml", include_str!("../../../../configs/workload-specs/cohorts.yaml")),
    ("Waiting users", "closed-loop.yaml", include_str!("../../../../configs/workload-specs/closed-loop.yaml")),
];

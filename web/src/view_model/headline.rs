//! The answer in one sentence, and the few numbers behind it.

use super::chart::{has_steady_latency, pick};
use super::format;
use plimsoll_core::curve::{Capacity, Curve, CurvePoint, Limiter};
use plimsoll_core::diagnostic::Diagnostic;
use plimsoll_core::report::Verdict;
use plimsoll_core::scenario::{Basis, Slo};
use plimsoll_protocol::view::Percentile;
use plimsoll_protocol::{Basics, EngineLimits};

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// The part that is set large, e.g. `22.4 req/s`; empty while nothing can be said.
    pub figure: String,
    /// What comes before the figure.
    pub lead: String,
    /// The rest of the sentence.
    pub rest: String,
    /// What binds and which lever moves it, a sentence of its own; empty if not known.
    pub lever: String,
}

impl Headline {
    /// The whole answer as one text.
    #[must_use]
    pub fn text(&self) -> String {
        let parts = [&self.lead, &self.figure, &self.rest, &self.lever];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// A number with its name and an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNumber {
    /// Name.
    pub label: String,
    /// Value with unit.
    pub value: String,
    /// Spread over seeds or other small print; may be empty.
    pub note: String,
    /// What it is and how it is computed.
    pub help: &'static str,
}

/// The badge of a prediction: its basis in a word, the text, and what it means.
#[must_use]
pub fn badge(basics: &Basics) -> (&'static str, String, String) {
    let (word, help) = basis(basics.basis);
    if basics.calibrated_on.is_empty() || basics.basis != Basis::Calibrated {
        return (word, word.to_owned(), help.to_owned());
    }
    (word, format!("{word} on {}", basics.calibrated_on), format!("{help} It stands for {}.", basics.calibrated_range))
}

/// What to know where a scenario leaves the range of its fit: lengths, another deployment, or more load than any log had.
#[must_use]
pub fn beyond(basics: &Basics, curve: &Curve, diagnostics: &[Diagnostic]) -> Vec<String> {
    let is_of_fit =
        |found: &&Diagnostic| matches!(found.code.as_str(), "outside-calibration" | "fit-of-another-deployment");
    let mut found: Vec<String> = diagnostics.iter().filter(is_of_fit).map(|found| found.message.clone()).collect();
    // The rates of the logs are those for as many replicas.
    if basics.basis == Basis::Calibrated
        && curve.answered().is_some_and(|loads| loads.is_beyond(basics.calibrated_rates, 1))
    {
        let [low, high] = basics.calibrated_rates.map(format::rate);
        found.push(format!("the logs have {low} to {high} req/s; other loads are extrapolated"));
    }
    found
}

/// What a prediction rests on: a word and what it means.
fn basis(basis: Basis) -> (&'static str, &'static str) {
    match basis {
        Basis::Calibrated => ("calibrated", "Fitted to logs of this very deployment."),
        Basis::Trained => {
            ("trained", "Coefficients trained on measurements of this model, accelerator and parallelism.")
        }
        Basis::Analytical => ("analytical", "Formulas on the model's architecture and the accelerator's data sheet."),
        Basis::Extrapolated => {
            ("extrapolated", "Formulas outside the range they were trained or checked for; expect larger errors.")
        }
    }
}

/// The setting behind a limiter.
#[must_use]
pub fn limiter_word(limiter: Limiter) -> &'static str {
    match limiter {
        Limiter::MaxNumSeqs => "max_num_seqs",
        Limiter::MaxNumBatchedTokens => "max_num_batched_tokens",
        Limiter::KvBlocks => "KV cache memory",
        Limiter::StepTime => "step time",
    }
}

/// What relaxing a limiter means, as the study does it: twice the setting, or steps in a fifth less time.
#[must_use]
pub fn relaxation(limiter: Limiter, engine: &EngineLimits) -> String {
    let doubled = |value: u32| format::grouped(f64::from(value) * 2.0);
    match limiter {
        Limiter::MaxNumSeqs => format!("raising max_num_seqs to {}", doubled(engine.max_num_seqs)),
        Limiter::MaxNumBatchedTokens => {
            format!("raising max_num_batched_tokens to {}", doubled(engine.max_num_batched_tokens))
        }
        Limiter::KvBlocks => format!("twice the KV cache ({} blocks)", doubled(engine.num_blocks)),
        Limiter::StepTime => "a deployment 1.25 times as fast".into(),
    }
}

/// The limits in words: `p95 TTFT ≤ 500 ms, p95 TPOT ≤ 30 ms, 95 % attaining`.
#[must_use]
pub fn slo_words(slo: &Slo) -> String {
    let limits = [("TTFT", slo.ttft_ms), ("TPOT", slo.tpot_ms), ("ITL", slo.itl_ms), ("E2E", slo.e2e_ms)];
    let mut words: Vec<String> = limits
        .into_iter()
        .filter_map(|(name, limit)| {
            Some(format!("p{} {name} ≤ {}", slo.percentile, format::limit_milliseconds(limit?)))
        })
        .collect();
    words.push(format!("{} attaining", format::percent(slo.attainment)));
    words.join(", ")
}

/// The answer to a curve.
#[must_use]
pub fn headline(curve: &Curve, slo: &Slo, engine: &EngineLimits) -> Headline {
    let slo_words = slo_words(slo);
    let Some(capacity) = curve.capacity else {
        return Headline {
            lead: "Searching for the capacity …".into(),
            figure: String::new(),
            rest: String::new(),
            lever: String::new(),
        };
    };
    let is_undecided = capacity.next_failing_verdict == Some(Verdict::Undecided);
    if capacity.request_rate <= 0.0 && is_undecided {
        return Headline {
            lead: "Not decided: the runs are too short to tell".into(),
            figure: String::new(),
            rest: format!("what it carries within the SLO ({slo_words})."),
            lever: String::new(),
        };
    }
    if capacity.request_rate <= 0.0 {
        return Headline {
            lead: "Does not keep the SLO at any rate of the axis".into(),
            figure: String::new(),
            rest: missed(curve, slo, &slo_words),
            lever: lever(curve, engine),
        };
    }
    // Above, nothing is known to fail: the axis ends, or the runs are too short to tell.
    let is_open = capacity.next_failing_rate.is_none() || is_undecided;
    let is_rough = !is_open && !capacity.is_final;
    Headline {
        lead: if is_open {
            "Carries at least"
        } else if is_rough {
            "Carries about"
        } else {
            "Carries"
        }
        .into(),
        figure: format!("{} req/s", format::rate_held(capacity.request_rate)),
        rest: format!("within the SLO ({slo_words})."),
        lever: lever(curve, engine),
    }
}

/// Why not even the lowest rate holds.
fn missed(curve: &Curve, slo: &Slo, slo_words: &str) -> String {
    let Some(point) = curve.points.iter().find(|point| has_steady_latency(point)) else {
        return format!("({slo_words}): every rate overloads it.");
    };
    let seen = [
        ("TTFT", slo.ttft_ms, point.ttft.slo.mid),
        ("TPOT", slo.tpot_ms, point.tpot.slo.mid),
        ("ITL", slo.itl_ms, point.itl.slo.mid),
        ("E2E", slo.e2e_ms, point.e2e.slo.mid),
    ];
    let over = seen.into_iter().find_map(|(name, limit, value)| {
        (value > limit?).then(|| format!("p{} {name} is {}", slo.percentile, format::milliseconds(value)))
    });
    let reason = over.unwrap_or_else(|| format!("only {} attain it", format::percent(point.attainment.mid)));
    format!("({slo_words}): already at {} req/s {reason}.", format::rate(point.request_rate))
}

fn lever(curve: &Curve, engine: &EngineLimits) -> String {
    let Some(binding) = curve.binding else { return String::new() };
    let word = limiter_word(binding);
    let capacity = curve.capacity.map_or(0.0, |capacity| capacity.request_rate);
    let gain = curve.levers.iter().find(|(limiter, _)| *limiter == binding).map(|(_, factor)| *factor);
    let lead = match binding {
        Limiter::StepTime => "No setting gives 5 % more, so the step time binds".into(),
        _ => format!("What binds is {word}"),
    };
    match gain {
        Some(factor) if factor > 1.0 && capacity > 0.0 => format!(
            "{lead}: {} would give at least {} req/s (+{}).",
            relaxation(binding, engine),
            format::rate_held(capacity * factor),
            format::percent(factor - 1.0),
        ),
        _ => format!("{lead}."),
    }
}

/// The point that stands for the capacity: the highest rate not above it.
#[must_use]
pub fn point_at_capacity(curve: &Curve) -> Option<&CurvePoint> {
    let rate = curve.capacity.filter(|capacity| capacity.request_rate > 0.0)?.request_rate;
    curve.points.iter().rev().find(|point| point.num_seeds > 0 && point.request_rate <= rate * 1.000_001)
}

/// The numbers behind the answer.
///
/// `price_usd_per_hour` is that of all accelerators of the deployment.
#[must_use]
pub fn key_numbers(
    curve: &Curve,
    slo: &Slo,
    percentile: Percentile,
    price_usd_per_hour: Option<f64>,
) -> Vec<KeyNumber> {
    let label = percentile.label(slo.percentile);
    let mut numbers = vec![
        rate_number(
            "Capacity",
            curve.capacity,
            "Highest offered rate that is stable and keeps every limit of the SLO, by bisection to 2.5 %; the range is from the worst seed to the best.",
        ),
        rate_number(
            "Saturation",
            curve.saturation,
            "Highest offered rate at which the backlog does not grow, whatever the latency; the range is from the worst seed to the best.",
        ),
    ];
    let Some(point) = point_at_capacity(curve) else { return numbers };
    let latencies = [
        ("TTFT", &point.ttft, "Time to first token at capacity: arrival to first output token, queueing included."),
        (
            "TPOT",
            &point.tpot,
            "Time per output token at capacity: (end-to-end − TTFT) ÷ (output tokens − 1) per request.",
        ),
        ("E2E", &point.e2e, "End-to-end latency at capacity: arrival to last output token."),
    ];
    for (name, bands, help) in latencies {
        let band = pick(bands, percentile);
        numbers.push(KeyNumber {
            label: format!("{name} {label}"),
            value: format::milliseconds(band.mid),
            note: format::milliseconds_range(band.low, band.high),
            help,
        });
    }
    let tokens = point.output_token_throughput.mid;
    numbers.push(KeyNumber {
        label: "Output tokens".into(),
        value: format!("{}/s", format::number(tokens, 3)),
        note: format!("batch of {}", format::number(point.mean_running, 2)),
        help: "Output tokens per second of the measured window at capacity, and the mean number of requests in a batch.",
    });
    numbers.push(KeyNumber {
        label: "KV cache".into(),
        value: format::percent(point.kv_usage),
        note: match point.preemptions_per_request {
            none if none <= 0.0 => "no preemptions".into(),
            some => format!("{} preemptions per request", format::number(some, 2)),
        },
        help: "Mean share of KV blocks in use that arriving requests find at capacity; a full cache preempts running requests.",
    });
    if let Some(price) = price_usd_per_hour.filter(|price| *price > 0.0 && tokens > 0.0) {
        numbers.push(KeyNumber {
            label: "Cost per 1M".into(),
            value: format!("${}", format::number(price / (tokens * 3600.0) * 1e6, 3)),
            note: format!("output tokens, ${}/h", format::number(price, 3)),
            help: "List price of the deployment's accelerators divided by the output tokens it produces at capacity.",
        });
    }
    numbers
}

fn rate_number(label: &str, found: Option<Capacity>, help: &'static str) -> KeyNumber {
    let (value, note) = match found {
        None => ("…".into(), String::new()),
        Some(found) if found.request_rate <= 0.0 => ("none".into(), String::new()),
        Some(found) => {
            let is_open = found.next_failing_rate.is_none() || found.next_failing_verdict == Some(Verdict::Undecided);
            let at_least = if is_open { "≥ " } else { "" };
            let [low, high] = found.band;
            (
                format!("{at_least}{} req/s", format::rate_held(found.request_rate)),
                format!("{} – {}", format::rate_held(low), format::rate(high)),
            )
        }
    };
    KeyNumber { label: label.into(), value, note, help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view_model::chart::tests::{curve, engine, point};

    #[test]
    fn the_sentence_names_capacity_limits_and_lever() {
        let mut curve = curve();
        curve.binding = Some(Limiter::MaxNumSeqs);
        curve.levers = vec![(Limiter::MaxNumSeqs, 1.2), (Limiter::KvBlocks, 1.0)];
        assert_eq!(
            headline(&curve, &Slo::default(), &engine()).text(),
            "Carries 11.0 req/s within the SLO (p95 TTFT ≤ 500 ms, p95 TPOT ≤ 30 ms, 95 % attaining). \
             What binds is max_num_seqs: raising max_num_seqs to 512 would give at least 13.2 req/s (+20 %)."
        );
        curve.binding = Some(Limiter::StepTime);
        curve.levers = vec![(Limiter::StepTime, 1.25), (Limiter::MaxNumSeqs, 1.0)];
        assert_eq!(
            headline(&curve, &Slo::default(), &engine()).lever,
            "No setting gives 5 % more, so the step time binds: a deployment 1.25 times as fast would give at least 13.7 req/s (+25 %)."
        );
    }

    #[test]
    fn what_lies_beyond_the_logs_of_a_fit_is_said() {
        let basics = |calibrated_rates| Basics {
            slo: Slo::default(),
            basis: Basis::Calibrated,
            calibrated_on: "a.json".into(),
            calibrated_range: "4 requests/s".into(),
            calibrated_rates,
            ledger: None,
            settings: engine(),
            filled_in: Vec::new(),
            defaults: Vec::new(),
            price_usd_per_hour: None,
            deployment: String::new(),
        };
        let curve = curve();
        let capacity = curve.capacity.expect("a capacity").request_rate;
        let outside = Diagnostic::warning("outside-calibration", "workload.input_tokens", "prompts of 900 tokens");
        let other = Diagnostic::warning("unknown-field", "a", "b");
        assert_eq!(beyond(&basics([1.0, 100.0]), &curve, &[outside, other]), ["prompts of 900 tokens"]);
        let found = beyond(&basics([1.0, capacity / 2.0]), &curve, &[]);
        assert_eq!(
            found,
            [format!("the logs have 1.00 to {} req/s; other loads are extrapolated", format::rate(capacity / 2.0))]
        );
        assert!(beyond(&basics([0.0; 2]), &curve, &[]).is_empty());
    }

    #[test]
    fn an_open_end_is_at_least() {
        let mut curve = curve();
        if let Some(capacity) = &mut curve.capacity {
            capacity.next_failing_rate = None;
        }
        assert!(headline(&curve, &Slo::default(), &engine()).text().starts_with("Carries at least 11.0 req/s"));
    }

    #[test]
    fn what_is_known_to_hold_is_not_rounded_up() {
        let mut curve = curve();
        curve.capacity =
            curve.capacity.map(|capacity| Capacity { request_rate: 18.75, band: [18.75, 19.26], ..capacity });
        assert!(headline(&curve, &Slo::default(), &engine()).text().starts_with("Carries 18.7 req/s"));
        let tile = key_numbers(&curve, &Slo::default(), Percentile::Slo, None).remove(0);
        assert_eq!([tile.value, tile.note], ["18.7 req/s", "18.7 – 19.3"]);
    }

    #[test]
    fn an_undecided_bound_is_at_least_and_nothing_decided_says_so() {
        let mut curve = curve();
        curve.capacity =
            curve.capacity.map(|capacity| Capacity { next_failing_verdict: Some(Verdict::Undecided), ..capacity });
        assert!(headline(&curve, &Slo::default(), &engine()).text().starts_with("Carries at least 11.0 req/s"));
        curve.capacity = curve.capacity.map(|capacity| Capacity { request_rate: 0.0, ..capacity });
        assert!(headline(&curve, &Slo::default(), &engine()).text().starts_with("Not decided"));
    }

    #[test]
    fn no_capacity_says_which_limit_is_missed_where() {
        let mut curve = curve();
        curve.points = vec![point(2.0, Verdict::Stable, 640.0)];
        curve.capacity = curve.capacity.map(|capacity| Capacity { request_rate: 0.0, ..capacity });
        let sentence = headline(&curve, &Slo::default(), &engine()).text();
        assert!(sentence.ends_with("already at 2.00 req/s p95 TTFT is 640 ms."), "{sentence}");
    }

    #[test]
    fn numbers_at_capacity_come_from_the_point_below_it() {
        let numbers = key_numbers(&curve(), &Slo::default(), Percentile::Slo, Some(2.5));
        let find =
            |label: &str| numbers.iter().find(|number| number.label == label).map(|number| number.value.as_str());
        assert_eq!(find("TTFT p95"), Some("120 ms"));
        assert_eq!(find("Capacity"), Some("11.0 req/s"));
        assert_eq!(find("Cost per 1M"), Some("$0.136"));
    }

    #[test]
    fn nothing_is_said_before_there_is_anything() {
        let empty = Curve::default();
        assert_eq!(headline(&empty, &Slo::default(), &engine()).figure, "");
        assert_eq!(key_numbers(&empty, &Slo::default(), Percentile::Slo, None).len(), 2);
    }
}

//! Imported token arrays against a cache that knows every token (definitions 11).
#![cfg(not(target_arch = "wasm32"))]

use plimsoll_core::cluster::simulate;
use plimsoll_core::engine::Mode;
use plimsoll_core::latency::LatencyModel;
use plimsoll_core::observation::{Event, Observer, RequestRecord};
use plimsoll_core::scenario::{ClusterConfig, EngineConfig};
use plimsoll_core::workload::{Trace, TraceSource};
use plimsoll_formats::trace_from_bytes;
use std::collections::HashSet;
use std::fmt::Write;

/// A prompt and its answer, token by token.
type Exchange = (Vec<u32>, Vec<u32>);

/// The prefixes of everything computed so far, as whole blocks of tokens; nothing is ever forgotten.
struct NaiveCache {
    block_size: usize,
    prefixes: HashSet<Vec<u32>>,
}

/// What a sequence begins with, in whole blocks.
fn prefixes(tokens: &[u32], block_size: usize) -> impl Iterator<Item = &[u32]> {
    (1..=tokens.len() / block_size).map(move |blocks| &tokens[..blocks * block_size])
}

impl NaiveCache {
    /// Serves a request; how many tokens of its prompt were found.
    fn serve(&mut self, (prompt, answer): &Exchange) -> usize {
        let found = prefixes(prompt, self.block_size).take_while(|prefix| self.prefixes.contains(*prefix)).count();
        let found = found * self.block_size;
        // A prompt that is found as a whole holds none of its blocks (KV specification 7, O1), so its answer does not
        // continue it.
        if found < prompt.len() {
            let all: Vec<u32> = prompt.iter().chain(answer).copied().collect();
            self.prefixes.extend(prefixes(&all, self.block_size).map(<[u32]>::to_vec));
        }
        found
    }
}

/// Cached tokens of each prompt, in the order of admission.
#[derive(Default)]
struct Admitted(Vec<(u32, usize)>);

impl Observer for Admitted {
    fn settled(&mut self, _record: &RequestRecord) {}

    fn event(&mut self, event: &Event) {
        if let Event::Admit { id, cached_tokens, .. } = *event {
            self.0.push((id, cached_tokens as usize));
        }
    }

    fn wants_events(&self) -> bool {
        true
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    /// Few letters, so that strangers often begin alike.
    fn tokens(&mut self, len: usize) -> Vec<u32> {
        (0..len).map(|_| 7 + self.below(2) as u32).collect()
    }
}

/// Prompts that begin anew, go on from a whole earlier exchange, or leave one somewhere; answers alike.
fn exchanges(random: &mut Random, count: usize) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    while all.len() < count {
        let mut prompt = Vec::new();
        if random.below(4) > 0 && !all.is_empty() {
            let (old, answer) = &all[random.below(all.len())];
            prompt = old.iter().chain(answer).copied().collect();
            if random.below(3) == 0 {
                prompt.truncate(random.below(prompt.len() + 1));
            }
        }
        let added = random.below(50);
        prompt.extend(random.tokens(added));
        let answered = random.below(60);
        let answer = match all.iter().find(|(old, _)| *old == prompt).filter(|_| random.below(2) == 0) {
            // The same question may get the same answer.
            Some((_, answer)) => answer.clone(),
            None => random.tokens(answered),
        };
        if !prompt.is_empty() {
            all.push((prompt, answer));
        }
    }
    all
}

/// The exchanges as a token trace, far enough apart that each is over before the next begins.
fn imported(exchanges: &[Exchange]) -> Trace {
    let mut text = String::from("arrival_time,request_id,model,prefill_tokens,decode_tokens\n");
    for (at, (prompt, answer)) in exchanges.iter().enumerate() {
        writeln!(text, "{},{at},m,\"{prompt:?}\",\"{answer:?}\"", at * 100).expect("memory takes everything");
    }
    trace_from_bytes(text.as_bytes(), "trace.csv").unwrap_or_else(|found| panic!("{found:?}")).value
}

fn cached_tokens(trace: &Trace, block_size: u32, mode: Mode) -> Vec<(u32, usize)> {
    // Prompts come in chunks that are no multiple of a block.
    let engine = EngineConfig { block_size, max_num_seqs: 8, max_num_batched_tokens: 37, ..EngineConfig::new(100_000) };
    let latency = LatencyModel::blackbox(&[0.0; 3], &[1000.0, 1.0, 1.0]).expect("plain coefficients");
    let mut admitted = Admitted::default();
    let source = TraceSource::new(trace.clone().into());
    simulate(&ClusterConfig::single(), engine, latency, source, mode, &mut admitted);
    admitted.0
}

#[test]
fn imported_arrays_hit_what_a_cache_of_tokens_hits() {
    let mut random = Random(11);
    // Of all prompts, those that found something, and those that found more than the prompts before them hold.
    let (mut prompts, mut hits, mut into_answers) = (0, 0, 0);
    for case in 0..40 {
        let exchanges = exchanges(&mut random, 30);
        let trace = imported(&exchanges);
        for block_size in [8, 16, 32] {
            let naive = |keeps_answers: bool| {
                let mut cache = NaiveCache { block_size, prefixes: HashSet::new() };
                let none = Vec::new();
                let serve = |(at, (prompt, answer)): (usize, &Exchange)| {
                    let answer = if keeps_answers { answer } else { &none };
                    (at as u32, cache.serve(&(prompt.clone(), answer.clone())))
                };
                exchanges.iter().enumerate().map(serve).collect::<Vec<(u32, usize)>>()
            };
            let expected = naive(true);
            for mode in [Mode::Step, Mode::Fast] {
                assert_eq!(
                    cached_tokens(&trace, block_size as u32, mode),
                    expected,
                    "case {case}, {block_size}, {mode:?}"
                );
            }
            prompts += expected.len();
            hits += expected.iter().filter(|(_, tokens)| *tokens > 0).count();
            into_answers += expected.iter().zip(naive(false)).filter(|(with, without)| with.1 > without.1).count();
        }
    }
    assert!(hits * 2 > prompts && into_answers * 10 > prompts, "{hits} hits, {into_answers} in answers, of {prompts}");
}

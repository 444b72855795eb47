use super::*;
use crate::scenario::{
    ActiveWindow, ArrivalSettings, ClientSettings, ClosedLoopSettings, ItemSettings, LengthSettings,
    MultimodalSettings, SessionSettings,
};
use std::vec;

fn workload(clients: Vec<ClientSettings>) -> WorkloadSettings {
    WorkloadSettings { clients, ..WorkloadSettings::default() }
}

fn client(rate_fraction: f64) -> ClientSettings {
    ClientSettings { rate_fraction, ..ClientSettings::default() }
}

/// A client of equal gaps and lengths.
fn even(input: u32, output: u32) -> ClientSettings {
    ClientSettings {
        arrival: ArrivalSettings::Constant,
        input_tokens: LengthSettings::Constant { value: input },
        output_tokens: LengthSettings::Constant { value: output },
        ..ClientSettings::default()
    }
}

fn mix(clients: Vec<ClientSettings>, request_rate: f64, n: u32, horizon: i64) -> Mix {
    Mix::new(&workload(clients), request_rate, n, 42, 0, SimTime(horizon))
}

fn drain(mix: &mut Mix) -> Vec<Request> {
    core::iter::from_fn(|| mix.next_request()).collect()
}

fn arrivals(mix: &mut Mix) -> Vec<i64> {
    drain(mix).iter().map(|request| request.arrive.0).collect()
}

/// Tokens from the root to each segment's end, root first.
fn chain(mix: &Mix, node: PrefixId) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut at = node;
    while at != PrefixId::NONE {
        ends.insert(0, mix.prefixes().tokens(at));
        at = mix.prefixes().parent(at);
    }
    ends
}

/// Seed 42, 100,000 requests; bounds of 4.9 standard errors: false alarm 1e-6 each.
#[test]
fn clients_share_the_rate_by_their_fractions() {
    let mut mix = mix(vec![client(5.0), client(3.0), client(2.0)], 100.0, 100_000, i64::MAX).with_details();
    let requests = drain(&mut mix);
    let n = f64::from(requests.len() as u32);
    assert!(requests.windows(2).all(|w| w[0].arrive <= w[1].arrive && w[0].id + 1 == w[1].id));
    for (at, share) in [(0, 0.5), (1, 0.3), (2, 0.2)] {
        let part = mix.details().iter().filter(|detail| detail.client == at).count() as f64 / n;
        assert!((part - share).abs() < 4.9 * libm::sqrt(share * (1.0 - share) / n), "{at}: {part}");
    }
    // Poisson clients together are Poisson: the n-th arrival is a gamma of shape n.
    let seconds = requests.last().map_or(0.0, |request| request.arrive.as_seconds());
    assert!((seconds / (n / 100.0) - 1.0).abs() < 4.9 / libm::sqrt(n), "{seconds}");
}

#[test]
fn equal_arrivals_come_in_the_order_of_the_clients() {
    let mut mix = mix(vec![even(5, 1), even(6, 1)], 20.0, 5, i64::MAX);
    let found: Vec<_> = drain(&mut mix).iter().map(|r| (r.id, r.arrive.0, r.input_tokens)).collect();
    assert_eq!(found, [(0, 99_999, 5), (1, 99_999, 6), (2, 199_998, 5), (3, 199_998, 6), (4, 299_997, 5)]);
}

#[test]
fn copies_of_a_client_divide_its_rate_and_differ() {
    let many = ClientSettings { population: 4, rate_fraction: 3.0, ..ClientSettings::default() };
    let mut mix = mix(vec![client(1.0), many], 40.0, 20_000, i64::MAX).with_details();
    let requests = drain(&mut mix);
    for copy in 0..4 {
        let of = mix.details().iter().filter(|detail| detail.client == 1 && detail.copy == copy).count() as f64;
        // 3/16 of 20,000, ± 4.9 standard errors.
        assert!((of - 3750.0).abs() < 4.9 * libm::sqrt(20_000.0 * 3.0 / 16.0 * 13.0 / 16.0), "{copy}: {of}");
    }
    let first = |copy| {
        let at = mix.details().iter().position(|detail| detail.client == 1 && detail.copy == copy);
        at.map(|at| (requests[at].input_tokens, requests[at].output_tokens))
    };
    assert_ne!(first(0), first(1));
}

#[test]
fn clients_are_active_in_their_windows_and_share_with_those_that_are() {
    let window = |start: u64, end: u64| ActiveWindow { start_us: start * 1_000_000, end_us: end * 1_000_000 };
    let early = ClientSettings { active: vec![window(10, 20), window(30, 40)], ..even(1, 1) };
    let late = ClientSettings { active: vec![window(50, 60)], ..even(2, 1) };
    let always = even(3, 1);
    // `always` meets both of the others and has a third; the other two meet only it and have a half.
    let mut mix = mix(vec![early, late, always], 60.0, 10_000, 60_000_000);
    let requests = drain(&mut mix);
    let count = |input, from: i64, to: i64| {
        let is_inside = |r: &&Request| r.input_tokens == input && (from..to).contains(&r.arrive.0);
        requests.iter().filter(is_inside).count() as i64
    };
    let second = 1_000_000;
    for (input, from, to, expected) in
        [(1, 10, 20, 300), (1, 30, 40, 300), (2, 50, 60, 300), (3, 0, 10, 200), (3, 50, 60, 200)]
    {
        let found = count(input, from * second, to * second);
        assert!((found - expected).abs() <= 1, "{input} in {from} to {to}: {found}");
    }
    assert_eq!(count(1, 0, i64::MAX), count(1, 10 * second, 20 * second) + count(1, 30 * second, 40 * second));
    assert_eq!(count(2, 0, i64::MAX), count(2, 50 * second, 60 * second));
}

#[test]
fn nothing_arrives_at_the_horizon_or_later() {
    assert_eq!(arrivals(&mut mix(vec![even(1, 1)], 10.0, 100, 299_997)), [99_999, 199_998]);
    assert_eq!(arrivals(&mut mix(vec![even(1, 1)], 10.0, 100, 299_998)), [99_999, 199_998, 299_997]);
}

#[test]
fn clients_of_a_group_share_the_prefix_of_its_first() {
    let grouped = |tokens| ClientSettings { prefix_group: "system".into(), prefix_tokens: tokens, ..even(10, 1) };
    let mut mix = mix(vec![grouped(70), even(10, 1), grouped(90)], 30.0, 3, i64::MAX);
    let requests = drain(&mut mix);
    assert_eq!(requests.iter().map(|r| r.input_tokens).collect::<Vec<_>>(), [80, 10, 80]);
    assert_eq!(requests[0].prefix, requests[2].prefix);
    assert_eq!(chain(&mix, requests[0].prefix), [70]);
}

#[test]
fn parts_of_a_multimodal_prompt_add_up() {
    let constant = |value| LengthSettings::Constant { value };
    let item = |tokens, count| Some(ItemSettings { tokens: constant(tokens), count: constant(count) });
    let multimodal =
        MultimodalSettings { text: Some(constant(7)), image: item(100, 3), audio: None, video: item(20, 2) };
    let reason_ratio = Some(constant(25));
    let asks = ClientSettings { multimodal: Some(multimodal), reason_ratio, ..even(1, 1) };
    let mut mix = mix(vec![asks], 1.0, 1, i64::MAX).with_details();
    assert_eq!(drain(&mut mix)[0].input_tokens, 347);
    assert_eq!((mix.details()[0].modalities, mix.details()[0].reason_ratio), ([7, 300, 0, 40], 0.25));
}

fn session(max_rounds: u32, is_closed_loop: bool) -> SessionSettings {
    SessionSettings { max_rounds, think_time_us: 1000, is_closed_loop, ..SessionSettings::default() }
}

#[test]
fn an_open_conversation_holds_all_that_was_said() {
    let talks = ClientSettings { session: Some(session(4, false)), ..even(100, 10) };
    let talks = ClientSettings { prefix_group: "g".into(), prefix_tokens: 32, ..talks };
    let mut mix = mix(vec![talks], 1.0, 4, i64::MAX).with_details();
    let requests = drain(&mut mix);
    assert_eq!(requests.iter().map(|r| r.input_tokens - 32).collect::<Vec<_>>(), [100, 210, 320, 430]);
    // Each turn comes a thousand and ten microseconds after the one before it.
    assert_eq!(requests.iter().map(|r| r.arrive.0).collect::<Vec<_>>(), [1_000_000, 1_001_010, 1_002_020, 1_003_030]);
    assert_eq!(chain(&mix, requests[2].prefix), [32, 132, 142, 242, 252, 352]);
    assert_eq!(chain(&mix, requests[2].output_prefix), [32, 132, 142, 242, 252, 352, 362]);
    // Nobody asks again for the last turn's own tokens.
    assert_eq!(chain(&mix, requests[3].prefix), [32, 132, 142, 242, 252, 352, 362]);
    assert_eq!(requests[3].output_prefix, PrefixId::NONE);
    assert!(requests.iter().all(|r| r.deadline.0 == r.arrive.0 + 300_000_000));
    let rounds: Vec<_> = mix.details().iter().map(|detail| (detail.session, detail.round)).collect();
    assert_eq!(rounds, [(Some(0), 0), (Some(0), 1), (Some(0), 2), (Some(0), 3)]);
}

#[test]
fn turns_outside_the_windows_are_left_out_but_were_said() {
    let active =
        vec![ActiveWindow { start_us: 0, end_us: 1_001_000 }, ActiveWindow { start_us: 1_002_000, end_us: 1_003_000 }];
    let talks = ClientSettings { session: Some(session(4, false)), active, timeout_us: Some(0), ..even(100, 10) };
    let mut mix = mix(vec![talks], 1.0, 10, i64::MAX);
    let requests = drain(&mut mix);
    let found: Vec<_> = requests.iter().map(|r| (r.arrive.0, r.input_tokens, r.deadline.0)).collect();
    assert_eq!(found, [(1_000_000, 100, 0), (1_002_020, 320, 0)]);
}

/// Settles a request that finished with `produced` tokens in the cache.
fn finish(mix: &mut Mix, id: u32, end: i64, produced: u32) {
    mix.settled(&Outcome { id, end: SimTime(end), context_tokens: Some(produced) });
}

#[test]
fn a_closed_conversation_waits_for_its_answers() {
    let talks = ClientSettings { session: Some(session(3, true)), ..even(100, 10) };
    let mut mix = mix(vec![talks], 1.0, 100, 2_500_000);
    assert!(mix.is_closed_loop());
    let first = mix.next_request().expect("the first session");
    let second = mix.next_request().expect("the second session");
    assert_eq!([first.arrive.0, second.arrive.0], [1_000_000, 2_000_000]);
    assert_eq!(mix.next_arrival(), None);
    finish(&mut mix, first.id, 1_500_000, 9);
    assert_eq!(mix.next_arrival(), Some(SimTime(1_501_000)));
    let turn = mix.next_request().expect("its second turn");
    // The last answer token is not part of the next prompt.
    assert_eq!((turn.id, turn.input_tokens, turn.arrive.0), (2, 209, 1_501_000));
    assert_eq!(chain(&mix, turn.prefix), [100, 109, 209]);
    assert_eq!(mix.prefixes().parent(turn.prefix), first.output_prefix);
    finish(&mut mix, turn.id, 2_499_000, 9);
    let last = mix.next_request().expect("its third turn, at the horizon");
    assert_eq!((last.input_tokens, last.arrive.0, last.output_prefix), (318, 2_500_000, PrefixId::NONE));
    finish(&mut mix, last.id, 2_500_000, 9);
    assert_eq!(mix.next_arrival(), None);
    // The other one gives up, which ends its session.
    mix.settled(&Outcome { id: second.id, end: SimTime(2_400_000), context_tokens: None });
    assert_eq!(mix.next_request(), None);
}

#[test]
fn an_answer_cut_short_is_remembered_as_far_as_it_went() {
    let talks = ClientSettings { session: Some(session(3, true)), ..even(100, 10) };
    let mut mix = mix(vec![talks], 1.0, 100, i64::MAX);
    let first = mix.next_request().expect("a session");
    finish(&mut mix, first.id, 1_000_100, 4);
    let turn = mix.next_request().expect("its second turn");
    assert_eq!((turn.input_tokens, chain(&mix, turn.prefix)), (204, vec![100, 104, 204]));
    assert_ne!(mix.prefixes().parent(turn.prefix), first.output_prefix);
}

#[test]
fn a_single_session_is_the_only_one() {
    let only = SessionSettings { is_single: true, ..session(2, false) };
    let active = vec![ActiveWindow { start_us: 5_000_000, end_us: 60_000_000 }];
    let talks = ClientSettings { session: Some(only), active, ..even(100, 10) };
    assert_eq!(arrivals(&mut mix(vec![talks], 1.0, 100, i64::MAX)), [5_000_000, 5_001_010]);
}

/// At this rate 3.6·10⁹ gaps lie before the window.
#[test]
fn a_late_window_is_reached_at_once() {
    let hour = 3_600_000_000;
    for arrival in [ArrivalSettings::Gamma { cv: 2.0 }, ArrivalSettings::Weibull { cv: 2.0 }] {
        let active = vec![ActiveWindow { start_us: hour, end_us: hour + 1000 }];
        let spike = ClientSettings { arrival, active, ..even(100, 10) };
        let hour = hour as i64;
        assert_eq!(arrivals(&mut mix(vec![spike], 1e9, 3, i64::MAX)), [hour, hour + 1, hour + 2]);
    }
}

#[test]
fn users_start_spread_over_their_think_time_and_come_back() {
    let closed_loop = Some(ClosedLoopSettings { concurrency: 3, think_time_us: 1000 });
    let settings = WorkloadSettings { closed_loop, ..WorkloadSettings::default() };
    let mut mix = Mix::new(&settings, 1.0, 5, 42, 0, SimTime::MAX);
    let first = [mix.next_request(), mix.next_request(), mix.next_request()].map(|r| r.expect("a user"));
    assert_eq!(first.map(|r| r.arrive.0), [0, 333, 666]);
    assert_eq!(mix.next_arrival(), None);
    finish(&mut mix, first[1].id, 5_000, 1);
    finish(&mut mix, first[0].id, 4_000, 1);
    mix.settled(&Outcome { id: first[2].id, end: SimTime(4_500), context_tokens: None });
    assert_eq!(arrivals(&mut mix), [5_000, 6_000]);
    finish(&mut mix, 3, 9_000, 1);
    // Five requests were asked for.
    assert_eq!(mix.next_arrival(), None);
    assert_eq!(mix.next_request(), None);
    assert_eq!(first[0].deadline.0, 300_000_000);
}

#[test]
fn what_one_client_does_changes_nothing_about_another() {
    let of = |clients: Vec<ClientSettings>| {
        let mut mix = mix(clients, 10.0, 2000, i64::MAX).with_details();
        let requests = drain(&mut mix);
        let own = requests.iter().zip(mix.details()).filter(|(_, detail)| detail.client == 0);
        own.map(|(r, _)| (r.input_tokens, r.output_tokens)).take(500).collect::<Vec<_>>()
    };
    let alone = of(vec![client(1.0)]);
    assert_eq!(alone, of(vec![client(1.0), client(2.0)]));
    let talks = ClientSettings { session: Some(session(3, false)), ..client(0.5) };
    assert_eq!(alone, of(vec![client(1.0), talks]));
}

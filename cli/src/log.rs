//! The event log of a run: one line per event on standard error.

use indicatif::ProgressBar;
use plimsoll_core::observation::{AdmissionDecision, Event, Observer, QueueSample, RequestRecord, RoutingDecision};
use plimsoll_core::report::Collector;
use plimsoll_core::time::SimTime;
use std::io::{self, BufWriter, Write};

/// Collects a run, counts it for the progress bar and keeps its events if they are wanted.
pub struct Watcher {
    pub collector: Collector,
    pub bar: ProgressBar,
    pub events: Option<EventLog>,
}

impl Observer for Watcher {
    fn settled(&mut self, record: &RequestRecord) {
        self.collector.settled(record);
        self.bar.inc(1);
    }

    fn enqueued(&mut self, sample: &QueueSample) {
        self.collector.enqueued(sample);
    }

    fn admission(&mut self, decision: &AdmissionDecision) {
        self.collector.admission(decision);
    }

    fn routing(&mut self, decision: &RoutingDecision) {
        self.collector.routing(decision);
    }

    fn event(&mut self, event: &Event) {
        if let Some(log) = &mut self.events {
            log.pending.push((time_of(event), *event));
        }
    }

    fn wants_events(&self) -> bool {
        self.events.is_some()
    }
}

/// Events in order of time: the engine tells some ahead, an arrival when it is known and a first token when its step
/// begins.
#[derive(Default)]
pub struct EventLog {
    pending: Vec<(SimTime, Event)>,
}

impl EventLog {
    /// Prints what is settled once the simulation has come to `clock`; equal times keep the order they were told in.
    pub fn print_until(&mut self, clock: SimTime) {
        self.pending.sort_by_key(|(time, _)| *time);
        let settled = self.pending.partition_point(|(time, _)| *time < clock);
        let mut out = BufWriter::new(io::stderr().lock());
        for (_, event) in self.pending.drain(..settled) {
            // A log that cannot be written must not end the run.
            let _ = writeln!(out, "{}", line(&event));
        }
    }
}

fn time_of(event: &Event) -> SimTime {
    match *event {
        Event::Reject { time, .. }
        | Event::Route { time, .. }
        | Event::Arrive { time, .. }
        | Event::Enqueue { time, .. }
        | Event::Drop { time, .. }
        | Event::Admit { time, .. }
        | Event::Preempt { time, .. }
        | Event::Step { time, .. }
        | Event::FirstToken { time, .. }
        | Event::Complete { time, .. }
        | Event::Timeout { time, .. } => time,
    }
}

/// One event as a line: time in microseconds, what, which.
fn line(event: &Event) -> String {
    match *event {
        Event::Reject { time, id } => format!("{:>12} reject       request_{id}", time.0),
        Event::Route { time, id, replica } => format!("{:>12} route        request_{id} replica={replica}", time.0),
        Event::Arrive { time, id } => format!("{:>12} arrive       request_{id}", time.0),
        Event::Enqueue { time, id } => format!("{:>12} enqueue      request_{id}", time.0),
        Event::Drop { time, id } => format!("{:>12} drop         request_{id}", time.0),
        Event::Admit { time, id, cached_tokens } => {
            format!("{:>12} admit        request_{id} cached_tokens={cached_tokens}", time.0)
        }
        Event::Preempt { time, id } => format!("{:>12} preempt      request_{id}", time.0),
        Event::Step { time, steps, duration, running, waiting, .. } => {
            format!(
                "{:>12} step         steps={steps} duration_us={} running={running} waiting={waiting}",
                time.0, duration.0
            )
        }
        Event::FirstToken { time, id } => format!("{:>12} first-token  request_{id}", time.0),
        Event::Complete { time, id } => format!("{:>12} complete     request_{id}", time.0),
        Event::Timeout { time, id } => format!("{:>12} timeout      request_{id}", time.0),
    }
}

//! What the replicas tell, on its way to the observer: whose it is, and what it means for the whole cluster.

use crate::numeric::sort_by_key;
use crate::observation::{Event, Fate, Observer, Plan, QueueSample, RequestRecord};
use alloc::vec::Vec;

/// Listens to one replica on behalf of the cluster's observer.
pub(super) struct Tap<'a, O> {
    pub(super) observer: &'a mut O,
    pub(super) replica: u32,
    /// Requests routed to the replica and not finished.
    pub(super) in_flight: &'a mut u32,
    /// None in a cluster of one, whose samples are those of its replica.
    pub(super) samples: Option<&'a mut SampleMerger>,
}

impl<O: Observer> Observer for Tap<'_, O> {
    #[inline]
    fn settled(&mut self, record: &RequestRecord) {
        if matches!(record.fate, Fate::Completed | Fate::LengthCapped | Fate::Dropped | Fate::TimedOut) {
            *self.in_flight -= 1;
        }
        if self.replica == 0 {
            self.observer.settled(record);
        } else {
            self.observer.settled(&RequestRecord { replica: self.replica, ..*record });
        }
    }

    #[inline]
    fn enqueued(&mut self, sample: &QueueSample) {
        match &mut self.samples {
            None => self.observer.enqueued(sample),
            Some(samples) => samples.pending.push((self.replica, *sample)),
        }
    }

    fn planned(&mut self, plan: &Plan) {
        self.observer.planned(plan);
    }

    #[inline]
    fn wants_plans(&self) -> bool {
        self.observer.wants_plans()
    }

    fn event(&mut self, event: &Event) {
        self.observer.event(event);
    }

    #[inline]
    fn wants_events(&self) -> bool {
        self.observer.wants_events()
    }
}

/// Puts the samples of several replicas in order of time and sums them up.
#[derive(Debug)]
pub(super) struct SampleMerger {
    pending: Vec<(u32, QueueSample)>,
    /// Each replica as its last sample left it.
    last: Vec<Counts>,
    sum: Counts,
}

/// Numbers of one replica, or of all.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    waiting: u64,
    running: u64,
    used_blocks: u64,
    output_tokens: u64,
}

impl Counts {
    /// After the step that follows the sample: whoever found no queue is in the batch.
    fn after(sample: &QueueSample) -> Self {
        let joins = u64::from(sample.waiting == 1);
        Self {
            waiting: u64::from(sample.waiting) - joins,
            running: u64::from(sample.running) + joins,
            used_blocks: u64::from(sample.used_blocks),
            output_tokens: sample.output_tokens,
        }
    }
}

impl SampleMerger {
    pub(super) fn new(num_replicas: usize) -> Self {
        Self { pending: Vec::new(), last: alloc::vec![Counts::default(); num_replicas], sum: Counts::default() }
    }

    /// Tells the pending samples; none that comes later is earlier than any of them.
    pub(super) fn flush<O: Observer>(&mut self, observer: &mut O) {
        sort_by_key(&mut self.pending, |(replica, sample)| [sample.time.0, (*replica).into()]);
        for (replica, sample) in self.pending.drain(..) {
            let last = &mut self.last[replica as usize];
            let sum = &mut self.sum;
            let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            observer.enqueued_at(replica, &sample);
            observer.enqueued(&QueueSample {
                time: sample.time,
                waiting: narrow(sum.waiting - last.waiting + u64::from(sample.waiting)),
                running: narrow(sum.running - last.running + u64::from(sample.running)),
                used_blocks: narrow(sum.used_blocks - last.used_blocks + u64::from(sample.used_blocks)),
                output_tokens: sum.output_tokens - last.output_tokens + sample.output_tokens,
            });
            let now = Counts::after(&sample);
            sum.waiting = sum.waiting - last.waiting + now.waiting;
            sum.running = sum.running - last.running + now.running;
            sum.used_blocks = sum.used_blocks - last.used_blocks + now.used_blocks;
            sum.output_tokens = sum.output_tokens - last.output_tokens + now.output_tokens;
            *last = now;
        }
    }
}

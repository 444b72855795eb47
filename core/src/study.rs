//! Ask-and-tell: an evaluation loop that the host can run anywhere.
//!
//! A study hands out trials and takes back outcomes. It never runs anything itself, so trials can be spread over
//! workers, cancelled, saved and resumed. What a study asks next depends on *which* outcomes it has been told,
//! never on the order in which they were told, so one worker and eight give the same result.

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask<T> {
    /// Evaluate this.
    Trial(T),
    /// Nothing to hand out until an outstanding trial is told.
    Wait,
    /// The study is complete.
    Done,
}

/// A study: curve, calibration or tuning.
pub trait Study {
    /// One evaluation to be made.
    type Trial;
    /// What an evaluation gives.
    type Outcome;
    /// A displayable, valid, possibly partial result.
    type Snapshot;

    /// The next trial, if one can be handed out now.
    fn ask(&mut self) -> Ask<Self::Trial>;
    /// The outcome of a trial handed out earlier; unknown and repeated ones are ignored.
    fn tell(&mut self, trial: &Self::Trial, outcome: Self::Outcome);
    /// Trials told and trials expected in all (an estimate until the study is complete).
    fn progress(&self) -> (u64, u64);
    /// The result so far.
    fn snapshot(&self) -> Self::Snapshot;
}

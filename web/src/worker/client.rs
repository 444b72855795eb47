//! One worker as the page sees it: handshake, jobs outstanding, poisoned or not.

use super::wire;
use plimsoll_protocol::{JobId, PROTOCOL_VERSION, Request, Response, Spec};

/// The way to a worker.
///
/// `A` is what can travel beside the text: a `Blob` in the browser.
pub trait Port<A> {
    /// Hands a message over; the worker keeps messages that come before it has loaded.
    fn send(&self, text: &str, attachment: Option<&A>);
    /// Ends the worker at once; nothing comes from it afterwards.
    fn terminate(&self);
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The handshake has been sent and not been answered.
    Greeting,
    /// It takes jobs.
    Ready,
    /// It must not be used again.
    Poisoned,
}

/// What a message from the worker means to the page.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Nothing to act on; the flag says whether it was a late message of an unknown job.
    Nothing {
        /// A message of a job that is over or never was.
        is_late: bool,
    },
    /// The worker became ready.
    Ready,
    /// A message of an outstanding job.
    Job(Response),
    /// The worker cannot be used any more, and why.
    Lost(String),
}

/// One worker.
#[derive(Debug)]
pub struct Client<P> {
    port: P,
    health: Health,
    outstanding: Vec<JobId>,
}

impl<P> Client<P> {
    /// Greets a worker that was just created.
    pub fn greet<A>(port: P, build: &str) -> Self
    where
        P: Port<A>,
    {
        let hello = Request::Hello { protocol: PROTOCOL_VERSION, build: build.to_owned() };
        port.send(&wire::write(&hello), None);
        Self { port, health: Health::Greeting, outstanding: Vec::new() }
    }

    /// Starts a job. Allowed before the worker is ready: messages keep their order.
    pub fn start<A>(&mut self, job: JobId, spec: Spec, attachment: Option<&A>)
    where
        P: Port<A>,
    {
        self.port.send(&wire::write(&Request::Start { job, spec }), attachment);
        self.outstanding.push(job);
    }

    /// Asks for the end of a job; its final message still comes.
    pub fn cancel<A>(&self, job: JobId)
    where
        P: Port<A>,
    {
        if self.outstanding.contains(&job) {
            self.port.send(&wire::write(&Request::Cancel { job }), None);
        }
    }

    /// Takes a message in.
    pub fn hear(&mut self, text: &str, build: &str) -> Heard {
        if self.health == Health::Poisoned {
            return Heard::Nothing { is_late: true };
        }
        match wire::read(text) {
            Ok(Response::Ready { protocol, build: theirs }) => {
                if protocol != PROTOCOL_VERSION || theirs != build {
                    self.health = Health::Poisoned;
                    return Heard::Lost("the page and its simulator are of different versions; reload the page".into());
                }
                self.health = Health::Ready;
                Heard::Ready
            }
            Ok(Response::Refused { reason }) => {
                self.health = Health::Poisoned;
                Heard::Lost(reason)
            }
            Ok(response) => {
                let Some(job) = response.job() else { return Heard::Nothing { is_late: false } };
                if !self.outstanding.contains(&job) {
                    return Heard::Nothing { is_late: true };
                }
                if response.is_final() {
                    self.outstanding.retain(|other| *other != job);
                }
                Heard::Job(response)
            }
            Err(failure) => {
                self.health = Health::Poisoned;
                Heard::Lost(format!("a message of the simulator could not be read: {}", failure.message))
            }
        }
    }

    /// Marks the worker as lost, ends it, and gives the jobs that die with it.
    pub fn poison<A>(&mut self) -> Vec<JobId>
    where
        P: Port<A>,
    {
        self.health = Health::Poisoned;
        self.port.terminate();
        core::mem::take(&mut self.outstanding)
    }

    /// Where it stands.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// Jobs without a final message.
    #[must_use]
    pub fn outstanding(&self) -> &[JobId] {
        &self.outstanding
    }
}

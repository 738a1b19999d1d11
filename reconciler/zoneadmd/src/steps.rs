//! What is told of a request while it is carried out: each sub-step that is done. Steps that follow each other at once are told
//! together, when there is time: whoever is woken by each of them is in the way of the next one, on the same processor.

use reeve_kernel::channel::Channel;
use reeve_kernel::error::{Error, Result};
use reeve_kernel::wire::{Reply, StepName};
use rustix::event::{PollFd, Timespec};
use rustix::io::Errno;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a step that is done is kept back at most, while something is waited for.
const KEPT_FOR: Duration = Duration::from_millis(5);

/// No time at all, for poll(2).
pub const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The microseconds since then, as steps have them.
pub fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// Tells the asker, of steps after a while.
#[derive(Debug)]
pub struct Teller {
    asker: Rc<Channel>,
    kept: RefCell<Kept>,
}

#[derive(Debug)]
struct Kept {
    steps: Vec<(StepName, u32)>,
    since: Instant,
}

impl Teller {
    fn new(asker: &Rc<Channel>) -> Self {
        Self { asker: Rc::clone(asker), kept: RefCell::new(Kept { steps: Vec::new(), since: Instant::now() }) }
    }

    fn keep(&self, step: StepName, micros: u32) {
        let mut kept = self.kept.borrow_mut();
        if kept.steps.is_empty() {
            kept.since = Instant::now();
        }
        kept.steps.push((step, micros));
    }

    /// What was kept back, for who tells it together with something else.
    pub fn take(&self) -> Vec<(StepName, u32)> {
        std::mem::take(&mut self.kept.borrow_mut().steps)
    }

    /// Tells what was kept back.
    pub fn tell(&self) {
        for (step, micros) in self.take() {
            self.send(&Reply::Step(step, micros));
        }
    }

    fn send(&self, reply: &Reply) {
        // An asker that went away does not stop the zone half-way.
        let _ = self.asker.send(&reply.to_bytes(), &[]);
    }

    /// When it has to be told; none where there is nothing.
    fn due(&self) -> Option<Instant> {
        let kept = self.kept.borrow();
        (!kept.steps.is_empty()).then_some(kept.since + KEPT_FOR)
    }
}

/// poll(2) until `deadline`, in the course of which is told what is due. The number of descriptors that are ready.
///
/// # Errors
/// The errno of poll(2), but EINTR.
pub fn poll(
    teller: Option<&Teller>,
    polled: &mut [PollFd<'_>],
    deadline: Instant,
) -> std::result::Result<usize, Errno> {
    loop {
        let due = teller.and_then(Teller::due);
        let until = due.map_or(deadline, |due| due.min(deadline));
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        match rustix::event::poll(polled, left.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(0) if until < deadline => {
                if let Some(teller) = teller {
                    teller.tell();
                }
            }
            polled => return polled,
        }
    }
}

/// The sub-steps of one request.
pub struct Steps {
    teller: Rc<Teller>,
    /// The one under way.
    pub current: StepName,
    /// The first step that failed while others were gone on with.
    failed: Option<(StepName, Error)>,
}

impl Steps {
    /// Those of a request of `asker`.
    pub fn of(asker: &Rc<Channel>) -> Self {
        Self { teller: Rc::new(Teller::new(asker)), current: StepName::Zoneadmd, failed: None }
    }

    /// Who tells of them.
    pub fn teller(&self) -> Rc<Teller> {
        Rc::clone(&self.teller)
    }

    /// Does one sub-step.
    pub fn run<T>(&mut self, step: StepName, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.current = step.clone();
        let started = Instant::now();
        let value = body()?;
        self.done(step, micros(started));
        Ok(value)
    }

    /// That a sub-step is done, which took so many microseconds.
    pub fn done(&self, step: StepName, micros: u32) {
        self.teller.keep(step, micros);
    }

    /// Does one sub-step; where it fails, others may follow that are safe without it. False when it failed.
    pub fn attempt(&mut self, step: StepName, body: impl FnOnce() -> Result<()>) -> bool {
        match self.run(step.clone(), body) {
            Ok(()) => true,
            Err(error) => {
                self.failed.get_or_insert((step, error));
                false
            }
        }
    }

    /// Ends here if a step failed so far: the first one is the one that is told.
    pub fn check(&mut self) -> Result<()> {
        let Some((step, error)) = self.failed.take() else { return Ok(()) };
        self.current = step;
        Err(error)
    }

    /// Tells the asker of mounts that were detached by force.
    pub fn detached(&self, mounts: Vec<String>) {
        if !mounts.is_empty() {
            // At once: what is written down of it is all that there will be.
            self.teller.tell();
            self.teller.send(&Reply::Detached(mounts));
        }
    }
}

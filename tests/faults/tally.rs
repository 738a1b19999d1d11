//! What was run, and what went wrong: the numbers of the last line, and each problem with the command that replays it.

use crate::scene::{Kind, Problem};
use serde_json::{Value, json};
use std::sync::Mutex;

/// The counts, shared by the threads.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    errnos: u64,
    sequences: u64,
    sequences_kernel: u64,
    missed: u64,
    lost: u64,
    doubled: u64,
    left_over: u64,
    wrong: u64,
    caught: Option<u64>,
}

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// A process was killed.
    Kill,
    /// A call answered with an errno.
    Errno,
    /// The call that was to have the fault was not made this time; it counts for nothing.
    Missed,
    /// A sequence of transitions in memory.
    InMemory,
    /// A sequence of transitions on the kernel.
    OnKernel,
}

impl Tally {
    fn with<T>(&self, body: impl FnOnce(&mut Counts) -> T) -> T {
        body(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Counts `count` runs.
    pub fn ran(&self, run: Run, count: u64) {
        self.with(|counts| match run {
            Run::Kill => counts.kills += count,
            Run::Errno => counts.errnos += count,
            Run::Missed => counts.missed += count,
            Run::InMemory => counts.sequences += count,
            Run::OnKernel => {
                counts.sequences += count;
                counts.sequences_kernel += count;
            }
        });
    }

    /// Counts problems, and says each with the arguments of `tests/faults/run` by which it is seen again.
    pub fn problems(&self, again: &str, problems: &[Problem]) {
        for problem in problems {
            self.with(|counts| match problem.kind {
                Kind::Lost => counts.lost += 1,
                Kind::Doubled => counts.doubled += 1,
                Kind::LeftOver => counts.left_over += 1,
                Kind::Wrong => counts.wrong += 1,
            });
            eprintln!("{:?}: {}\n    again: tests/faults/run {again}", problem.kind, problem.text);
        }
    }

    /// How many of the planted faults were noticed.
    pub fn caught(&self, caught: u64) {
        self.with(|counts| counts.caught = Some(caught));
    }

    /// How many runs of this kind there were.
    pub fn count(&self, run: Run) -> u64 {
        self.with(|counts| match run {
            Run::Kill => counts.kills,
            Run::Errno => counts.errnos,
            Run::Missed => counts.missed,
            Run::InMemory => counts.sequences - counts.sequences_kernel,
            Run::OnKernel => counts.sequences_kernel,
        })
    }

    /// The number of problems so far.
    pub fn bad(&self) -> u64 {
        self.with(|counts| counts.lost + counts.doubled + counts.left_over + counts.wrong)
    }

    /// Whether nothing went wrong, and each planted fault was noticed if they were tried.
    pub fn clean(&self) -> bool {
        self.bad() == 0 && self.with(|counts| counts.caught.is_none_or(|caught| caught == 3))
    }

    /// The last line.
    pub fn json(&self) -> Value {
        self.with(|counts| {
            json!({
                "kills": counts.kills, "errnos": counts.errnos,
                "sequences": counts.sequences, "sequences_kernel": counts.sequences_kernel,
                "lost": counts.lost, "doubled": counts.doubled, "left_over": counts.left_over, "wrong": counts.wrong,
                "caught": counts.caught.unwrap_or(0),
            })
        })
    }
}

//! What a halt takes with it and what is told of one that cannot finish: the traces by which the zone is proved gone, and
//! who holds it.

use reeve_kernel::observe::traces;
use reeve_kernel::wire::{HaltOrder, Traces};
use reeve_state::ZoneFacts;
use reeve_state::halt::{FailedStep, Findings, HaltStatus};
use reeve_state::journal;

use super::up::Steps;
use super::{Walk, plan_name};
use crate::error::Error;
use crate::holders;
use crate::observe::traces_of;

/// What a walk knows of the halt that it is about.
#[derive(Debug)]
pub(super) struct Halting {
    /// Mounts that are busy are detached: somebody said so.
    force_detach: bool,
    /// What a platform that was just made can be recognised by when it should be gone.
    traces: Option<Traces>,
    /// Steps that were done, and mounts that were detached.
    completed: Vec<String>,
    detached: Vec<String>,
}

impl Halting {
    pub fn new(force_detach: bool) -> Self {
        Self { force_detach, traces: None, completed: Vec::new(), detached: Vec::new() }
    }

    /// File systems, namespaces and the proof that they are gone, as the journal has them after what was seen: those of
    /// before, those that were just made, or none where the zone is gone.
    pub fn traces_after(&self, facts: &ZoneFacts, before: journal::Evidence) -> (Vec<u64>, Vec<String>, Vec<String>) {
        if facts.zsched.is_absent() {
            return (Vec::new(), Vec::new(), proof(&before));
        }
        match &self.traces {
            Some(traces) => (traces.superblocks.clone(), traces.namespaces.clone(), Vec::new()),
            None => (before.superblocks, before.namespace_handles, Vec::new()),
        }
    }
}

/// What was there and was seen to be gone.
fn proof(before: &journal::Evidence) -> Vec<String> {
    let cgroup = before.cgroup.iter().map(|path| format!("cgroup {path}"));
    let superblock = |device: &u64| format!("file system {}", traces::Left::Superblock(*device).object());
    let superblocks = before.superblocks.iter().map(superblock);
    let namespaces = before.namespaces.iter().map(|(name, inode)| format!("{name}:[{inode}]"));
    let links = before.links.iter().map(|name| format!("link {name}"));
    cgroup.chain(superblocks).chain(namespaces).chain(links).collect()
}

impl Walk<'_> {
    /// Takes down by what the platform that stands now will be recognised. Without (it cannot be read), a halt is proved
    /// by cgroup and links alone.
    pub(super) fn note_traces(&mut self) {
        let Some(zsched) = self.facts.zsched.known() else { return };
        let mark = traces_of(self.host.places(), &self.facts).mark;
        match traces::of(zsched.pid, &mark) {
            Ok(found) => self.halting.traces = Some(found),
            Err(error) => tracing::warn!("zone {}: {error}", self.plan.name),
        }
    }

    /// How zoneadmd is to halt the zone.
    pub(super) fn halt_order(&self, signal: i32, timeout: u32) -> HaltOrder {
        let traces = traces_of(self.host.places(), &self.facts);
        HaltOrder { signal, timeout, detach: self.halting.force_detach, traces }
    }

    /// Notes how far zoneadmd came.
    pub(super) fn note_halt(&mut self, steps: Steps) {
        self.halting.completed = steps.completed;
        if let Some(zoneadmd) = self.zoneadmd.as_mut() {
            self.halting.detached = zoneadmd.take_detached();
        }
    }

    /// Finds out what holds a halt that failed, and keeps it for the status. That zoneadmd went away is no such failure:
    /// the next one goes on at once.
    pub(super) fn explain_halt(&mut self, error: &Error) {
        let Some(failed) = failed_step(error) else { return };
        let (evidence, unread) = holders::of(self.host, &self.facts);
        let found = Findings {
            zone: self.plan.name.clone(),
            failed,
            completed: std::mem::take(&mut self.halting.completed),
            evidence,
            unread,
            detached: std::mem::take(&mut self.halting.detached),
        };
        let halt = HaltStatus::new(found, self.memory.halt.as_ref(), crate::store::now());
        self.outcome.halt_blocked = Some((halt.reason, halt.message()));
        self.memory.halt = Some(halt);
        if let Err(error) = self.files.remember_locked(&self.memory) {
            tracing::warn!("zone {}: {error}", self.plan.name);
        }
    }
}

fn failed_step(error: &Error) -> Option<FailedStep> {
    match error {
        Error::Step { step, call, args, errno, reason } => Some(FailedStep {
            step: plan_name(step).to_owned(),
            call: call.clone(),
            args: args.clone(),
            errno: *errno,
            reason: reason.clone(),
        }),
        // A zsched that does not answer and does not end either.
        Error::Kernel(error) => Some(FailedStep {
            step: "killProcesses".into(),
            call: error.call().to_owned(),
            args: error.args().to_owned(),
            errno: error.errno().map_or(0, |errno| errno.raw_os_error()),
            reason: error.reason(),
        }),
        Error::Refused(reason) => Some(FailedStep {
            step: "destroy".into(),
            call: "look".into(),
            reason: reason.clone(),
            ..FailedStep::default()
        }),
        _ => None,
    }
}

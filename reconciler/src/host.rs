//! One host: what commands and the controller look at and change, with blocking calls.

use std::path::Path;
use std::time::Duration;

use reeve_kernel::channel::Channel;
use reeve_schema::{ManifestSet, Zone};
use reeve_state::audit::Finding;
use reeve_state::plan::Plan;
use reeve_state::status::HostStatus;
use reeve_state::{HostFacts, Timestamp, ZoneState};

use crate::error::Result;
use crate::places::Places;
use crate::progress::Observer;
use crate::store::Lock;

/// A transition that somebody asks for by name, whatever the manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// installed to ready.
    Ready,
    /// ready to running; from installed through ready.
    Boot,
    /// running to ready.
    Stop,
    /// Whatever is up to installed.
    Halt,
    /// running to running with a new ID.
    Reboot,
    /// configured to installed.
    Install,
    /// installed to configured: the files are gone.
    Uninstall,
    /// configured to none.
    Unconfigure,
}

/// A plan with all that it was made from.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What was seen.
    pub facts: HostFacts,
    /// What is to be done.
    pub plan: Plan,
    /// What the audit says about it; a zone with a fatal finding is not walked.
    pub findings: Vec<Finding>,
}

/// What became of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneResult {
    /// It is where it should be.
    Converged,
    /// It waits: backoff, confirmation, dependency, time.
    Waiting(String),
    /// It cannot go on by itself: a halt is blocked, or the restart policy gave up.
    Blocked(String),
    /// A step failed.
    Failed(String),
}

/// One zone at the end of an `apply`, `down` or imperative command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOutcome {
    /// The zone.
    pub zone: String,
    /// Its state, as seen at the end; none when it is gone or not known.
    pub state: Option<ZoneState>,
    /// What became of it.
    pub result: ZoneResult,
}

/// How a piece of work ended. It never fails as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Each zone that was wanted or touched, by name.
    pub zones: Vec<ZoneOutcome>,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    places: Places,
}

/// A failed check of [`Host::verify`], or of a zone before it is installed or brought up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub todo: String,
}

impl Host {
    /// Opens the host: checks what is needed of it and makes Reeve's own folders, 0700.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] naming what is missing and what to do, or the file that could not be made.
    pub fn open(places: Places) -> Result<Self> {
        Ok(Self { places })
    }

    /// Where its files are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Everything that is there, in one look at the kernel and the state folder. Takes no lock.
    pub fn observe(&self) -> HostFacts {
        unimplemented!()
    }

    /// What would be done for this set, and why. Takes no lock, touches nothing.
    pub fn plan(&self, _set: &ManifestSet) -> Planned {
        unimplemented!()
    }

    /// The status of every zone, from the kernel and from what the last walks left. Takes no lock.
    pub fn status(&self) -> HostStatus {
        unimplemented!()
    }

    /// The recorded configuration of a zone (`zone.json`) as a manifest; none when it is not configured.
    ///
    /// # Errors
    /// When the file cannot be read or is not one of this version.
    pub fn configuration(&self, _zone: &str) -> Result<Option<Zone>> {
        unimplemented!()
    }

    /// Takes the state lock for `command`, which works on `source`.
    ///
    /// # Errors
    /// [`crate::Error::Held`] with who has it.
    pub fn lock(&self, _command: &str, _source: Option<&str>) -> Result<Lock> {
        unimplemented!()
    }

    /// Walks every zone of the set to where it should be, several at once, until each is there, waits for longer than
    /// `patience`, or cannot go on.
    pub fn apply(&self, _lock: &Lock, _set: &ManifestSet, _patience: Duration, _observer: &Observer) -> Outcome {
        unimplemented!()
    }

    /// Walks a plan that was made earlier.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] when the host or the manifests are no longer as the plan saw them.
    pub fn apply_plan(&self, _lock: &Lock, _planned: &Planned, _observer: &Observer) -> Result<Outcome> {
        unimplemented!()
    }

    /// Halts these zones, all at once. With `purge` uninstalls and unconfigures them, and when no zone is left removes the
    /// bridges, cgroups and files that Reeve made.
    pub fn down(&self, _lock: &Lock, _zones: &[String], _purge: bool, _observer: &Observer) -> Outcome {
        unimplemented!()
    }

    /// Carries out what somebody asks of one zone. Beside a controller this is allowed: it is recorded as an event, and
    /// the outcome's message says what the controller will do next.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] for no such zone or a transition that is not legal from its state.
    pub fn imperative(&self, _zone: &str, _goal: Goal, _observer: &Observer) -> Result<ZoneOutcome> {
        unimplemented!()
    }

    /// Makes a zone that was given up (or waits) be tried again at once.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] for no such zone.
    pub fn retry(&self, _zone: &str) -> Result<()> {
        unimplemented!()
    }

    /// A connection to the zone's zoneadmd; a missing one is started and takes the zone over.
    ///
    /// # Errors
    /// [`crate::Error::Refused`] when the zone is not active.
    pub fn zoneadmd(&self, _zone: &str) -> Result<Channel> {
        unimplemented!()
    }

    /// The newest bytes of what the zone's console said, oldest first, at most `max` of them.
    ///
    /// # Errors
    /// When the zone has no log, or it cannot be read.
    pub fn console_log(&self, _zone: &str, _max: usize) -> Result<Vec<u8>> {
        unimplemented!()
    }

    /// Gives what the console says from now on (after its newest `max` bytes) to `sink`, until `sink` returns false.
    ///
    /// # Errors
    /// As [`Host::console_log`].
    pub fn follow_console(&self, _zone: &str, _max: usize, _sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        unimplemented!()
    }

    /// Checks whether a zone can be installed and brought up safely (seed [0077]): zonepath, root, file systems, limits.
    /// Empty: it can.
    pub fn verify(&self, _zone: &Zone) -> Vec<Refusal> {
        unimplemented!()
    }

    /// The newest events, oldest first: what was done and by whom.
    pub fn events(&self, _max: usize) -> Vec<crate::store::HostEvent> {
        unimplemented!()
    }

    /// The clock that all timestamps come from.
    pub fn now(&self) -> Timestamp {
        crate::store::now()
    }

    /// A folder for tests and tools that want to see where a zone's run files are.
    pub fn run_folder(&self, zone: &str) -> std::path::PathBuf {
        self.places.zone_run(zone)
    }

    /// See [`Places::state`].
    pub fn state_folder(&self) -> &Path {
        self.places.state()
    }
}

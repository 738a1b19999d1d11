//! What comes in while the engine waits: ends of walks, what zoneadmds tell, links that changed.

use std::time::{Duration, Instant};

use reeve_kernel::wire::Event;
use reeve_state::health::HealthState;
use reeve_state::observed::ProcessId;

use super::engine::Engine;
use super::links::Changed;
use super::stir;
use crate::pass::Scope;
use crate::store::events::{self, HostEvent};
use crate::store::zone::ZoneFiles;
use crate::walk::{self, Walked};

/// How long a zone is left alone after its first failed walk; then twice as long each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest that a zone is left alone.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A number that differs from zone to zone and from time to time.
fn spread(zone: &str) -> u64 {
    zone.bytes().fold(crate::store::now().0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

/// What workers tell.
#[derive(Debug)]
pub enum Happening {
    /// A walk is over.
    Walked {
        /// The zone.
        zone: String,
        /// What it came to.
        walked: Box<Walked>,
        /// Whether there is a connection to its zoneadmd now.
        connected: bool,
    },
    /// A connection to a zoneadmd was made, or could not be.
    Connected {
        /// The zone.
        zone: String,
        /// How long to wait before it is tried again.
        wait: Duration,
        /// Why there is none.
        error: Option<String>,
    },
    /// zoneadmd told something, or went away.
    Heard {
        /// The zone.
        zone: String,
        /// What it told.
        events: Vec<Event>,
        /// It went away.
        gone: bool,
    },
    /// What holds the zone's halt may have let go.
    Stirred {
        /// The zone.
        zone: String,
    },
    /// What a zone's health checks come to changed.
    Checked {
        /// The zone.
        zone: String,
        /// The init of the environment that was checked.
        init: ProcessId,
        /// What they come to.
        state: HealthState,
        /// Why, where it is not healthy.
        message: Option<String>,
    },
    /// Something of a zone's platform may have changed.
    Changed {
        /// The zone.
        zone: String,
    },
    /// A retry was asked for while somebody else walked the zone, who has come to an end.
    Retry {
        /// The zone.
        zone: String,
    },
    /// What is known of a zone's mounts may not be so any more.
    Stale {
        /// The zone.
        zone: String,
    },
    /// A worker's thread ended in the middle of its work.
    Lost {
        /// The zone.
        zone: String,
        /// How.
        error: String,
    },
}

impl Engine {
    pub(super) fn happened_all(&mut self, first: Option<Happening>) {
        if let Some(first) = first {
            self.happened(first);
        }
        while let Ok(next) = self.heard.try_recv() {
            self.happened(next);
        }
    }

    pub(super) fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Walked { zone, walked, connected } => {
                self.walked(&zone, *walked, connected);
                self.retry_put_off(&zone);
            }
            Happening::Connected { zone, wait, error } => {
                self.world.busy.remove(&zone);
                if let Some(entry) = self.zones.get_mut(&zone) {
                    (entry.busy, entry.connected) = (false, error.is_none());
                    entry.until = error.is_some().then(|| Instant::now() + wait);
                }
                if let Some(error) = error {
                    self.say(Some(&zone), error);
                }
                self.scope.look(&zone);
                self.retry_put_off(&zone);
            }
            Happening::Heard { zone, events, gone } => self.heard_of(&zone, &events, gone),
            Happening::Stirred { zone } => self.try_again(&zone),
            Happening::Changed { zone } => self.scope.look(&zone),
            Happening::Retry { zone } => self.retry_put_off(&zone),
            Happening::Stale { zone } => {
                self.withdraw(&zone);
                self.scope.look(&zone);
            }
            Happening::Checked { zone, init, state, message } => self.checked(&zone, init, state, message),
            Happening::Lost { zone, error } => {
                tracing::error!("zone {zone}: the walk ended in the middle: {error}");
                self.walk_ended(&zone, Some(&error));
                self.failed(&zone);
                self.scope.look(&zone);
                self.retry_put_off(&zone);
            }
        }
    }

    fn walked(&mut self, zone: &str, mut walked: Walked, connected: bool) {
        self.world.busy.remove(zone);
        self.walk_ended(zone, walked.outcome.failed.as_deref());
        let failed = walked.outcome.failed.is_some();
        if let Some(entry) = self.zones.get_mut(zone) {
            (entry.busy, entry.connected) = (false, connected);
        }
        let because = self.zones.get_mut(zone).map(|entry| std::mem::take(&mut entry.because)).unwrap_or_default();
        if let (true, false, [_, ..]) = (walked.outcome.walked.is_empty(), failed, because.fields.as_slice()) {
            self.event(Some(zone), "Changed", because.fields.join(", "), because.commit.clone());
        }
        for entry in &walked.outcome.walked {
            let to = reeve_state::lifecycle::state_name(entry.to);
            let from = reeve_state::lifecycle::state_name(entry.from);
            let reason = if entry.failed() { "WalkFailed" } else { "Walked" };
            let message = format!("{}: {from} > {to} in {} ms: {}", entry.transition, entry.took_ms, entry.outcome);
            let event = HostEvent::new(entry.at, Some(zone), reason, message).by(because.commit.clone());
            if entry.failed() {
                let what = format!("{} {from} {to} {}", entry.transition, entry.outcome);
                self.tally.note_as(event, &what);
            } else {
                // The next failure is a new one.
                self.tally.end(zone, "WalkFailed");
                events::add(self.host.places().state(), &event);
            }
        }
        if walked.outcome.halt_blocked.is_some() {
            self.halt_blocked(zone, &mut walked);
        } else if failed {
            self.failed(zone);
        } else if let Some(entry) = self.zones.get_mut(zone) {
            (entry.failures, entry.until) = (0, None);
        }
        let again = self.zones.get_mut(zone).is_some_and(|entry| std::mem::take(&mut entry.again));
        if walked.stale || again {
            self.scope.look(zone);
        }
        // Somebody may have said so during the walk.
        walked.seen.memory.policy.suspended = ZoneFiles::new(self.host.places(), zone).suspension();
        self.world.outcomes.insert(zone.to_owned(), walked.outcome);
        self.world.absorb(zone, walked.seen);
        self.scope.think(zone);
        if self.world.state(zone).is_none() && !self.world.wanted.contains_key(zone) {
            self.zones.remove(zone);
            self.tally.forget(zone);
            self.board.change(|told| told.counters.forget(zone));
        }
    }

    fn walk_ended(&self, zone: &str, error: Option<&str>) {
        if let Some(walk) = self.board.end(zone) {
            self.traces.walk(zone, &walk, error);
        }
    }

    /// Notes something that happened just now.
    pub(super) fn event(&mut self, zone: Option<&str>, reason: &str, message: String, commit: Option<String>) {
        self.tally.note(HostEvent::new(crate::store::now(), zone, reason, message).by(commit));
    }

    /// A halt could not finish: it is tried again when its time comes, or when what holds it may have let go.
    fn halt_blocked(&mut self, zone: &str, walked: &mut Walked) {
        let Some(halt) = &mut walked.seen.memory.halt else { return };
        let Some(entry) = self.zones.get_mut(zone) else { return };
        let after = halt.retry_after_ms(spread(zone));
        halt.next_retry = Some(crate::store::now().plus(after));
        entry.failures = entry.failures.saturating_add(1);
        entry.until = Some(Instant::now() + Duration::from_millis(after));
        let cgroup = self.host.places().zone_cgroup(zone);
        entry.stir = cgroup.ok().map(|cgroup| stir::watch(zone, halt, cgroup, self.around.tell.clone()));
    }

    /// Has a zone that is left alone tried at once.
    pub(super) fn try_again(&mut self, zone: &str) {
        if let Some(entry) = self.zones.get_mut(zone) {
            entry.until = None;
        }
        self.why = "event";
        self.scope.look(zone);
    }

    fn failed(&mut self, zone: &str) {
        self.world.busy.remove(zone);
        let Some(entry) = self.zones.get_mut(zone) else { return };
        entry.busy = false;
        let doubled = BACKOFF_FIRST.saturating_mul(1 << entry.failures.min(16));
        entry.failures = entry.failures.saturating_add(1);
        entry.until = Some(Instant::now() + doubled.min(BACKOFF_MAX));
    }

    fn heard_of(&mut self, zone: &str, events: &[Event], gone: bool) {
        if gone && let Some(entry) = self.zones.get_mut(zone) {
            entry.connected = false;
        }
        let files = ZoneFiles::new(self.host.places(), zone);
        // Of a zone that has gone with its folder, nothing is to be remembered.
        if files.run().is_dir() && walk::note_events(&mut self.world.seen(zone).memory, events) {
            // Written before it is answered: a controller that is killed now must not start init without counting.
            match files.amend(self.host.boot_id(), |memory| walk::note_events(memory, events)) {
                Ok(Some(memory)) => drop(self.world.memories.insert(zone.to_owned(), memory)),
                // Somebody walks the zone by hand.
                Ok(None) => {
                    let again = Happening::Heard { zone: zone.to_owned(), events: events.to_vec(), gone: false };
                    return self.when_free(zone, again);
                }
                Err(error) => {
                    tracing::warn!("zone {zone}: {error}");
                    let mut memory = self.world.seen(zone).memory;
                    walk::note_events(&mut memory, events);
                    self.world.memories.insert(zone.to_owned(), memory);
                }
            }
        }
        self.scope.look(zone);
    }

    /// Tells of it when nobody has the zone's lock any more.
    pub(super) fn when_free(&self, zone: &str, happening: Happening) {
        let (files, tell) = (ZoneFiles::new(self.host.places(), zone), self.around.tell.clone());
        tokio::task::spawn_blocking(move || {
            files.wait_free();
            let _ = tell.send(happening);
        });
    }

    pub(super) fn links_changed(&mut self, changed: Changed) {
        match changed {
            Changed::All => {
                self.board.change(|told| told.counters.overflowed("links"));
                self.scope = Scope::All;
            }
            Changed::Links(names) => {
                let ours = |name: &String, facts: &reeve_state::ZoneFacts| {
                    let known = facts.links.known().is_some_and(|links| {
                        links.iter().any(|l| {
                            names.contains(&l.host_name)
                                || l.master.as_ref().is_some_and(|bridge| names.contains(bridge))
                        })
                    });
                    known && !self.zones.get(name).is_some_and(|entry| entry.busy)
                };
                let zones: Vec<String> = self
                    .world
                    .facts
                    .zones
                    .iter()
                    .filter(|(name, facts)| ours(name, facts))
                    .map(|(n, _)| n.clone())
                    .collect();
                for zone in zones {
                    self.scope.look(&zone);
                }
            }
        }
    }
}

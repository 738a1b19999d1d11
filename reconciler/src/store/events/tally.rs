//! How often events came: which of them are worth a line. What happens again and again would push everything else out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reeve_state::Timestamp;

use super::HostEvent;

/// What came again within this time, in milliseconds, is the same event.
const SAME_MS: u64 = 60 * 60 * 1000;
/// So many different events of one zone are remembered.
const REMEMBERED: usize = 16;
/// A count that grew is written after this time at the latest, in milliseconds, when the event comes again.
const TOLD_MS: u64 = 60 * 1000;

/// Writes events, and counts those that come again: written are the first and then each time that twice as many came, so
/// that a thousand take eleven lines. What was counted and not written is written at the end.
#[derive(Debug)]
pub struct Tally {
    state: PathBuf,
    zones: BTreeMap<Option<String>, Vec<Counted>>,
}

#[derive(Debug)]
struct Counted {
    event: HostEvent,
    /// What makes it the same: for a failure what failed, without how long that took.
    what: String,
    written: u64,
    written_at: Timestamp,
}

impl Tally {
    /// One that writes to this state folder.
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), zones: BTreeMap::new() }
    }

    /// Notes an event that came now.
    pub fn note(&mut self, event: HostEvent) {
        let what = event.message.clone();
        self.note_as(event, &what);
    }

    /// The same where the message differs from time to time: `what` says whether it is the same event.
    pub fn note_as(&mut self, event: HostEvent, what: &str) {
        let now = event.at;
        let known = self.zones.entry(event.zone.clone()).or_default();
        let same = |counted: &Counted| {
            counted.event.reason == event.reason && counted.what == what && counted.event.commit == event.commit
        };
        if let Some(index) = known.iter().position(same) {
            let mut counted = known.remove(index);
            if now.since(counted.event.newest()) < SAME_MS {
                counted.event.count += 1;
                counted.event.last_at = Some(now);
                if counted.event.count >= counted.written * 2 || now.since(counted.written_at) >= TOLD_MS {
                    counted.write(&self.state);
                }
                known.push(counted);
                return;
            }
            counted.flush(&self.state);
        }
        if known.len() >= REMEMBERED {
            known.remove(0).flush(&self.state);
        }
        let mut counted = Counted { event, what: what.to_owned(), written: 0, written_at: now };
        counted.write(&self.state);
        known.push(counted);
    }

    /// An event of this kind is over for a zone: the next one is a new one.
    pub fn end(&mut self, zone: &str, reason: &str) {
        let Some(known) = self.zones.get_mut(&Some(zone.to_owned())) else { return };
        known.retain_mut(|counted| {
            let over = counted.event.reason == reason;
            if over {
                counted.flush(&self.state);
            }
            !over
        });
    }

    /// There is no such zone any more.
    pub fn forget(&mut self, zone: &str) {
        for mut counted in self.zones.remove(&Some(zone.to_owned())).unwrap_or_default() {
            counted.flush(&self.state);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.zones.values_mut().flatten().for_each(|counted| counted.flush(&self.state));
    }
}

impl Counted {
    fn write(&mut self, state: &Path) {
        super::add(state, &self.event);
        (self.written, self.written_at) = (self.event.count, self.event.newest());
    }

    fn flush(&mut self, state: &Path) {
        if self.event.count > self.written {
            self.write(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events::newest;

    fn event(at: u64, reason: &str) -> HostEvent {
        HostEvent::new(Timestamp(at), Some("z"), reason, "EBUSY")
    }

    fn lines(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("events.jsonl")).map_or(0, |text| text.lines().count())
    }

    #[test]
    fn a_flood_takes_few_lines_and_the_count_is_right() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tally = Tally::new(folder.path());
        for n in 0..1000 {
            tally.note(event(n, "WalkFailed"));
            tally.note(event(n, "Other"));
        }
        assert_eq!(lines(folder.path()), 2 * 10, "1, 2, 4 to 512");
        drop(tally);
        assert_eq!(lines(folder.path()), 2 * 11);
        let all = newest(folder.path(), 10);
        let counts: Vec<_> = all.iter().map(|event| (event.count, event.at.0, event.newest().0)).collect();
        assert_eq!(counts, [(1000, 0, 999), (1000, 0, 999)]);
    }

    #[test]
    fn what_ended_or_is_long_ago_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tally = Tally::new(folder.path());
        let counts = || newest(folder.path(), 100).iter().map(|event| event.count).collect::<Vec<_>>();
        (0..3).for_each(|n| tally.note(event(n, "WalkFailed")));
        tally.end("z", "WalkFailed");
        tally.note(event(10, "WalkFailed"));
        assert_eq!(counts(), [3, 1]);
        tally.note(event(10 + SAME_MS, "WalkFailed"));
        assert_eq!(counts(), [3, 1, 1]);
        // One that comes now and then is told in time.
        tally.note(event(10 + SAME_MS + 1, "WalkFailed"));
        tally.note(event(10 + SAME_MS + 2 + TOLD_MS, "WalkFailed"));
        assert_eq!(counts(), [3, 1, 3]);
    }

    #[test]
    fn it_remembers_so_much_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tally = Tally::new(folder.path());
        for n in 0..100 {
            tally.note(event(n, &format!("Reason{n}")));
        }
        assert!(tally.zones.values().all(|known| known.len() <= REMEMBERED));
        assert_eq!(lines(folder.path()), 100);
        tally.forget("z");
        assert!(tally.zones.is_empty());
    }
}

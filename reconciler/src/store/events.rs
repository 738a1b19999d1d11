//! `events.jsonl`: what was done, by whom, and what happened, a line each. When it has grown to its bound, it becomes
//! `events.jsonl.1` and a new one begins.
//!
//! An event that comes again is written again with the time of the first and with how often it came: the later line of the
//! same event stands for the earlier ones. So lines are only ever added, and a flood takes few of them.

mod follow;
mod tally;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

pub use follow::Follower;
use reeve_state::Timestamp;
use reeve_state::drift::DriftEvent;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
pub use tally::Tally;

/// Where a new file begins.
const FILE_MAX: u64 = 1 << 20;
/// The newer file.
const NEW: &str = "events.jsonl";
/// The older one.
const OLD: &str = "events.jsonl.1";

/// Something that was done to a zone, by whom, or that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEvent {
    /// When; the first time where it came again.
    pub at: Timestamp,
    /// The zone, where it is about one.
    pub zone: Option<String>,
    /// What, as one CamelCase word.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The commit by which it was done, or that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// How often it came; not there for once.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u64,
    /// When it came last; not there for once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// What drifted or was mended: the field, what it was before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Box<DriftEvent>>,
}

fn once() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_once(count: &u64) -> bool {
    *count <= 1
}

impl HostEvent {
    /// Something that came once.
    pub fn new(at: Timestamp, zone: Option<&str>, reason: &str, message: impl Into<String>) -> Self {
        Self {
            at,
            zone: zone.map(str::to_owned),
            reason: reason.to_owned(),
            message: message.into(),
            commit: None,
            count: 1,
            last_at: None,
            drift: None,
        }
    }

    /// With the commit by which it was done.
    #[must_use]
    pub fn by(self, commit: Option<String>) -> Self {
        Self { commit, ..self }
    }

    /// When it came last.
    pub fn newest(&self) -> Timestamp {
        self.last_at.unwrap_or(self.at)
    }

    /// Whether it is the same event, at another count.
    pub fn is_same(&self, other: &Self) -> bool {
        self.at == other.at && self.zone == other.zone && self.reason == other.reason && self.message == other.message
    }
}

/// Adds an event. Events are a convenience: when they cannot be written, that is logged and work goes on.
pub fn add(state: &Path, event: &HostEvent) {
    let path = state.join(NEW);
    let written = (|| {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut file = open_locked(&path)?;
        if file.metadata()?.len() > FILE_MAX {
            fs::rename(&path, state.join(OLD))?;
            // Whoever waits for the lock of the old one will see that it is the old one.
            let newer = open_locked(&path)?;
            file = newer;
        }
        if !ends_whole(&mut file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)
    })();
    if let Err(error) = written {
        tracing::warn!("{}: {error}", path.display());
    }
}

/// Opens the newer file for who alone may add to it: nobody moves it away meanwhile.
fn open_locked(path: &Path) -> std::io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        let here = fs::metadata(path).is_ok_and(|found| is_file(&file, found.ino()));
        if here {
            return Ok(file);
        }
    }
}

fn is_file(file: &File, inode: u64) -> bool {
    file.metadata().is_ok_and(|found| found.ino() == inode)
}

/// Whether the last line is whole: what a writer left that was killed in the middle must not take the next one with it.
fn ends_whole(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The events in these lines. What is not of the form is skipped.
fn parse(text: &[u8]) -> impl Iterator<Item = HostEvent> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// What tells whether there is something new in the files: which they are, and how long. Without them, of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark([(u64, u64); 2]);

/// The mark of the files as they are.
pub fn mark(state: &Path) -> Mark {
    let of = |name| fs::metadata(state.join(name)).map_or((0, 0), |found| (found.ino(), found.len()));
    Mark([OLD, NEW].map(of))
}

/// The newest `max` events, in the order in which they first came; of those that came again what was said of them last.
pub fn newest(state: &Path, max: usize) -> Vec<HostEvent> {
    let mut events: Vec<HostEvent> = Vec::new();
    let mut places: HashMap<(Timestamp, Option<String>, String), Vec<usize>> = HashMap::new();
    for name in [OLD, NEW] {
        for event in parse(&fs::read(state.join(name)).unwrap_or_default()) {
            let known = places.entry((event.at, event.zone.clone(), event.reason.clone())).or_default();
            match known.iter().find(|index| event.count > 1 && events[**index].is_same(&event)) {
                Some(index) => events[*index] = event,
                None => {
                    known.push(events.len());
                    events.push(event);
                }
            }
        }
    }
    let surplus = events.len().saturating_sub(max);
    events.drain(..surplus);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> HostEvent {
        HostEvent::new(Timestamp(n), Some("z"), "Test", format!("number {n}"))
    }

    #[test]
    fn what_earlier_versions_wrote_is_read_and_half_a_line_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = r#"{"at":7,"zone":null,"reason":"SourceAccepted","message":"m","commit":"c"}"#;
        fs::write(folder.path().join(NEW), format!("{old}\n{{\"at\":8,")).expect("written");
        add(folder.path(), &event(9));
        let all = newest(folder.path(), 10);
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!((all[0].at, all[0].count, all[0].last_at), (Timestamp(7), 1, None));
        assert_eq!(all[1], event(9));
    }

    #[test]
    fn an_event_that_came_again_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let again = |count| HostEvent { count, last_at: Some(Timestamp(count)), ..event(1) };
        for event in [event(1), event(2), again(2), again(4)] {
            add(folder.path(), &event);
        }
        assert_eq!(newest(folder.path(), 10), [again(4), event(2)]);
        // Two that only look alike are two.
        add(folder.path(), &event(2));
        assert_eq!(newest(folder.path(), 10).len(), 3);
        assert_eq!(newest(folder.path(), 1), [event(2)]);
    }

    #[test]
    fn writers_at_once_lose_nothing_when_the_file_is_moved_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "x".repeat(1000);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (folder, text) = (folder.path(), &text);
                scope.spawn(move || {
                    for n in 0..400 {
                        add(folder, &HostEvent::new(Timestamp(n), Some(&format!("z{writer}")), "Test", text.clone()));
                    }
                });
            }
        });
        // 1.7 MB: moved away once.
        let old = fs::metadata(folder.path().join(OLD)).expect("moved away").len();
        assert!(old > FILE_MAX && old < FILE_MAX + 4096, "{old}");
        assert_eq!(newest(folder.path(), 10_000).len(), 1600);
    }
}

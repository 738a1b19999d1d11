//! Reading events as they are written, also over the moment at which a new file begins.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::{HostEvent, NEW, OLD, parse};
use crate::error::{Error, Result};

/// After this time it looks whether or not something told of a line.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// Reads events in the order of their lines. It looks before it waits, so that nothing is lost in between.
pub struct Follower {
    state: PathBuf,
    /// The files that are read, the older first.
    files: Vec<Reading>,
    changed: Receiver<notify::Result<notify::Event>>,
    _watcher: RecommendedWatcher,
}

fn open(path: &Path) -> Option<(File, u64)> {
    let file = File::open(path).ok()?;
    let inode = file.metadata().ok()?.ino();
    Some((file, inode))
}

/// A file, and the piece of a line at its end that is not whole yet.
struct Reading {
    file: File,
    inode: u64,
    rest: Vec<u8>,
}

impl Follower {
    /// Follows the events of this state folder, from the oldest that is there.
    ///
    /// # Errors
    /// When inotify cannot be had (fs.inotify.max_user_instances, max_user_watches).
    pub fn new(state: &Path) -> Result<Self> {
        let (tell, changed) = channel();
        let failed = |error: notify::Error| Error::refused(format!("{} cannot be watched: {error}", state.display()));
        let mut watcher = notify::recommended_watcher(move |event| drop(tell.send(event))).map_err(failed)?;
        watcher.watch(state, RecursiveMode::NonRecursive).map_err(failed)?;
        Ok(Self { state: state.to_owned(), files: Vec::new(), changed, _watcher: watcher })
    }

    /// The lines that were added since the last call; each as it was written, so that an event that came again comes again
    /// with its count. Does not wait.
    pub fn read(&mut self) -> Vec<HostEvent> {
        // The newer one first: it may be moved away in between, and would be missed the other way round.
        let found: Vec<(File, u64)> = [NEW, OLD].iter().filter_map(|name| open(&self.state.join(name))).collect();
        let there: Vec<u64> = found.iter().map(|(_, inode)| *inode).collect();
        for (file, inode) in found.into_iter().rev() {
            if !self.files.iter().any(|reading| reading.inode == inode) {
                self.files.push(Reading { file, inode, rest: Vec::new() });
            }
        }
        let events = self.files.iter_mut().flat_map(Reading::read).collect();
        // One that was neither any more before it was read has no more lines: they are added under a lock, to the newer one.
        self.files.retain(|reading| there.contains(&reading.inode));
        events
    }

    /// Waits until there may be more to read, for at most this long; false where there is nobody to tell any more.
    pub fn wait(&self, patience: Duration) -> bool {
        match self.changed.recv_timeout(patience.min(LOOK_AFTER)) {
            Ok(_) => {
                // What comes together is one reading.
                while self.changed.try_recv().is_ok() {}
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }
}

impl Reading {
    fn read(&mut self) -> Vec<HostEvent> {
        let mut text = std::mem::take(&mut self.rest);
        if let Err(error) = self.file.read_to_end(&mut text) {
            tracing::warn!("events: {error}");
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.rest = text.split_off(whole);
        parse(&text).collect()
    }
}

#[cfg(test)]
mod tests {
    use reeve_state::Timestamp;

    use super::*;
    use crate::store::events::add;

    #[test]
    fn every_line_is_read_once_while_files_are_moved_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "x".repeat(2000);
        let line = |n: u64| HostEvent::new(Timestamp(n), None, "Test", text.clone());
        add(folder.path(), &line(0));
        let mut follower = Follower::new(folder.path()).expect("inotify");
        let mut read = Vec::new();
        std::thread::scope(|scope| {
            // 4 MB: moved away three times.
            let writer = scope.spawn(|| (1..2000).for_each(|n| add(folder.path(), &line(n))));
            while !writer.is_finished() {
                read.extend(follower.read());
                follower.wait(Duration::from_millis(20));
            }
            read.extend(follower.read());
        });
        let numbers: Vec<u64> = read.iter().map(|event| event.at.0).collect();
        assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
    }
}

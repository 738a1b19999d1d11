//! What a zone's console said, from the ring of two files that its zoneadmd keeps: `console.log.1` (older) and
//! `console.log`.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::error::{OnFile, Result};

/// The newest file.
const NEWEST: &str = "console.log";
/// The one before.
const OLDER: &str = "console.log.1";

/// The newest `max` bytes, oldest first. A zone that was never up has said nothing.
///
/// # Errors
/// A file that cannot be read.
pub fn newest(run: &Path, max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for name in [OLDER, NEWEST] {
        let path = run.join(name);
        match File::open(&path) {
            Ok(mut file) => drop(file.read_to_end(&mut bytes).on("read", &path)?),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).on("open", &path),
        }
    }
    bytes.drain(..bytes.len().saturating_sub(max));
    Ok(bytes)
}

/// Gives the newest `max` bytes and then what comes to `sink`, until it returns false. Between two pieces `sink` is called
/// with nothing at least every second, so that it can end.
///
/// # Errors
/// A file that cannot be read or watched.
pub fn follow(run: &Path, max: usize, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).on("inotify_init1", run)?;
    let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, run, changes).on("inotify_add_watch", run)?;
    // The place is taken before the old content is read, so that nothing falls between the two.
    let mut place = Place::end(run);
    if !sink(&newest(run, max)?) {
        return Ok(());
    }
    loop {
        let bytes = place.read(run)?;
        if !sink(&bytes) {
            return Ok(());
        }
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&second));
        let mut events = [0u8; 4096];
        while rustix::io::read(&watch, &mut events).is_ok_and(|read| read > 0) {}
    }
}

/// How far the console was read: in which file, and where in it.
struct Place {
    file: Option<File>,
    inode: u64,
}

impl Place {
    fn end(run: &Path) -> Self {
        let mut place = Self { file: None, inode: 0 };
        place.open(run);
        if let Some(file) = &mut place.file {
            let _ = file.seek(SeekFrom::End(0));
        }
        place
    }

    fn open(&mut self, run: &Path) {
        self.file = File::open(run.join(NEWEST)).ok();
        self.inode = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.ino());
    }

    /// The rest of the file that was read last, even where it has become the older one, and then a new one's content.
    fn read(&mut self, run: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(file) = &mut self.file {
                file.read_to_end(&mut bytes).on("read", run)?;
            }
            let newest = std::fs::metadata(run.join(NEWEST)).map_or(0, |found| found.ino());
            if newest == 0 || newest == self.inode {
                return Ok(bytes);
            }
            self.open(run);
        }
    }
}

//! Being told that a cgroup became empty, populated or frozen, without asking: inotify(7) on `cgroup.events`.
//!
//! The kernel does not tell that a cgroup was removed, and keeps the watch of one that was (tried on 6.18): whoever sees
//! a cgroup go removes its watch. It also tells of one file at most every 10 ms, late rather than never: what has to be
//! seen at once is seen by pidfd.

use crate::error::{Context, Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// A cgroup in which something changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupEvent {
    /// The zone that it was added for.
    pub zone: String,
    /// The cgroup.
    pub path: PathBuf,
}

/// What [`CgroupEvents::drain`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupChanges {
    /// The cgroups, each once and in order.
    pub events: Vec<CgroupEvent>,
    /// Events were lost: only a full reading tells what is.
    pub overrun: bool,
}

/// Watches on the `cgroup.events` of zones and their leaves.
#[derive(Debug)]
pub struct CgroupEvents {
    inotify: OwnedFd,
    watches: BTreeMap<i32, (String, PathBuf)>,
}

impl CgroupEvents {
    /// Makes a watch of nothing yet.
    ///
    /// # Errors
    /// `EMFILE`: `fs.inotify.max_user_instances` is reached.
    pub fn open() -> Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).at("inotify_init1", "")?;
        Ok(Self { inotify, watches: BTreeMap::new() })
    }

    /// Watches the cgroup at `path` for the zone. Twice is as good as once. What changed before is not told: read
    /// the zone after adding.
    ///
    /// # Errors
    /// `ENOENT`: there is no such cgroup (any more). `ENOSPC`: `fs.inotify.max_user_watches` is reached.
    pub fn add(&mut self, zone: &str, path: &Path) -> Result<()> {
        let file = path.join("cgroup.events");
        let watch = inotify::add_watch(&self.inotify, &file, WatchFlags::MODIFY)
            .at("inotify_add_watch", file.display().to_string())?;
        self.watches.insert(watch, (zone.to_owned(), path.to_owned()));
        Ok(())
    }

    /// Ends all watches of a zone.
    pub fn remove(&mut self, zone: &str) {
        self.remove_where(|of, _| of == zone);
    }

    /// Ends the watch of one cgroup, there or removed.
    pub fn remove_cgroup(&mut self, path: &Path) {
        self.remove_where(|_, of| of == path);
    }

    fn remove_where(&mut self, which: impl Fn(&str, &Path) -> bool) {
        let inotify = &self.inotify;
        self.watches.retain(|&watch, (zone, path)| {
            let ends = which(zone, path);
            if ends {
                // Refused only when the kernel has ended it already.
                let _ = inotify::remove_watch(inotify, watch);
            }
            !ends
        });
    }

    /// Reads what has come, without waiting.
    ///
    /// # Errors
    /// What read(2) says, other than that nothing is there.
    pub fn drain(&mut self) -> Result<CgroupChanges> {
        let mut changes = CgroupChanges::default();
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut space);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::os("read", "inotify, cgroup.events", errno)),
            };
            changes.overrun |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            if event.events().contains(ReadFlags::IGNORED) {
                self.watches.remove(&event.wd());
            } else {
                let found = self.watches.get(&event.wd()).cloned();
                changes.events.extend(found.map(|(zone, path)| CgroupEvent { zone, path }));
            }
        }
        changes.events.sort();
        changes.events.dedup();
        Ok(changes)
    }
}

impl AsFd for CgroupEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

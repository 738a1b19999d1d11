//! Control groups, version 2 only: the zone's own cgroup with its limits, and a leaf for each thing that lives in it.

use crate::error::{Context, Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An open cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    folder: OwnedFd,
    /// `cgroup.kill`, where it was opened ahead.
    killer: Option<OwnedFd>,
}

impl Cgroup {
    /// Makes the cgroup if it is missing, and opens it.
    ///
    /// # Errors
    /// The errno of mkdir(2) or open(2).
    pub fn create(path: &Path) -> Result<Self> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path),
            Err(errno) => Err(Error::os("mkdir", path.display().to_string(), errno)),
        }
    }

    /// Makes the cgroup, which must not be there yet: after cgroup.kill a cgroup kills what is cloned into it, so that
    /// each incarnation needs a fresh one.
    ///
    /// # Errors
    /// EEXIST, else the errno of mkdir(2) or open(2); there is no cgroup then.
    pub fn create_fresh(path: &Path) -> Result<Self> {
        rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)).at("mkdir", path.display().to_string())?;
        Self::open(path).inspect_err(|_| {
            // What nobody holds would be in the way of whoever comes next.
            let _ = rustix::fs::rmdir(path);
        })
    }

    /// Opens a cgroup that is there.
    ///
    /// # Errors
    /// The errno of open(2).
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = rustix::fs::open(path, flags, Mode::empty()).at("open", path.display().to_string())?;
        Ok(Self { path: path.to_owned(), folder, killer: None })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path.display())
    }

    /// Reads one of its files whole, without the newline at the end.
    ///
    /// # Errors
    /// The errno of openat(2) or read(2).
    pub fn read(&self, name: &str) -> Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::empty()).at("openat", self.file(name))?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(file), &mut text).at("read", self.file(name))?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// Writes one of its files in one write(2).
    ///
    /// # Errors
    /// The errno of openat(2) or write(2).
    pub fn write(&self, name: &str, value: &str) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::empty()).at("openat", self.file(name))?;
        rustix::io::write(&file, value.as_bytes()).at("write", format!("{}, {value:?}", self.file(name)))?;
        Ok(())
    }

    /// Whether a process lives in it or below it, zombies not counted.
    ///
    /// # Errors
    /// The errno of reading `cgroup.events`.
    pub fn populated(&self) -> Result<bool> {
        Ok(self.read("cgroup.events")?.lines().any(|line| line == "populated 1"))
    }

    /// Sends SIGKILL to all in it and below it, those being forked included (`cgroup.kill`). The cgroup must not be used
    /// for new processes after it.
    ///
    /// # Errors
    /// The errno of the write.
    pub fn kill(&self) -> Result<()> {
        match &self.killer {
            Some(file) => {
                rustix::io::write(file, b"1").map(drop).at("write", format!("{}, \"1\"", self.file("cgroup.kill")))
            }
            None => self.write("cgroup.kill", "1"),
        }
    }

    /// Opens what [`Cgroup::kill`] writes to, so that whoever waits for that has less to wait for. Where it cannot be opened
    /// now, it is tried again then.
    pub fn prepare_kill(&mut self) {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        self.killer = rustix::fs::openat(&self.folder, "cgroup.kill", flags, Mode::empty()).ok();
    }

    /// Waits until no process lives in it or below it, at most `timeout`. The kernel's own notice on `cgroup.events`
    /// (poll(2), POLLPRI) wakes this, not a clock.
    ///
    /// # Errors
    /// ETIMEDOUT with the number of processes left, else the errno of a read.
    pub fn wait_empty(&self, timeout: Duration) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let name = "cgroup.events";
        let events = rustix::fs::openat(&self.folder, name, flags, Mode::empty()).at("openat", self.file(name))?;
        let deadline = Instant::now() + timeout;
        loop {
            let mut buffer = [0u8; 128];
            let length = rustix::io::pread(&events, &mut buffer, 0).at("pread", self.file(name))?;
            if !buffer[..length].windows(11).any(|window| window == b"populated 1") {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let pids = self.read("cgroup.procs").unwrap_or_default();
                let args = format!("{}, populated, cgroup.procs {:?}", self.file(name), pids);
                return Err(Error::os("poll", args, Errno::TIMEDOUT));
            }
            let mut poll = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::PRI)];
            let timespec = rustix::event::Timespec::try_from(left).ok();
            match rustix::event::poll(&mut poll, timespec.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::os("poll", self.file(name), errno)),
            }
        }
    }

    /// Hands the subtree to `owner` as the kernel's delegation model has it: the folder and the files that move
    /// processes, not the limits.
    ///
    /// # Errors
    /// The errno of fchownat(2).
    pub fn delegate(&self, owner: u32) -> Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
        rustix::fs::fchown(&self.folder, uid, gid).at("fchown", self.path.display().to_string())?;
        for name in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            rustix::fs::chownat(&self.folder, name, uid, gid, rustix::fs::AtFlags::empty())
                .at("fchownat", self.file(name))?;
        }
        Ok(())
    }

    /// The names of the cgroups directly below it.
    ///
    /// # Errors
    /// The errno of reading the folder.
    pub fn children(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.folder).at("getdents64", self.path.display().to_string())? {
            let entry = entry.at("getdents64", self.path.display().to_string())?;
            if entry.file_type() == rustix::fs::FileType::Directory
                && let Ok(name) = entry.file_name().to_str()
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Removes it and every cgroup below it. That it succeeds proves that no process was left in it.
    ///
    /// # Errors
    /// EBUSY while a process lives there, else the errno of rmdir(2).
    pub fn remove(&self) -> Result<()> {
        // As a rule there is nothing below it, and then it need not be looked for.
        match rustix::fs::rmdir(&self.path) {
            Err(Errno::BUSY) => {}
            removed => return self.removed(removed),
        }
        for child in self.children()? {
            Self::open(&self.path.join(child))?.remove()?;
        }
        self.removed(rustix::fs::rmdir(&self.path))
    }

    fn removed(&self, removed: rustix::io::Result<()>) -> Result<()> {
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::os("rmdir", self.path.display().to_string(), errno)),
        }
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

//! What a zone prints: the console's output goes into a ring of two files, the newer and the older half, so that what
//! is kept is bounded and can be read by whoever administers the zone, with zoneadmd alive or not.

use reeve_kernel::error::{Context, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Bytes after which the newer file becomes the older one.
const HALF: u64 = 64 * 1024;

/// The console's master with its log.
#[derive(Debug)]
pub struct ConsoleLog {
    master: OwnedFd,
    newer: PathBuf,
    file: OwnedFd,
    length: u64,
}

impl ConsoleLog {
    /// Goes on with the log in `run_folder`, or begins it.
    pub fn open(master: OwnedFd, run_folder: &Path) -> Result<Self> {
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK).at("fcntl", "console, O_NONBLOCK")?;
        let newer = run_folder.join("console.log");
        let file = open(&newer)?;
        let length = rustix::fs::fstat(&file).at("fstat", "console.log")?.st_size as u64;
        Ok(Self { master, newer, file, length })
    }

    /// Takes what the zone printed; false once the console is gone.
    pub fn drain(&mut self) -> Result<bool> {
        let mut buffer = [0u8; 4096];
        loop {
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(0) | Err(Errno::IO) => return Ok(false),
                Ok(count) => self.append(&buffer[..count])?,
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at("read", "console"),
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.length >= HALF {
            std::fs::rename(&self.newer, self.newer.with_extension("log.1")).at("rename", "console.log")?;
            self.file = open(&self.newer)?;
            self.length = 0;
        }
        // A full disk loses output, never the zone.
        if let Ok(count) = rustix::io::write(&self.file, bytes) {
            self.length += count as u64;
        }
        Ok(())
    }
}

impl AsFd for ConsoleLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).at("open", path.display().to_string())
}

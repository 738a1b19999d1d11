//! Starting other programs as cheaply as can be, so that what they cost is theirs: a vfork, with pipes where they are
//! wanted, and born in a cgroup where one is given.

use crate::Result;
use reeve_kernel::sys::{self, CStrings, Child, Stack};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions};
use std::ffi::CString;
use std::io::{PipeReader, PipeWriter};
use std::path::PathBuf;

/// A program with its arguments, looked up once.
#[derive(Debug, Clone)]
pub struct Program {
    path: CString,
    arguments: Vec<String>,
}

/// Where a program of this name is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A running program, and the ends of the pipes to it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: PipeWriter,
    output: PipeReader,
    what: String,
}

impl Program {
    /// `name` with arguments.
    pub fn new(name: &str, arguments: &[&str]) -> Result<Self> {
        let path = find(name).ok_or_else(|| format!("{name} is not there"))?;
        let path = CString::new(path.into_os_string().into_encoded_bytes())?;
        Ok(Self { path, arguments: arguments.iter().map(|&argument| argument.to_owned()).collect() })
    }

    fn start(&self, cgroup: Option<BorrowedFd<'_>>, streams: [BorrowedFd<'_>; 2]) -> Result<Child> {
        let name = self.path.to_string_lossy().into_owned();
        let words = std::iter::once(&name).chain(&self.arguments);
        let (argv, environment) = (CStrings::new(words), CStrings::new(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]));
        let child = sys::vfork(0, cgroup, &Stack::new()?, &mut || {
            for (fd, number) in streams.iter().zip(0..) {
                let _ = sys::dup_onto(*fd, number);
            }
            sys::cloexec_from(3);
            sys::unblock_signals();
            let _ = sys::execve(&self.path, &argv, &environment);
            127
        });
        Ok(child?)
    }

    /// Runs it with nothing to read and nobody to read what it prints but standard error, and waits.
    pub fn run(&self) -> Result<()> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let child = self.start(None, [null.as_fd(), null.as_fd()])?;
        wait(&child, &self.shown())
    }

    /// Starts it with pipes.
    pub fn spawn(&self, cgroup: Option<BorrowedFd<'_>>) -> Result<Running> {
        let ((read, input), (output, write)) = (std::io::pipe()?, std::io::pipe()?);
        let child = self.start(cgroup, [read.as_fd(), write.as_fd()])?;
        Ok(Running { child, input, output, what: self.shown() })
    }

    fn shown(&self) -> String {
        format!("{} {}", self.path.to_string_lossy(), self.arguments.join(" "))
    }
}

impl Running {
    /// Waits until the bench's init says that it runs.
    pub fn wait_running(&self) -> Result<()> {
        match rustix::io::read(&self.output, &mut [0u8; 1])? {
            0 => Err(format!("{}: ended before its init ran", self.what).into()),
            _ => Ok(()),
        }
    }

    /// Lets the bench's init end, and waits for the program, which then has taken down what it made.
    pub fn end(self) -> Result<()> {
        drop(self.input);
        wait(&self.child, &self.what)
    }
}

fn wait(child: &Child, what: &str) -> Result<()> {
    let status = rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    match status.and_then(|status| status.exit_status()) {
        Some(0) => Ok(()),
        status => Err(format!("{what}: exit status {status:?}").into()),
    }
}

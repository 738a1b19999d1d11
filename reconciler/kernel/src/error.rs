//! The error of a system call: which call, with which arguments, and what the kernel answered. Each layer above
//! describes only itself; the chain is printed once, by whoever ends it.

use rustix::io::Errno;
use std::fmt;

/// What a call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call: its name as in section 2 of the manual, its arguments as given, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    call: String,
    args: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Errno(Errno),
    Message(String),
}

const ENDED_EARLY: &str = "the process was ended before it was where it should be";

impl Error {
    /// The kernel refused `call(args)` with `errno`.
    pub fn os(call: &str, args: impl Into<String>, errno: Errno) -> Self {
        Self { call: call.to_owned(), args: args.into(), reason: Reason::Errno(errno) }
    }

    /// `call(args)` could not be done for a reason that no errno tells.
    pub fn new(call: &str, args: impl Into<String>, message: impl Into<String>) -> Self {
        Self { call: call.to_owned(), args: args.into(), reason: Reason::Message(message.into()) }
    }

    /// A child was ended by somebody before it was where it should be.
    pub fn ended_early(call: &str) -> Self {
        Self::new(call, "", ENDED_EARLY)
    }

    /// Whether it is that one, also as another process told it: no refusal, and the same may succeed the next time.
    pub fn is_ended_early(&self) -> bool {
        matches!(&self.reason, Reason::Message(message) if message == ENDED_EARLY)
    }

    /// The name of the call that failed.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// The call's arguments, as they were given.
    pub fn args(&self) -> &str {
        &self.args
    }

    /// The kernel's errno, where it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self.reason {
            Reason::Errno(errno) => Some(errno),
            Reason::Message(_) => None,
        }
    }

    /// The reason in words, without the call.
    pub fn reason(&self) -> String {
        match &self.reason {
            Reason::Errno(errno) => std::io::Error::from(*errno).to_string(),
            Reason::Message(message) => message.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}): {}", self.call, self.args, self.reason())
    }
}

impl std::error::Error for Error {}

/// Names the call of a bare errno: `open(...).at("openat", path)?`.
pub trait Context<T> {
    /// Turns a bare errno into an [`Error`] with the call and its arguments.
    ///
    /// # Errors
    /// The errno, named.
    fn at(self, call: &str, args: impl AsRef<str>) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn at(self, call: &str, args: impl AsRef<str>) -> Result<T> {
        self.map_err(|errno| Error::os(call, args.as_ref(), errno))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn at(self, call: &str, args: impl AsRef<str>) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(code) => Error::os(call, args.as_ref(), Errno::from_raw_os_error(code)),
            None => Error::new(call, args.as_ref(), error.to_string()),
        })
    }
}

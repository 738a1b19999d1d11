//! The error of this crate: what could not be done with what, and why. Where a person can do something about it, the
//! message says what.

use std::path::Path;

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of Reeve's own.
    #[error("{call} {path}: {source}")]
    File {
        /// The call, such as `open` or `rename`.
        call: &'static str,
        /// The path.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// A system call made by the kernel crate.
    #[error(transparent)]
    Kernel(#[from] reeve_kernel::error::Error),
    /// This host lacks something. The text says what and what to do.
    #[error("{0}")]
    Unsupported(String),
    /// What is asked for cannot be done as things are: a zone that is not there, an illegal transition, a check that
    /// failed. The text says why and what would be possible.
    #[error("{0}")]
    Refused(String),
    /// zoneadmd answered that a step failed.
    #[error("{step}: {call}({args}): {reason}")]
    Step {
        /// The step, as plan and status name it.
        step: String,
        /// The call.
        call: String,
        /// Its arguments.
        args: String,
        /// The errno, 0 for none.
        errno: i32,
        /// The reason in words.
        reason: String,
    },
    /// zoneadmd went away, or said something that it should not have.
    #[error("zoneadmd of zone {zone}: {what}")]
    Zoneadmd {
        /// The zone.
        zone: String,
        /// What happened.
        what: String,
    },
    /// Another process holds the state folder.
    #[error(transparent)]
    Held(#[from] crate::store::Holder),
}

impl Error {
    /// A refusal in words.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

/// Names the file of an I/O error: `fs::read(path).on("read", path)?`.
pub trait OnFile<T> {
    /// Turns the bare error into an [`Error::File`].
    ///
    /// # Errors
    /// The error, named.
    fn on(self, call: &'static str, path: &Path) -> Result<T>;
}

impl<T> OnFile<T> for std::io::Result<T> {
    fn on(self, call: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { call, path: path.display().to_string(), source })
    }
}

impl<T> OnFile<T> for std::result::Result<T, rustix::io::Errno> {
    fn on(self, call: &'static str, path: &Path) -> Result<T> {
        self.map_err(|errno| Error::File { call, path: path.display().to_string(), source: errno.into() })
    }
}

//! Talking to a controller that runs: one request, then notices until the answer, as lines of JSON over
//! `<run>/controller.sock`.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use reeve_state::Timestamp;
use reeve_state::source::SourceStatus;
use serde::{Deserialize, Serialize};

use crate::error::{Error, OnFile, Result};
use crate::host::Outcome;
use crate::places::Places;
use crate::progress::{Notice, Observer};

/// The socket, in the run folder.
pub const SOCKET: &str = "controller.sock";

/// Who a controller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerInfo {
    /// Process ID.
    pub pid: i32,
    /// The folder of manifests that it follows, absolute.
    pub source: PathBuf,
    /// Since when it runs.
    pub since: Timestamp,
    /// How many passes it made.
    pub passes: u64,
    /// How many zones it knows.
    pub zones: usize,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "ask")]
pub enum Ask {
    /// Who are you?
    Info,
    /// Read the manifests again, look at everything, and say when all is settled.
    Pass {
        /// How long to wait for that, in milliseconds.
        patience_ms: u64,
    },
    /// Look at this zone: somebody worked on it.
    Look {
        /// The zone.
        zone: String,
    },
    /// Try this zone again at once.
    Retry {
        /// The zone.
        zone: String,
    },
    /// Read the manifests again.
    Reload,
    /// Look at the repository at once.
    Notify {
        /// Whether to answer only when it was looked at.
        wait: bool,
    },
}

/// A line of the answer. The last line of each answer is not a notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tell {
    /// Something happened.
    Notice(Notice),
    /// Who it is.
    Info(ControllerInfo),
    /// How a pass and its walks ended.
    Outcome(Outcome),
    /// How it is with the repository, after a look at it.
    Source(Box<SourceStatus>),
    /// What was asked for is done.
    Done,
    /// It cannot be done.
    Error(String),
}

/// A way to the controller of this state folder.
#[derive(Debug)]
pub struct Controller {
    path: PathBuf,
}

impl Controller {
    /// Finds it; none when no controller runs.
    ///
    /// # Errors
    /// When its socket is there and cannot be reached.
    pub fn connect(places: &Places) -> Result<Option<Self>> {
        let path = places.run().join(SOCKET);
        match UnixStream::connect(&path) {
            Ok(_) => Ok(Some(Self { path })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(error).on("connect", &path),
        }
    }

    /// Who it is.
    ///
    /// # Errors
    /// When it went away.
    pub fn info(&mut self) -> Result<ControllerInfo> {
        match self.ask(&Ask::Info, Duration::from_secs(10), None)? {
            Tell::Info(info) => Ok(info),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for a pass over everything, tells `observer` what happens, and returns when every zone is where it should be,
    /// or waits or is blocked, or `patience` is over.
    ///
    /// # Errors
    /// When it went away, or [`crate::Error::Refused`] when its manifests have a problem.
    pub fn pass(&mut self, patience: Duration, observer: &Observer) -> Result<Outcome> {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let allowed = patience.saturating_add(Duration::from_secs(60));
        match self.ask(&Ask::Pass { patience_ms }, allowed, Some(observer))? {
            Tell::Outcome(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks it to try a zone again at once.
    ///
    /// # Errors
    /// When it went away, or for no such zone.
    pub fn retry(&mut self, zone: &str) -> Result<()> {
        match self.ask(&Ask::Retry { zone: zone.to_owned() }, Duration::from_secs(10), None)? {
            Tell::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells it that somebody worked on a zone, so that it looks at once what that came to.
    ///
    /// # Errors
    /// When it went away.
    pub fn look(&mut self, zone: &str) -> Result<()> {
        match self.ask(&Ask::Look { zone: zone.to_owned() }, Duration::from_secs(10), None)? {
            Tell::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks it to read the manifests again.
    ///
    /// # Errors
    /// When it went away.
    pub fn reload(&mut self) -> Result<()> {
        match self.ask(&Ask::Reload, Duration::from_secs(10), None)? {
            Tell::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks it to look at the repository at once, and with `wait` says what that came to.
    ///
    /// # Errors
    /// When it went away, or follows no repository.
    pub fn notify(&mut self, wait: bool) -> Result<Option<SourceStatus>> {
        // A fetch may take as long as the configuration says, an hour at most.
        let allowed = Duration::from_secs(if wait { 3700 } else { 10 });
        match self.ask(&Ask::Notify { wait }, allowed, None)? {
            Tell::Done => Ok(None),
            Tell::Source(status) => Ok(Some(*status)),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, ask: &Ask, allowed: Duration, observer: Option<&Observer>) -> Result<Tell> {
        let mut stream = UnixStream::connect(&self.path).on("connect", &self.path)?;
        // Between two lines, not for all of them.
        stream.set_read_timeout(Some(allowed)).on("setsockopt", &self.path)?;
        let mut line = serde_json::to_vec(ask).map_err(std::io::Error::other).on("encode", &self.path)?;
        line.push(b'\n');
        stream.write_all(&line).on("write", &self.path)?;
        for line in BufReader::new(stream).lines() {
            let line = line.on("read", &self.path)?;
            match serde_json::from_str(&line).map_err(std::io::Error::other).on("decode", &self.path)? {
                Tell::Notice(notice) => {
                    if let Some(observer) = observer {
                        (observer)(notice);
                    }
                }
                Tell::Error(error) => return Err(Error::Refused(error)),
                answer => return Ok(answer),
            }
        }
        Err(Error::refused("the controller went away before it answered; what it was doing goes on when it is back"))
    }
}

fn unexpected(answer: &Tell) -> Error {
    Error::refused(format!("the controller answered {answer:?}"))
}

//! Talking to a controller that runs: one request, then notices until the answer, as JSON lines over
//! `<run>/controller.sock`.

use std::path::PathBuf;
use std::time::Duration;

use reeve_state::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::host::Outcome;
use crate::places::Places;
use crate::progress::Observer;

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
}

/// A connection to the controller of this state folder.
#[derive(Debug)]
pub struct Controller {}

impl Controller {
    /// Connects; none when no controller runs.
    ///
    /// # Errors
    /// When something else answers.
    pub fn connect(_places: &Places) -> Result<Option<Self>> {
        unimplemented!()
    }

    /// Who it is.
    ///
    /// # Errors
    /// When it went away.
    pub fn info(&mut self) -> Result<ControllerInfo> {
        unimplemented!()
    }

    /// Asks for a pass over everything, tells `observer` what happens, and returns when every zone is where it should be,
    /// or waits or is blocked, or `patience` is over.
    ///
    /// # Errors
    /// When it went away, or [`crate::Error::Refused`] when its manifests have a problem.
    pub fn pass(&mut self, _patience: Duration, _observer: &Observer) -> Result<Outcome> {
        unimplemented!()
    }

    /// Asks it to try a zone again at once.
    ///
    /// # Errors
    /// When it went away, or for no such zone.
    pub fn retry(&mut self, _zone: &str) -> Result<()> {
        unimplemented!()
    }
}

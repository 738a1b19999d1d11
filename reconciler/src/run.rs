//! The controller: `reeve run DIR`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::host::Host;
use crate::progress::Observer;

/// What a controller is given.
#[derive(Clone)]
pub struct RunOptions {
    /// The folder of manifests to follow.
    pub source: PathBuf,
    /// How many blocking walks may go on at once; 0: the default, 4.
    pub workers: usize,
    /// Who is told.
    pub observer: Observer,
}

/// Follows the folder until SIGINT or SIGTERM. Zones stay as they are when it ends. Builds its own runtime.
///
/// # Errors
/// [`crate::Error::Held`] when the state folder has a holder; a folder that cannot be watched.
pub fn run(_host: Arc<Host>, _options: RunOptions) -> Result<()> {
    unimplemented!()
}

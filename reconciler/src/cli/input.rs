//! The manifests that a command is given.

use std::path::{Path, PathBuf};

use clap::Args;
use reeve::source;
use reeve_schema::ManifestSet;

use super::failure::Failure;
use super::{Context, output};

/// The manifests of a command.
#[derive(Args, Clone, Debug)]
pub struct Manifests {
    /// A manifest, or a folder of manifests and folders
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

impl Manifests {
    /// Reads and checks them.
    ///
    /// # Errors
    /// What could not be read, or every problem at once.
    pub fn load(&self, context: &Context) -> Result<ManifestSet, Failure> {
        let set = self.read(context)?;
        if set.zones.is_empty() && !context.quiet {
            output::complain(&format!("{} has no manifest: no zone is wanted", self.path.display()));
        }
        Ok(set)
    }

    /// The same, and says nothing where there is none.
    ///
    /// # Errors
    /// As [`Manifests::load`].
    pub fn read(&self, context: &Context) -> Result<ManifestSet, Failure> {
        let mut set = load(context, std::slice::from_ref(&self.path))?;
        // Problems are shown by the path that was given; what is kept must mean the same from everywhere.
        for zone in set.zones.values_mut() {
            zone.origin.file = source::absolute(Path::new(&zone.origin.file)).display().to_string();
        }
        Ok(set)
    }

    /// Where they are, absolute, as locks and controllers name it.
    pub fn source(&self) -> PathBuf {
        source::absolute(&self.path)
    }
}

/// Reads and checks manifests as one set.
///
/// # Errors
/// As [`Manifests::load`].
pub fn load(context: &Context, paths: &[PathBuf]) -> Result<ManifestSet, Failure> {
    Ok(source::load(paths, &context.host_self()?, &context.places.zonepaths())?)
}

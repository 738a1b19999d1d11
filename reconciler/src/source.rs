//! Manifests from files. Needs neither root nor cgroups.

use std::path::{Path, PathBuf};

use reeve_schema::{ManifestSet, Problems, SourceFile};

/// Why a set of manifests could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files could not be read, or may not be.
    #[error(transparent)]
    Read(#[from] crate::error::Error),
    /// Something is wrong in them: everything, at once.
    #[error("{0}")]
    Problems(Problems),
}

/// Reads the manifests of a file, or of a folder and the folders in it.
///
/// # Errors
/// A file that cannot be read, a symbolic link, too many or too large files.
pub fn read(_path: &Path) -> crate::Result<Vec<SourceFile>> {
    unimplemented!()
}

/// Reads and checks the manifests of these files and folders as one set. `zonepaths` is
/// [`crate::Places::zonepaths`].
///
/// # Errors
/// [`LoadError`].
pub fn load(_paths: &[PathBuf], _zonepaths: &str) -> Result<ManifestSet, LoadError> {
    unimplemented!()
}

//! A secret in a file of the host: of root, for nobody else to write. Otherwise whoever may write it could have a zone
//! started with what he likes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::BYTES_MAX;

/// Neither a symbolic link nor a pipe with nobody at its other end is opened.
const FLAGS: i32 = (rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits()) as i32;
/// Mode bits with which others may write.
const OTHERS_WRITE: u32 = 0o022;
/// Mode bits with which others may read or write.
pub(super) const OTHERS: u32 = 0o077;

/// What is in the file, at most a byte more than a secret may have.
///
/// # Errors
/// Why it is not taken, and what to do.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = open(path, OTHERS_WRITE)?;
    let mut bytes = Vec::new();
    let read = file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("read {}: {error}", path.display()))?;
    Ok(bytes)
}

/// Opens a file of root that does not have any of the mode bits `forbidden`.
///
/// # Errors
/// Why it is not taken, and what to do.
pub(super) fn open(path: &Path, forbidden: u32) -> Result<File, String> {
    let shown = path.display();
    let file = File::options().read(true).custom_flags(FLAGS).open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{shown} is not there; put it there (chown root, chmod 600)"),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            format!("{shown} is a symbolic link, which is not followed; name the file itself")
        }
        _ => format!("open {shown}: {error}"),
    })?;
    let found = file.metadata().map_err(|error| format!("fstat {shown}: {error}"))?;
    if !found.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    if found.uid() != 0 {
        return Err(format!("{shown} does not belong to root; chown root {shown}"));
    }
    if found.mode() & forbidden != 0 {
        return Err(format!("{shown} has the mode {:o}: others may use it; chmod 600 {shown}", found.mode() & 0o7777));
    }
    Ok(file)
}

//! A secret in a file of the host: of root, for nobody else to write, and in folders where nobody else can put another in
//! its place. Otherwise whoever may could have a zone started with what he likes, or with what he may not read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::BYTES_MAX;

/// Mode bits with which others may write.
const OTHERS_WRITE: u32 = 0o022;
/// Mode bit with which others may write to a folder, but neither rename nor remove what is root's.
const STICKY: u32 = 0o1000;
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
    for folder in path.ancestors().skip(1) {
        check_folder(folder)?;
    }
    // A pipe with nobody at its other end is not waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Err(format!("{shown} is not there; put it there (chown root, chmod 600)")),
        Err(Errno::LOOP) => {
            return Err(format!("{shown} is a symbolic link, or in one, which is not followed; name the file itself"));
        }
        Err(errno) => return Err(format!("open {shown}: {errno}")),
    };
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

/// Whether nobody but root can put another file into a folder in the place of one of root's.
fn check_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    let found = std::fs::metadata(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("the folder {shown} is not there; make it"),
        _ => format!("stat {shown}: {error}"),
    })?;
    let others = found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0;
    if found.uid() != 0 || others {
        return Err(format!(
            "others may put files into the folder {shown}; chown root {shown}, and chmod go-w {shown}"
        ));
    }
    Ok(())
}

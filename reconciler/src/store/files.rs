//! Whole files, replaced in one step: written beside, then renamed. What must outlive a crash of the host is synced, the
//! file and the folder; what ends with the boot anyway is not.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, OnFile, Result};
use crate::planted::planted;

/// The most bytes of one of Reeve's own files that are read.
const READ_MAX: u64 = 16 << 20;

/// The size of most of them.
const READ_USUAL: usize = 4096;

/// Between the name of a file and, in its temporary name, the process that writes it.
const TEMPORARY: &str = ".new-";

/// Distinguishes the temporary names of threads that write the same file.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// Whether a file must outlive a crash of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced before it takes the place of the old one, and the folder after.
    Synced,
    /// As the page cache has it.
    Volatile,
}

/// Makes a folder (and those above it) that only root may enter.
///
/// # Errors
/// The folder that could not be made, or is something else.
pub fn private_folder(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    if made.is_err()
        && let Some(file) = path.ancestors().find(|folder| fs::metadata(folder).is_ok_and(|found| !found.is_dir()))
    {
        let (file, path) = (file.display(), path.display());
        return Err(Error::refused(format!("{file} is no folder, so that {path} cannot be made; move it away")));
    }
    made.on("mkdir", path)?;
    let found = fs::symlink_metadata(path).on("stat", path)?;
    if !found.is_dir() {
        return Err(Error::refused(format!("{} is no folder; remove it", path.display())));
    }
    if found.uid() != 0 {
        return Err(Error::refused(format!("{0} does not belong to root; chown root {0}", path.display())));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).on("chmod", path)?;
    }
    Ok(())
}

/// Replaces `path` by `bytes`, mode 0600.
///
/// # Errors
/// The file and the call that failed; the old content is still there then.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    replace_with_mode(path, bytes, durability, 0o600)
}

/// [`replace`] with another mode, whatever the umask.
///
/// # Errors
/// As [`replace`].
pub fn replace_with_mode(path: &Path, bytes: &[u8], durability: Durability, mode: u32) -> Result<()> {
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!("{TEMPORARY}{}-{serial}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write_and_rename(&temporary, path, bytes, durability, mode);
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8], durability: Durability, mode: u32) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary).on("open", temporary)?;
    if mode != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(mode)).on("fchmod", temporary)?;
    }
    file.write_all(bytes).on("write", temporary)?;
    if durability == Durability::Synced {
        let synced = file.sync_all().on("fsync", temporary);
        if !planted("swallowed-errno") {
            synced?;
        }
    }
    match (durability, path.parent()) {
        (Durability::Synced, Some(folder)) => {
            fs::rename(temporary, path).on("rename", path)?;
            sync_folder(folder)
        }
        _ => exchange(temporary, path),
    }
}

/// Puts a file in the place of another in one step, without waiting for a disk: a rename over a file makes ext4 write the
/// new one out first (ext4(5), auto_da_alloc), which costs a quarter of a millisecond where the run folder is no tmpfs.
fn exchange(temporary: &Path, path: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags};
    match rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => fs::remove_file(temporary).on("unlink", temporary),
        // There is none yet, or the file system cannot exchange.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => fs::rename(temporary, path).on("rename", path),
        Err(errno) => Err(errno).on("rename", path),
    }
}

/// Makes what was created, renamed or removed in a folder outlive a crash.
///
/// # Errors
/// The folder that could not be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).on("open", folder)?.sync_all().on("fsync", folder)
}

/// [`replace`] for a file of which there is only one writer at a time, not synced: what was there before stays beside it as
/// `NAME.old`, so that the next time nothing has to be made or removed.
///
/// # Errors
/// As [`replace`].
pub fn swap(path: &Path, bytes: &[u8]) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags};
    let mut spare = path.as_os_str().to_owned();
    spare.push(".old");
    let spare = PathBuf::from(spare);
    let mut options = OpenOptions::new();
    // What is in it is written over, and cut off only then: to free its pages and to find new ones takes longer than that.
    let mut file = options.write(true).create(true).truncate(false).mode(0o600).open(&spare).on("open", &spare)?;
    file.write_all(bytes).on("write", &spare)?;
    file.set_len(bytes.len() as u64).on("ftruncate", &spare)?;
    match rustix::fs::renameat_with(CWD, &spare, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => fs::rename(&spare, path).on("rename", path),
        Err(errno) => Err(errno).on("rename", path),
    }
}

/// [`replace`] with the JSON of `value`.
///
/// # Errors
/// As [`replace`].
pub fn replace_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    let mut bytes = serde_json::to_vec(value).map_err(std::io::Error::other).on("encode", path)?;
    bytes.push(b'\n');
    replace(path, &bytes, durability)
}

/// Whether a file of ours has this content: one call reads as much as there should be, and the end of it.
pub fn is(path: &Path, expected: &[u8]) -> bool {
    let mut bytes = vec![0; expected.len() + 1];
    let read = File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut bytes));
    read.is_ok_and(|length| bytes[..length] == *expected)
}

/// The content of a file of ours; none when it is not there.
///
/// # Errors
/// When it is there and cannot be read, or is much too large.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(file) => {
            // Room for what most of them have: one call reads it, another finds the end.
            let mut bytes = Vec::with_capacity(READ_USUAL);
            std::io::Read::read_to_end(&mut std::io::Read::take(file, READ_MAX), &mut bytes).on("read", path)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).on("open", path),
    }
}

/// What is in a JSON file.
#[derive(Debug)]
pub enum Content<T> {
    /// There is no such file.
    Absent,
    /// This.
    Value(T),
    /// Something that is not of this form: torn, of another version, somebody else's.
    Bad(String),
}

/// Reads a JSON file.
///
/// # Errors
/// When it is there and cannot be read; what can be read and is not of the form is [`Content::Bad`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Content<T>> {
    Ok(match read(path)? {
        None => Content::Absent,
        Some(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Content::Value(value),
            Err(error) => Content::Bad(format!("{}: {error}", path.display())),
        },
    })
}

/// Puts a bad file out of the way as `NAME.bad-<time>`, so that nothing stumbles over it again and nobody loses it.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(path: &Path) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bad-{}", super::now().0));
    let aside = PathBuf::from(name);
    fs::rename(path, &aside).on("rename", path)?;
    Ok(aside)
}

/// Removes what [`replace`] left in a folder where it was killed before its rename. What a process that lives is writing
/// stays.
///
/// # Errors
/// The folder that is there and cannot be read, or the file that could not be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.on("readdir", folder)?,
    };
    for entry in entries {
        let entry = entry.on("readdir", folder)?;
        let writer = entry.file_name().to_str().and_then(writer_of);
        if writer.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The process that a temporary name is of.
fn writer_of(name: &str) -> Option<u32> {
    let (pid, serial) = name.rsplit_once(TEMPORARY)?.1.split_once('-')?;
    serial.parse::<u32>().ok().and(pid.parse().ok())
}

/// Removes a file that may be gone already.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).on("unlink", path),
        _ => Ok(()),
    }
}

//! Reading the kernel's small files cheaply: relative to a directory that is held open, into one buffer that is kept,
//! and with "it is gone" told apart from "it could not be read".

use super::Fact;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, retry_on_intr};
use std::fmt::Display;
use std::mem::MaybeUninit;
use std::path::Path;

/// What one read of a file in /proc or a cgroup asks for; most answers are a fraction of it.
const CHUNK: usize = 4096;

/// Whether an errno says that what was looked for is gone: no such file, the process ended under the reading
/// (`ESRCH`), the cgroup was removed under it (`ENODEV`).
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH | Errno::NODEV)
}

/// A result as a fact: gone is Absent, any other failure Unknown with its call.
pub(super) fn fact<T>(result: rustix::io::Result<T>, call: &str, args: impl Display) -> Fact<T> {
    match result {
        Ok(value) => Fact::Known(value),
        Err(errno) if is_gone(errno) => Fact::Absent,
        Err(errno) => unknown(errno, call, args),
    }
}

/// Unknown, because this call failed.
pub(super) fn unknown<T>(errno: Errno, call: &str, args: impl Display) -> Fact<T> {
    Fact::Unknown(format!("{call}({args}): {}", std::io::Error::from(errno)))
}

/// Opens a directory below another one, not through a link.
pub(super) fn open_dir(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// Opens a directory by its path.
pub(super) fn open_path(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads a file of one record (`stat`, `cgroup.events`): one read(2) gives all of it.
pub(super) fn record<'b>(buffer: &'b mut Vec<u8>, at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<&'b [u8]> {
    let file = openat(at, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    buffer.clear();
    chunk(buffer, file.as_fd())?;
    Ok(buffer)
}

/// Reads a file of many records (`cgroup.procs`, `mountinfo`) to its end.
pub(super) fn whole<'b>(buffer: &'b mut Vec<u8>, at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<&'b [u8]> {
    let file = openat(at, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    buffer.clear();
    while chunk(buffer, file.as_fd())? > 0 {}
    Ok(buffer)
}

/// The same of a path.
pub(super) fn file(path: &str) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    whole(&mut buffer, rustix::fs::CWD, path)?;
    Ok(buffer)
}

fn chunk(buffer: &mut Vec<u8>, file: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    buffer.reserve(CHUNK);
    retry_on_intr(|| rustix::io::read(file, rustix::buffer::spare_capacity(buffer)))
}

/// Calls `each` with the name of every subdirectory, and with none for a name that is not UTF-8.
pub(super) fn subdirectories(dir: BorrowedFd<'_>, mut each: impl FnMut(Option<&str>)) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if entry.file_type() == FileType::Directory && !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            each(entry.file_name().to_str().ok());
        }
    }
    Ok(())
}

/// A decimal number at the start of `text`.
pub(super) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

/// The numbers of a file that lists one on each line or between spaces.
pub(super) fn numbers(text: &[u8]) -> impl Iterator<Item = i32> {
    text.split(|b| b.is_ascii_whitespace()).filter_map(number)
}

/// The value behind `key` and blanks in a file of "KEY VALUE" lines.
pub(super) fn value<'t>(text: &'t [u8], key: &str) -> Option<&'t [u8]> {
    text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(key.as_bytes())).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_values() {
        assert_eq!(numbers(b"12\n7 9\n\n").collect::<Vec<_>>(), [12, 7, 9]);
        assert_eq!(number::<u64>(b"18446744073709551615 x"), Some(u64::MAX));
        assert_eq!(number::<i32>(b"99999999999"), None);
        assert_eq!(value(b"populated 1\nfrozen 0\n", "frozen"), Some(&b"0"[..]));
        assert_eq!(value(b"populated 1\n", "frozen"), None);
    }

    #[test]
    fn what_is_gone_is_absent_and_the_rest_unknown() {
        assert_eq!(fact::<()>(Err(Errno::SRCH), "read", "x"), Fact::Absent);
        let Fact::Unknown(why) = fact::<()>(Err(Errno::IO), "read", "x") else { panic!() };
        assert!(why.starts_with("read(x): Input/output error"), "{why}");
    }
}

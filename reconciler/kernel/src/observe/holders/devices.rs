//! What the kernel itself holds of a zone's file systems: loop devices made of its files, swap on them, and FUSE
//! connections whose server does not answer. None of these has a process that could be named for certain.

use super::guard::{Job, run};
use super::mounts::Mount;
use super::processes::{Marks, location};
use super::{Evidence, EvidenceKind};
use crate::observe::host::unescape;
use crate::observe::read::{is_gone, number, record};
use crate::sys;
use rustix::fd::AsFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// A loop device with a backing file.
#[derive(Debug, Clone)]
struct Loop {
    /// `/dev/loop3`.
    path: String,
    /// Its own device number.
    device: u64,
    /// st_dev of its backing file.
    backing: u64,
    /// Path of that file as whoever set the loop up saw it.
    file: Option<String>,
}

/// Loop devices whose backing file is on one of the superblocks, directly or on a loop device that is; their device
/// numbers are added to the marks, as what is mounted from them holds the zone as well.
pub(super) fn loops(marks: &mut Marks, until: Instant, unread: &mut Vec<String>) -> Vec<Evidence> {
    let names = match std::fs::read_dir("/sys/block") {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()),
        Err(error) => {
            unread.push(format!("getdents64(/sys/block): {error}"));
            return Vec::new();
        }
    };
    let bound = names.filter(|name| {
        name.starts_with("loop") && Path::new("/sys/block").join(name).join("loop/backing_file").exists()
    });
    // The driver asks the file system of the backing file, whose server may be dead.
    let jobs =
        bound.map(|name| Job { what: format!("/dev/{name}"), work: Box::new(move || read_loop(&name)) }).collect();
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    run(jobs, until, unread, |result: Result<Option<Loop>, String>| match result {
        Ok(found) => all.extend(found),
        Err(why) => errors.push(why),
    });
    unread.append(&mut errors);
    let mut found = Vec::new();
    while let Some(at) = all.iter().position(|one| marks.devices.contains(&one.backing)) {
        let one = all.swap_remove(at);
        marks.devices.insert(one.device);
        if marks.live.contains(&one.backing) {
            marks.live.insert(one.device);
        }
        found.push(Evidence { kind: EvidenceKind::LoopDevice, object: one.path, path: one.file, holder: None });
    }
    found
}

fn read_loop(name: &str) -> Result<Option<Loop>, String> {
    let path = format!("/dev/{name}");
    let read = || -> rustix::io::Result<Loop> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let device = rustix::fs::open(&path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&device)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
            return Err(Errno::NOTBLK);
        }
        let backing = sys::loop_backing_device(device.as_fd())?;
        let file = std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok();
        let file = file.map(|text| text.trim_end_matches('\n').to_owned());
        Ok(Loop { path: path.clone(), device: stat.st_rdev, backing, file })
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        // Detached meanwhile.
        Err(Errno::NXIO) => Ok(None),
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => Err(format!("ioctl({path}, LOOP_GET_STATUS64): {}", std::io::Error::from(errno))),
    }
}

/// Swap areas on the zone's superblocks or on loop devices of its files.
pub(super) fn swaps(devices: &BTreeSet<u64>, until: Instant, unread: &mut Vec<String>) -> Vec<Evidence> {
    let text = match std::fs::read("/proc/swaps") {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            unread.push(format!("read(/proc/swaps): {error}"));
            return Vec::new();
        }
    };
    let areas = text.split(|&b| b == b'\n').skip(1).filter_map(|line| line.split(|&b| b == b' ').next());
    let areas =
        areas.map(|area| String::from_utf8_lossy(&unescape(area)).into_owned()).filter(|area| area.starts_with('/'));
    let jobs =
        areas.map(|area| Job { what: format!("swap {area}"), work: Box::new(move || swap_device(area)) }).collect();
    let mut found = Vec::new();
    run(jobs, until, unread, |(area, of): (String, Vec<u64>)| {
        if of.iter().any(|device| devices.contains(device)) {
            let object = format!("swap {area}");
            found.push(Evidence { kind: EvidenceKind::Swap, object, path: Some(area), holder: None });
        }
    });
    found
}

/// The superblock that a swap area is on, and the device that it is.
fn swap_device(area: String) -> (String, Vec<u64>) {
    let mut of: Vec<u64> = location(CWD, &area).ok().map(|(_, device)| device).into_iter().collect();
    of.extend(rustix::fs::stat(&area).ok().map(|stat| stat.st_rdev).filter(|&device| device != 0));
    (area, of)
}

/// A FUSE connection as evidence names it.
pub(super) fn fuse_object(connection: u32) -> String {
    format!("/sys/fs/fuse/connections/{connection}")
}

/// FUSE connections among these mounts that have requests waiting, each with a place where it is mounted. The control
/// file system is mounted for this look alone and nowhere, as the host may not have it mounted.
pub(super) fn waiting_fuse<'m>(
    mounts: impl Iterator<Item = &'m Mount>,
    unread: &mut Vec<String>,
) -> BTreeMap<u32, String> {
    let fuse = |mount: &&Mount| mount.kind == "fuse" || mount.kind == "fuseblk" || mount.kind.starts_with("fuse.");
    let places: BTreeMap<u32, &str> =
        mounts.filter(fuse).map(|mount| (rustix::fs::minor(mount.device), mount.point.as_str())).collect();
    if places.is_empty() {
        return BTreeMap::new();
    }
    let control = match crate::mount::create("fusectl", &[], 0) {
        Ok(control) => control,
        Err(error) => {
            unread.push(error.to_string());
            return BTreeMap::new();
        }
    };
    let mut buffer = Vec::new();
    let mut waiting = BTreeMap::new();
    for (connection, point) in places {
        match record(&mut buffer, control.as_fd(), &format!("{connection}/waiting")) {
            Ok(text) if number::<u64>(text).unwrap_or(0) > 0 => drop(waiting.insert(connection, point.to_owned())),
            Ok(_) => {}
            Err(errno) if is_gone(errno) => {}
            Err(errno) => {
                unread.push(format!("read({}/waiting): {}", fuse_object(connection), std::io::Error::from(errno)));
            }
        }
    }
    waiting
}

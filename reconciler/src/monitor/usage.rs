//! What zones and the controller use, read for scrapes from files of the kernel, at most once a second. A file that is not there
//! (a host without that controller) is not told of.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reeve_state::metrics::{Process, Usage};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::places::Places;

/// How long the zones' files may take; zones that are not read by then are left out.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was read is good enough. The kernel sums up a cgroup's numbers when they are read, which walks wait for that make
/// and remove cgroups.
const FRESH: Duration = Duration::from_secs(1);
/// How many zones are read at a time; as long as that took, the kernel's locks and the processor are then left to others.
const AT_ONCE: usize = 25;
/// More than any of the files has.
const FILE_MAX: usize = 4096;
/// What zones may wait for.
const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];

/// What zones use.
#[derive(Debug, Default)]
pub struct Zones {
    /// By name.
    pub used: BTreeMap<String, Usage>,
    /// Zones that could not be read in time.
    pub skipped: u64,
}

/// What was read last.
#[derive(Debug, Default)]
pub struct Reader(Mutex<Option<(Instant, Arc<Zones>)>>);

impl Reader {
    /// What these zones use, or did within the last second. Reads files of the kernel, for a bounded time.
    pub fn zones<'z>(&self, places: &Places, zones: impl Iterator<Item = &'z String>) -> Arc<Zones> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((read, zones)) if read.elapsed() < FRESH => Arc::clone(zones),
            _ => {
                let zones = Arc::new(read(places, zones));
                *kept = Some((Instant::now(), Arc::clone(&zones)));
                zones
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a pause for others, not a wait for anything")]
fn read<'z>(places: &Places, zones: impl Iterator<Item = &'z String>) -> Zones {
    let until = Instant::now() + PATIENCE;
    let (mut found, mut begun) = (Zones::default(), Instant::now());
    for (number, zone) in zones.enumerate() {
        if Instant::now() >= until {
            found.skipped += 1;
            continue;
        }
        if number % AT_ONCE == AT_ONCE - 1 {
            std::thread::sleep(begun.elapsed());
            begun = Instant::now();
        }
        if let Ok(cgroup) = places.zone_cgroup(zone) {
            found.used.insert(zone.clone(), usage(&cgroup));
        }
    }
    found
}

fn usage(cgroup: &Path) -> Usage {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let Ok(folder) = openat(CWD, cgroup, flags, Mode::empty()) else { return Usage::default() };
    let mut buffer = [0; FILE_MAX];
    let mut file = |name: &str| text(&folder, name, &mut buffer).map(str::to_owned);
    let cpu = file("cpu.stat");
    let micros = |key: &str| keyed(cpu.as_deref()?, key).map(super::board::micros);
    let waits = |resource: &'static str| Some((resource, waited(&file(&format!("{resource}.pressure"))?)?));
    let waited_seconds = RESOURCES.into_iter().filter_map(waits).collect();
    let mut number = |name: &str| file(name).and_then(|text| text.trim().parse().ok());
    Usage {
        cpu_seconds: micros("user_usec").zip(micros("system_usec")),
        throttled_seconds: micros("throttled_usec"),
        memory_bytes: number("memory.current"),
        memory_limit_bytes: number("memory.max"),
        tasks: number("pids.current"),
        oom_kills: file("memory.events").and_then(|text| keyed(&text, "oom_kill")),
        waited_seconds,
    }
}

/// A file of a folder, in one read: the kernel tells one of these whole.
fn text<'b>(folder: &OwnedFd, name: &str, buffer: &'b mut [u8; FILE_MAX]) -> Option<&'b str> {
    let file = openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, buffer.as_mut_slice()).ok()?;
    std::str::from_utf8(buffer.get(..length)?).ok()
}

/// The number behind a key, one on each line.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Seconds in which some task waited: `some avg10=0.00 avg60=0.00 avg300=0.00 total=MICROSECONDS`.
fn waited(text: &str) -> Option<f64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split("total=").nth(1)?.trim().parse().ok().map(super::board::micros)
}

/// What the controller itself uses; none where /proc does not tell.
pub fn process() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // What comes after the name, which may have anything in it; the first is field 3 of proc(5).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let boot = keyed(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    Some(Process {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
        resident_bytes: field(24)? * rustix::param::page_size() as u64,
        open_descriptors: fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64).unwrap_or_default(),
        start_seconds: boot as f64 + field(22)? as f64 / ticks,
        skipped_zones: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(usage(folder.path()), Usage::default());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("write");
        write("cpu.stat", "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nthrottled_usec 250000\n");
        write("memory.current", "4096\n");
        write("memory.max", "max\n");
        write("memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
        write("pids.current", "7\n");
        write("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0 total=9\n");
        let expected = Usage {
            cpu_seconds: Some((2.5, 1.0)),
            throttled_seconds: Some(0.25),
            memory_bytes: Some(4096),
            memory_limit_bytes: None,
            oom_kills: Some(1),
            tasks: Some(7),
            waited_seconds: vec![("cpu", 1.5)],
        };
        assert_eq!(usage(folder.path()), expected);
    }

    #[test]
    fn the_controller_knows_itself() {
        let process = process().expect("/proc");
        assert!(process.resident_bytes > 100_000 && process.open_descriptors > 2, "{process:?}");
        let age = crate::store::now().0 as f64 / 1000.0 - process.start_seconds;
        assert!((-2.0..86_400.0).contains(&age), "{process:?}");
    }
}

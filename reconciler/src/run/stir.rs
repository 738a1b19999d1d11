//! Being told that what holds a halt may have let go, so that it is tried again at once and not when its time comes: the
//! holder ended (pidfd), the zone's cgroups changed (`cgroup.events`), a mount table changed (mountinfo), or what was
//! found is seen not to be so any more. The last has no event (a file that is closed, a folder that is left), so it is
//! looked at twice a second: a few links in /proc, for a zone that is stuck and no other.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::{Duration, Instant};

use EvidenceKind::{
    Cwd, Executable, LoopDevice, Mount, NamespaceDescriptor, NamespaceFile, NamespaceMember, OpenFile, Root,
};
use reeve_kernel::observe::start_time;
use reeve_state::halt::{Evidence, EvidenceKind, HaltStatus, Holder};
use rustix::process::{Pid, PidfdFlags};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::ear::Ear;
use super::happening::Happening;

/// How often evidence is looked at again.
const LOOK: Duration = Duration::from_millis(500);
/// A halt is not tried more often than this, whatever happens.
const APART: Duration = Duration::from_secs(1);
/// The most processes that are waited for, for one zone.
const ENDS: usize = 16;
/// The most files that are waited on, for one zone.
const FILES: usize = 32;

/// Ends the watch when it is dropped.
#[derive(Debug)]
pub struct Stir(AbortHandle);

impl Drop for Stir {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Watches what holds the halt of a zone that was tried just now, and tells once when that may have changed. `cgroup` is
/// the zone's.
pub fn watch(zone: &str, halt: &HaltStatus, cgroup: PathBuf, tell: UnboundedSender<Happening>) -> Stir {
    let (zone, evidence, tried) = (zone.to_owned(), halt.evidence.clone(), Instant::now());
    let task = tokio::spawn(async move {
        stirred(evidence, cgroup).await;
        tokio::time::sleep_until((tried + APART).into()).await;
        // Nobody there to tell: the engine is at its end.
        let _ = tell.send(Happening::Stirred { zone });
    });
    Stir(task.abort_handle())
}

/// Returns when something changed. All descriptors are closed by then: an open mountinfo keeps its mount namespace.
async fn stirred(evidence: Vec<Evidence>, cgroup: PathBuf) {
    let found = evidence.clone();
    let opened = tokio::task::spawn_blocking(move || open(&found, &cgroup)).await;
    let Ok(Some((ends, files))) = opened else { return };
    let ears: Vec<Ear> = ends.iter().filter_map(Ear::new).chain(files.iter().filter_map(Ear::urgent)).collect();
    drop((ends, files));
    let held = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let again = evidence.clone();
            let look = tokio::task::spawn_blocking(move || again.iter().all(is_held));
            if !look.await.unwrap_or(true) {
                return;
            }
        }
    };
    tokio::select! {
        () = any(&ears) => {}
        () = held => {}
    }
}

/// Returns when one of them hears something.
async fn any(ears: &[Ear]) {
    let mut waiting: Vec<_> = ears.iter().map(|ear| Box::pin(Ear::heard(Some(ear)))).collect();
    std::future::poll_fn(|context| {
        let heard = waiting.iter_mut().any(|one| one.as_mut().poll(context).is_ready());
        if heard { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Opens what tells of a change: processes that may end, and files that may change. None where something has changed
/// already.
fn open(evidence: &[Evidence], cgroup: &Path) -> Option<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let mut ends = Vec::new();
    let holders: BTreeMap<i32, u64> = evidence
        .iter()
        .filter_map(|found| found.holder.as_ref())
        .map(|holder| (holder.pid, holder.start_time))
        .collect();
    for (&pid, &started) in holders.iter().take(ENDS) {
        let pidfd = Pid::from_raw(pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // Looked at after the descriptor was opened: it is this process and no later one of the same number.
        if start_time(pid) != Some(started) {
            return None;
        }
        ends.extend(pidfd);
    }
    let mut paths = vec![PathBuf::from("/proc/self/mountinfo"), cgroup.join("cgroup.events")];
    let leaves = fs::read_dir(cgroup).into_iter().flatten().flatten();
    paths.extend(leaves.map(|leaf| leaf.path().join("cgroup.events")).filter(|path| path.exists()));
    let tables = evidence.iter().filter(|found| matches!(found.kind, Mount | NamespaceFile));
    paths.extend(tables.filter_map(|found| found.holder.as_ref()).map(|holder| mountinfo(Some(holder))));
    paths.sort();
    paths.dedup();
    let files = paths.iter().take(FILES).filter_map(|path| opened(path)).collect();
    evidence.iter().all(is_held).then_some((ends, files))
}

/// Opens a file of the kernel's that tells of changes, and reads it: what changes from now on is told.
fn opened(path: &Path) -> Option<OwnedFd> {
    let mut file = fs::File::open(path).ok()?;
    std::io::copy(&mut file, &mut std::io::sink()).ok()?;
    Some(file.into())
}

fn mountinfo(holder: Option<&Holder>) -> PathBuf {
    holder.map_or_else(|| "/proc/self/mountinfo".into(), |holder| format!("/proc/{}/mountinfo", holder.pid).into())
}

/// Whether evidence still is as it was found. What cannot be told by reading a link or a table counts as held.
fn is_held(found: &Evidence) -> bool {
    let shows = |pid: i32, name: &str, what: &str| {
        fs::read_link(format!("/proc/{pid}/{name}")).is_ok_and(|link| link.to_string_lossy() == what)
    };
    let any_of = |pid: i32, folder: &str, what: &str| {
        let links = fs::read_dir(format!("/proc/{pid}/{folder}")).into_iter().flatten().flatten();
        links.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy() == what))
    };
    let object = found.object.as_str();
    match (found.kind, &found.holder, found.path.as_deref()) {
        // The threads of a process have each their own; the first one stands for them where it was the one.
        (Cwd, Some(holder), Some(path)) => any_thread(holder.pid, |tid| shows(tid, "cwd", path)),
        (Root, Some(holder), Some(path)) => any_thread(holder.pid, |tid| shows(tid, "root", path)),
        (Executable, Some(holder), Some(path)) => shows(holder.pid, "exe", path),
        (OpenFile, Some(holder), Some(path)) => any_thread(holder.pid, |tid| any_of(tid, "fd", path)),
        (NamespaceDescriptor, Some(holder), _) => any_thread(holder.pid, |tid| any_of(tid, "fd", object)),
        (NamespaceMember, Some(holder), _) => any_thread(holder.pid, |tid| any_of(tid, "ns", object)),
        (Mount | NamespaceFile, holder, _) => {
            let table = fs::read(mountinfo(holder.as_ref())).unwrap_or_default();
            let number = object.split(' ').nth(1).unwrap_or(object);
            String::from_utf8_lossy(&table).split(' ').any(|field| field == number)
        }
        (LoopDevice, ..) => {
            let name = object.trim_start_matches("/dev/");
            Path::new("/sys/block").join(name).join("loop/backing_file").exists()
        }
        _ => true,
    }
}

fn any_thread(pid: i32, holds: impl Fn(i32) -> bool) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.take(64).filter_map(|entry| entry.file_name().to_str()?.parse().ok()).any(holds)
}

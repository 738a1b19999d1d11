//! Being told that something of a zone's platform may have changed, so that drift is found at once and not by the next resync. What
//! tells of it: the kernel's events about links, addresses and routes of every namespace (one socket), a poll on the host names
//! of all UTS namespaces (one file), inotify on cgroups, folders and /dev (one descriptor, some watches for each zone), a poll on the
//! mount tables of zsched and init (three descriptors for each zone), and programs that are executed on the host (one socket).
//!
//! An open mount table keeps its namespace. So those are closed as soon as anything is seen there, or init ends, or the zone is
//! walked, and opened again when the zone is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::task::Poll;

use reeve_kernel::netlink::{NamespaceEvents, Rtnl};
use reeve_kernel::observe::executions::Executions;
use reeve_kernel::observe::platform::open_dev;
use reeve_kernel::observe::strangers;
use reeve_state::ZoneFacts;
use reeve_state::observed::Who;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::process::{Pid, PidfdFlags, Resource};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::ear::Ear;
use super::happening::Happening;
use crate::observe::closer;
use crate::places::Places;

/// How long zoneadmd has to tell how init ended before the sentinel has the zone looked at: whoever plans before that plans twice.
const AFTER_INIT: std::time::Duration = std::time::Duration::from_millis(250);
/// Descriptors that watching one zone takes.
const DESCRIPTORS: u64 = 3;
/// Files of a cgroup whose writing is drift; the zone's own work writes others all the time.
const CGROUP_FILES: [&str; 6] = ["cgroup.freeze", "cgroup.procs", "cpu.max", "cpu.weight", "memory.max", "pids.max"];

/// What a watch of inotify is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Cgroup,
    Folder,
}

/// The watches of one zone.
#[derive(Debug)]
struct Post {
    mounts: AbortHandle,
    watches: Vec<i32>,
    namespace: Option<i32>,
    inodes: Vec<u64>,
}

/// What changed.
#[derive(Debug)]
pub enum Noticed {
    /// Something of these zones may have.
    Zones(BTreeSet<String>),
    /// A host name did, of some zone.
    Hostname,
    /// These processes are at work in zones that they are not of.
    Entered(Vec<(String, Who)>),
    /// Events were lost: anything may have.
    All,
}

/// Watches zones.
pub struct Sentinel {
    places: Places,
    tell: UnboundedSender<Happening>,
    posts: BTreeMap<String, Post>,
    on: BTreeMap<i32, (String, On)>,
    by_namespace: BTreeMap<i32, String>,
    by_inode: BTreeMap<u64, (String, &'static str)>,
    inotify: Option<(OwnedFd, Ear)>,
    namespaces: Option<(NamespaceEvents, Ear)>,
    hostname: Option<(File, Ear)>,
    executions: Option<(Executions, Ear)>,
    rtnl: Option<Rtnl>,
    /// That there is no room for more was told.
    told: bool,
}

impl Sentinel {
    /// Opens what tells of all zones. What cannot be had is told once; then the resync sees what changed.
    pub fn open(places: &Places, tell: UnboundedSender<Happening>) -> Self {
        fn had<T, E: std::fmt::Display>(what: &str, opened: Result<T, E>) -> Option<T> {
            opened
                .map_err(|error| tracing::warn!("no events about {what}, drift there is found by the resync: {error}"))
                .ok()
        }
        let inotify = had("files", inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK));
        let namespaces = had("links inside zones", NamespaceEvents::open());
        let hostname = had("host names", File::open("/proc/sys/kernel/hostname"));
        let executions = had("processes that enter zones", Executions::open());
        Self {
            places: places.clone(),
            tell,
            posts: BTreeMap::new(),
            on: BTreeMap::new(),
            by_namespace: BTreeMap::new(),
            by_inode: BTreeMap::new(),
            inotify: inotify.and_then(|fd| Ear::new(&fd).map(|ear| (fd, ear))),
            namespaces: namespaces.and_then(|events| Ear::new(&events).map(|ear| (events, ear))),
            hostname: hostname.and_then(|file| Ear::urgent(&file).map(|ear| (file, ear))),
            executions: executions.and_then(|events| Ear::new(&events).map(|ear| (events, ear))),
            rtnl: Rtnl::open().ok(),
            told: false,
        }
    }

    /// Whether a zone is watched.
    pub fn watches(&self, zone: &str) -> bool {
        self.posts.contains_key(zone)
    }

    /// Watches a zone that is up. What changes from now on is told; false where there is no room for it.
    pub fn post(&mut self, facts: &ZoneFacts) -> bool {
        let Some(zsched) = facts.zsched.known() else { return false };
        if self.is_full() {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    "no descriptors left to watch more zones: of those, drift of mounts is found by the resync; raise LimitNOFILE"
                );
            }
            return false;
        }
        let zone = &facts.name;
        let init = facts.init.known().map(|init| init.pid);
        let mounts = mounts(zone, zsched.pid, init, self.tell.clone());
        let links = facts.links.known().map(Vec::as_slice).unwrap_or_default();
        let number = |rtnl: &mut Rtnl| {
            links.iter().find_map(|link| rtnl.link_by_name(&link.host_name).ok().flatten()?.link_netnsid)
        };
        let namespace = self.rtnl.as_mut().and_then(number);
        let known = facts.namespaces.known();
        let mut inodes: Vec<(u64, &'static str)> =
            ["mnt", "net", "pid"].into_iter().filter_map(|kind| Some((*known?.get(kind)?, kind))).collect();
        if let Some(init) = init {
            let of = |kind: &'static str| Some((strangers::namespace_number(&init.to_string(), kind)?, kind));
            inodes.extend(["mnt", "pid"].into_iter().filter_map(of));
        }
        self.by_namespace.extend(namespace.map(|number| (number, zone.clone())));
        self.by_inode.extend(inodes.iter().map(|(inode, kind)| (*inode, (zone.clone(), *kind))));
        let watches = self.watch(facts, zsched.pid);
        let inodes = inodes.into_iter().map(|(inode, _)| inode).collect();
        self.posts.insert(zone.clone(), Post { mounts, watches, namespace, inodes });
        true
    }

    /// Stops watching a zone, and closes what was opened of it.
    pub fn withdraw(&mut self, zone: &str) {
        let Some(post) = self.posts.remove(zone) else { return };
        post.mounts.abort();
        for watch in post.watches {
            self.on.remove(&watch);
            if let Some((inotify, _)) = &self.inotify {
                let _ = inotify::remove_watch(inotify, watch);
            }
        }
        if let Some(number) = post.namespace {
            self.by_namespace.remove(&number);
        }
        post.inodes.iter().for_each(|inode| drop(self.by_inode.remove(inode)));
    }

    /// A quarter of the descriptors that this process may have are for this; witnesses of quiet zones have half.
    fn is_full(&self) -> bool {
        let limit = rustix::process::getrlimit(Resource::Nofile).current;
        limit.is_some_and(|limit| (self.posts.len() as u64 + 1) * DESCRIPTORS > limit / 4)
    }

    fn watch(&mut self, facts: &ZoneFacts, zsched: i32) -> Vec<i32> {
        let Some((inotify, _)) = &self.inotify else { return Vec::new() };
        let written = WatchFlags::MODIFY;
        let entries = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let whole = entries | WatchFlags::ATTRIB | WatchFlags::MODIFY;
        let own = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        let mut wanted: Vec<(std::path::PathBuf, WatchFlags, On)> = Vec::new();
        if let Ok(cgroup) = self.places.zone_cgroup(&facts.name) {
            let leaf = facts.environment.map(|number| cgroup.join(format!("env.{number}")));
            let all = [Some(cgroup.join("zsched")), leaf, Some(cgroup)].into_iter().flatten();
            wanted.extend(all.map(|path| (path, written, On::Cgroup)));
        }
        if let Some(zonepath) = facts.zonepath.as_deref().map(Path::new) {
            wanted.push((zonepath.to_owned(), own, On::Folder));
            wanted.push((zonepath.join("root"), own, On::Folder));
        }
        wanted.push((self.places.zone_state(&facts.name), whole, On::Folder));
        wanted.push((self.places.zone_run(&facts.name), WatchFlags::ATTRIB, On::Folder));
        // By descriptor: the path is the zone's to change.
        let dev = open_dev(zsched).ok();
        if let Some(dev) = &dev {
            let path = format!("/proc/self/fd/{}", dev.as_raw_fd());
            wanted.push((path.into(), entries | WatchFlags::ATTRIB, On::Folder));
        }
        let mut watches = Vec::new();
        for (path, flags, on) in wanted {
            match inotify::add_watch(inotify, &path, flags) {
                Ok(watch) => {
                    self.on.insert(watch, (facts.name.clone(), on));
                    watches.push(watch);
                }
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) if !std::mem::replace(&mut self.told, true) => tracing::warn!(
                    "inotify_add_watch({}): {errno}; drift there is found by the resync (fs.inotify.max_user_watches)",
                    path.display()
                ),
                Err(_) => {}
            }
        }
        watches
    }

    /// Returns when something changed.
    pub async fn noticed(&mut self) -> Noticed {
        loop {
            let which = {
                let ears = [
                    self.inotify.as_ref().map(|(_, ear)| ear),
                    self.namespaces.as_ref().map(|(_, ear)| ear),
                    self.hostname.as_ref().map(|(_, ear)| ear),
                    self.executions.as_ref().map(|(_, ear)| ear),
                ];
                first(ears).await
            };
            let noticed = match which {
                0 => self.files(),
                1 => self.links(),
                2 => Some(Noticed::Hostname),
                _ => self.executed(),
            };
            if let Some(noticed) = noticed {
                return noticed;
            }
        }
    }

    fn files(&mut self) -> Option<Noticed> {
        let (inotify, _) = self.inotify.as_ref()?;
        let mut space = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(inotify, &mut space);
        let mut zones = BTreeSet::new();
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                return Some(Noticed::All);
            }
            let Some((zone, on)) = self.on.get(&event.wd()) else { continue };
            let name = event.file_name().and_then(|name| name.to_str().ok());
            let counts = match on {
                On::Cgroup => name.is_some_and(|name| CGROUP_FILES.contains(&name)),
                // What is renamed into place has another name first.
                On::Folder => !name.is_some_and(|name| name.starts_with('.') || name.ends_with(".new")),
            };
            if counts {
                zones.insert(zone.clone());
            }
        }
        (!zones.is_empty()).then_some(Noticed::Zones(zones))
    }

    fn links(&mut self) -> Option<Noticed> {
        let (events, _) = self.namespaces.as_mut()?;
        let Some(numbers) = events.drain() else { return Some(Noticed::All) };
        let zones: BTreeSet<String> =
            numbers.iter().filter_map(|number| self.by_namespace.get(number)).cloned().collect();
        (!zones.is_empty()).then_some(Noticed::Zones(zones))
    }

    fn executed(&mut self) -> Option<Noticed> {
        let (events, _) = self.executions.as_mut()?;
        // What was lost is found by the resync.
        let pids = events.drain()?;
        let (own, parent) = (std::process::id() as i32, format!("/{}/", self.places.cgroup()));
        let mut entered = Vec::new();
        for pid in pids.into_iter().filter(|pid| *pid != own) {
            let Some((zone, inside)) = strangers::entered(pid, &self.by_inode, &parent) else { continue };
            entered.extend(strangers::describe(pid, inside).map(|stranger| (zone, closer::who(stranger))));
        }
        (!entered.is_empty()).then_some(Noticed::Entered(entered))
    }
}

/// What a sentinel notices; never, without one.
pub async fn noticed(sentinel: &mut Option<Sentinel>) -> Noticed {
    match sentinel {
        Some(sentinel) => sentinel.noticed().await,
        None => std::future::pending().await,
    }
}

/// Which of them is heard first.
async fn first(ears: [Option<&Ear>; 4]) -> usize {
    let mut waiting: Vec<_> = ears.into_iter().map(|ear| Box::pin(Ear::heard(ear))).collect();
    std::future::poll_fn(|context| {
        let heard = waiting.iter_mut().position(|one| one.as_mut().poll(context).is_ready());
        heard.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Waits until a mount table of the zone changes or init ends, closes what it opened, and tells.
fn mounts(zone: &str, zsched: i32, init: Option<i32>, tell: UnboundedSender<Happening>) -> AbortHandle {
    let zone = zone.to_owned();
    let table = |pid: i32| File::open(format!("/proc/{pid}/mountinfo")).ok();
    let mut ears: Vec<Ear> =
        [table(zsched), init.and_then(table)].into_iter().flatten().filter_map(|file| Ear::urgent(&file)).collect();
    let ended = init.and_then(Pid::from_raw).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    ears.extend(ended.and_then(|pidfd| Ear::new(&pidfd)));
    let task = tokio::spawn(async move {
        if ears.is_empty() {
            return;
        }
        {
            let mut waiting: Vec<_> = ears.iter().map(|ear| Box::pin(Ear::heard(Some(ear)))).collect();
            std::future::poll_fn(|context| {
                let heard = waiting.iter_mut().any(|one| one.as_mut().poll(context).is_ready());
                if heard { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        drop(ears);
        // How init ended is for zoneadmd to tell, which takes it down first.
        if init.is_some_and(|init| strangers::namespace_number(&init.to_string(), "mnt").is_none()) {
            tokio::time::sleep(AFTER_INIT).await;
        }
        let _ = tell.send(Happening::Stale { zone });
    });
    task.abort_handle()
}

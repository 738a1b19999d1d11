//! Reading zones from the real kernel, as root: each test has a cgroup, folders and processes of its own, and takes them
//! away whatever happens. Times are printed (`--nocapture`), never asserted.
#![forbid(unsafe_code)]

use reeve_kernel::netlink::{Rtnl, Veth};
use reeve_kernel::observe::{CgroupEvent, CgroupEvents, Detail, Fact, Hints, Observer, Part, Places, ZoneObservation};
use reeve_kernel::sys;
use rustix::fd::AsFd;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static BEDS: AtomicU32 = AtomicU32::new(0);

/// A cgroup and folders of a test, and the processes that it started.
struct Bed {
    cgroup: PathBuf,
    folder: PathBuf,
    children: Vec<Child>,
}

impl Bed {
    /// None without root or cgroup v2: then there is nothing to test with.
    fn new() -> Option<Self> {
        let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find(|mount| Path::new(mount).join("cgroup.controllers").exists());
        let (true, Some(mount)) = (rustix::process::geteuid().is_root(), mount) else {
            eprintln!("skipped: needs root and cgroup v2");
            return None;
        };
        let name = format!("reeve-test-{}-{}", std::process::id(), BEDS.fetch_add(1, Ordering::Relaxed));
        let bed = Self {
            cgroup: Path::new(mount).join(&name),
            folder: std::env::temp_dir().join(&name),
            children: Vec::new(),
        };
        fs::create_dir(&bed.cgroup).unwrap();
        for below in ["run/zones", "state/zones", "state/zonepaths"] {
            fs::create_dir_all(bed.folder.join(below)).unwrap();
        }
        Some(bed)
    }

    fn places(&self) -> Places {
        Places {
            cgroup_root: self.cgroup.clone(),
            tag: "abcd".to_owned(),
            run_dir: self.folder.join("run"),
            state_dir: self.folder.join("state"),
            zonepaths: BTreeMap::new(),
        }
    }

    fn observer(&self) -> Observer {
        Observer::new(self.places()).unwrap()
    }

    fn leaf(&self, name: &str) -> PathBuf {
        let leaf = self.cgroup.join(name);
        fs::create_dir_all(&leaf).unwrap();
        leaf
    }

    /// The files of an installed zone.
    fn install(&self, zone: &str) {
        let state = self.folder.join("state/zones").join(zone);
        fs::create_dir(&state).unwrap();
        fs::write(state.join("zone.json"), "{}").unwrap();
        fs::write(state.join("installed.json"), "{}").unwrap();
        fs::create_dir_all(self.folder.join("state/zonepaths").join(zone).join("root")).unwrap();
    }

    /// Starts a process that goes into a leaf and becomes `then`.
    fn start(&mut self, leaf: &Path, then: &str) -> i32 {
        let script = format!("echo 0 > {}/cgroup.procs && exec {then}", leaf.display());
        let child = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.children.push(child);
        pid
    }

    /// A zone as the kernel shows one: a PID 1 of an outer PID namespace, whose child is the PID 1 of an inner one in
    /// `env.1`, doing `payload`.
    fn boot(&mut self, zone: &str, payload: &str) -> ZoneObservation {
        let zsched = self.leaf(&format!("zone.{zone}/zsched"));
        let env = self.leaf(&format!("zone.{zone}/env.1"));
        let init = format!("sh -c 'echo 0 > {}/cgroup.procs; {payload}'", env.display());
        let inner = format!("unshare -p --fork --kill-child {init}");
        let starter = self.start(&zsched, &format!("unshare -p -m -n -u -i --fork --kill-child {inner}"));
        let mut observer = self.observer();
        let mut seen = ZoneObservation::default();
        wait("init", || {
            seen = observer.observe_zone(zone, &Hints::default(), Detail::Quick);
            seen.init.known().is_some() && seen.zsched.known().is_some()
        });
        // What is left in its leaf is zsched alone.
        fs::write(self.cgroup.join("cgroup.procs"), starter.to_string()).unwrap();
        seen
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let empty = || fs::read_to_string(self.cgroup.join("cgroup.events")).is_ok_and(|t| t.contains("populated 0"));
        let began = Instant::now();
        while !empty() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
        }
        remove_cgroup(&self.cgroup);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn known<T: Clone + std::fmt::Debug>(fact: &Fact<T>) -> T {
    fact.known().unwrap_or_else(|| panic!("{fact:?}")).clone()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn nothing_is_absent_and_complete() {
    let Some(bed) = Bed::new() else { return };
    let mut places = bed.places();
    let seen = reeve_kernel::observe::observe(&places).unwrap();
    assert!(seen.zones.is_empty(), "{seen:?}");
    assert_eq!((seen.complete.clone(), known(&seen.boot_id).len()), (Fact::Known(()), 36));
    assert!(seen.zone("web").cgroup.is_absent() && seen.zone("web").init.is_absent());

    places.cgroup_root = bed.cgroup.join("not-yet");
    let seen = reeve_kernel::observe::observe(&places).unwrap();
    assert!(seen.zone("web").zsched.is_absent());

    // A root that cannot be read is no root without zones.
    places.cgroup_root = bed.cgroup.join("cgroup.procs");
    let seen = reeve_kernel::observe::observe(&places).unwrap();
    for fact in [&seen.zone("web").zsched, &seen.zone("web").init] {
        assert!(matches!(fact, Fact::Unknown(why) if why.contains("Not a directory")), "{fact:?}");
    }
    assert!(matches!(seen.complete, Fact::Unknown(_)));
}

#[test]
fn an_installed_zone_is_its_files() {
    let Some(bed) = Bed::new() else { return };
    bed.install("web");
    fs::create_dir(bed.folder.join("state/zones/half")).unwrap();
    fs::create_dir(bed.folder.join("run/zones/late")).unwrap();
    let mut observer = bed.observer();
    let seen = observer.observe();
    assert_eq!(seen.zones.keys().collect::<Vec<_>>(), ["half", "late", "web"]);
    let web = &seen.zone("web").files;
    let there = Fact::Known(());
    assert_eq!((&web.configured, &web.installed, &web.root), (&there, &there, &there));
    assert!(web.run_folder.is_absent() && seen.zone("half").files.configured.is_absent());
    assert_eq!(seen.zone("late").files.run_folder, there);
    let elsewhere = bed.folder.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    observer.set_zonepath("web", Some(&elsewhere));
    assert!(observer.observe().zone("web").files.root.is_absent());
}

#[test]
fn a_running_zone_and_its_end() {
    let Some(mut bed) = Bed::new() else { return };
    let web = bed.boot("web", "sleep 1000 & sleep 1001 & wait");
    let (zsched, init) = (known(&web.zsched), known(&web.init));
    let cgroup = known(&web.cgroup);
    assert_eq!((cgroup.populated.clone(), cgroup.frozen.clone()), (Fact::Known(true), Fact::Known(false)));
    assert_eq!((cgroup.environment(), cgroup.login_processes()), (Some(1), Fact::Absent));
    wait("its three processes", || {
        let web = bed.observer().observe_zone("web", &Hints::default(), Detail::Quick);
        known(&web.cgroup).environment_processes() == Fact::Known(3)
    });
    for (pid, inner) in [(zsched.pid, 1), (init.pid, 2)] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        assert_eq!(numbers.split_whitespace().skip(1).count(), inner, "{numbers}");
        assert_eq!(numbers.split_whitespace().last(), Some("1"));
    }
    let namespaces = known(&web.namespaces);
    let inode = |which: &str| fs::metadata(format!("/proc/{}/ns/{which}", zsched.pid)).unwrap().ino();
    assert_eq!(
        [namespaces.pid, namespaces.mnt, namespaces.net, namespaces.uts, namespaces.ipc, namespaces.cgroup],
        ["pid", "mnt", "net", "uts", "ipc", "cgroup"].map(inode)
    );
    assert_eq!(bed.observer().observe().zone("web").zsched.known().unwrap().start_time, zsched.start_time);

    kill(zsched.pid);
    wait("its end", || {
        let web = bed.observer().observe_zone("web", &Hints::default(), Detail::Quick);
        web.init.is_absent() && web.zsched.is_absent() && known(&web.cgroup).populated == Fact::Known(false)
    });
    remove_cgroup(&bed.cgroup.join("zone.web"));
    let seen = bed.observer().observe();
    assert!(seen.zones.is_empty(), "{seen:?}");
}

#[test]
fn init_is_found_wherever_it_moved() {
    let Some(mut bed) = Bed::new() else { return };
    let before = bed.boot("web", "exec sleep 1000");
    let pid = known(&before.init).pid;
    let scope = bed.leaf("zone.web/env.1/system.slice/init.scope");
    fs::write(scope.join("cgroup.procs"), pid.to_string()).unwrap();
    // A PID 1 deeper inside the zone is a container's, and one in a login is the login's.
    let login = bed.leaf("zone.web/login.1");
    bed.start(&login, "unshare -p --fork unshare -p --fork sleep 1000");
    let env = bed.leaf("zone.web/env.1/nested");
    bed.start(&env, "unshare -p --fork unshare -p --fork unshare -p --fork sleep 1000");
    let mut observer = bed.observer();
    wait("the logins", || {
        let cgroup = known(&observer.observe_zone("web", &Hints::default(), Detail::Quick).cgroup);
        (cgroup.login_processes(), cgroup.environment_processes()) == (Fact::Known(3), Fact::Known(5))
    });
    let web = observer.observe_zone("web", &Hints::default(), Detail::Quick);
    assert_eq!(known(&web.init).pid, pid);
    // zsched killed with the zone's init held in the kernel would leave init to be found by itself.
    let zsched = bed.cgroup.join("zone.web/zsched/cgroup.procs");
    let other = bed.leaf("aside");
    for pid in fs::read_to_string(zsched).unwrap().lines() {
        fs::write(other.join("cgroup.procs"), pid).unwrap();
    }
    let seen = observer.observe();
    assert!(seen.zone("web").zsched.is_absent());
    assert_eq!(known(&seen.zone("web").init).pid, pid);
    assert_eq!(seen.leftovers.cgroups, ["aside"]);
}

#[test]
fn a_closer_look() {
    let Some(mut bed) = Bed::new() else { return };
    bed.boot("web", "exec sleep 1000");
    fs::write(bed.cgroup.join("zone.web/env.1/cgroup.freeze"), "1").unwrap();
    let mut observer = bed.observer();
    wait("the frost", || {
        let web = observer.observe_zone("web", &Hints::default(), Detail::Full);
        let closer = web.closer.unwrap();
        assert_eq!(closer.uninterruptible, Fact::Known(vec![]));
        assert!(known(&closer.zsched_mounts) > 1);
        closer.frozen == [Part::Env(1)]
    });
    let web = observer.observe_zone("web", &Hints::default(), Detail::Quick);
    assert_eq!((known(&web.cgroup).frozen, web.closer), (Fact::Known(false), None));
}

#[test]
fn zoneadmd_by_its_command_line() {
    let Some(mut bed) = Bed::new() else { return };
    let leaf = bed.leaf("zoneadmd");
    // `sleep 1000` under another name is the zoneadmd of a zone named 1000.
    let mut command = Command::new("sleep");
    bed.children.push(command.arg0("zoneadmd").arg("1000").spawn().unwrap());
    let pid = i32::try_from(bed.children[0].id()).unwrap();
    fs::write(leaf.join("cgroup.procs"), pid.to_string()).unwrap();
    let other = bed.start(&leaf, "sleep 1001");
    let mut observer = bed.observer();
    wait("the other", || observer.observe().leftovers.processes == [other]);
    let seen = observer.observe();
    assert_eq!(known(&seen.zone("1000").zoneadmd).pid, pid);
    for hint in [None, Some(pid), Some(other), Some(999_999_999)] {
        let hints = Hints { zoneadmd: hint, ..Hints::default() };
        assert_eq!(known(&observer.observe_zone("1000", &hints, Detail::Quick).zoneadmd).pid, pid);
        assert!(observer.observe_zone("web", &hints, Detail::Quick).zoneadmd.is_absent());
    }
}

#[test]
fn links_and_mounts_of_the_host() {
    let Some(bed) = Bed::new() else { return };
    let body = move || {
        sys::unshare((libc::CLONE_NEWNET | libc::CLONE_NEWNS) as u64).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let mut rtnl = Rtnl::open().unwrap();
        let bridge = rtnl.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        rtnl.create_bridge("others", "reeve:ef01:bridge").unwrap();
        let zone = fs::File::open("/proc/thread-self/ns/net").unwrap();
        let names = [("rvabcd-1.0", "reeve:abcd:web"), ("rvabcd-2.0", "reeve:abcd:bridge"), ("rvabcd-3.0", "")];
        for (host_name, alias) in names {
            let peer_name = host_name.replace("rvabcd", "peer");
            let (peer_netns, master) = (zone.as_fd(), Some(bridge));
            let (peer_mac, without_ipv6, peer_name) = (None, true, &*peer_name);
            rtnl.create_veth(&Veth { host_name, alias, master, peer_name, peer_netns, peer_mac, without_ipv6 })
                .unwrap();
        }
        let run = fs::canonicalize(bed.folder.join("run")).unwrap();
        for below in ["zones/web/a b", "odd"] {
            let point = run.join(below);
            fs::create_dir_all(&point).unwrap();
            mount("none", &point, "tmpfs", MountFlags::empty(), None).unwrap();
        }
        let mut observer = bed.observer();
        let seen = observer.observe();
        let web = seen.zone("web");
        assert_eq!(known(&web.links).iter().map(|l| &*l.name).collect::<Vec<_>>(), ["rvabcd-1.0"]);
        assert_eq!(known(&web.mounts), [run.join("zones/web/a b")]);
        assert_eq!(known(&seen.zone("bridge").links)[0].name, "rvabcd-2.0");
        let bridges = known(&seen.bridges);
        let own: Vec<_> = bridges.iter().filter(|l| reeve_kernel::observe::is_own_bridge(l, "abcd")).collect();
        assert_eq!((bridges.len(), own.len(), &*own[0].name), (2, 1, "rvbr"));
        assert_eq!(seen.leftovers.links.iter().map(|l| &*l.name).collect::<Vec<_>>(), ["rvabcd-3.0"]);
        assert_eq!(seen.leftovers.mounts, [run.join("odd")]);

        let hints = Hints { links: Some(&["rvabcd-1.0", "rvabcd-2.0", "gone"]), skip_mounts: true, zoneadmd: None };
        let alone = observer.observe_zone("web", &hints, Detail::Quick);
        assert_eq!((alone.links, alone.mounts), (web.links.clone(), Fact::Absent));
        assert_eq!(observer.observe_zone("web", &Hints::default(), Detail::Quick).mounts, web.mounts);
        for below in ["zones/web/a b", "odd"] {
            unmount(run.join(below), UnmountFlags::DETACH).unwrap();
        }
    };
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn changes_are_told() {
    let Some(mut bed) = Bed::new() else { return };
    let leaf = bed.leaf("zone.web/env.1");
    let mut events = CgroupEvents::open().unwrap();
    assert!(events.add("web", &bed.cgroup.join("none")).is_err());
    events.add("web", &leaf).unwrap();
    events.add("web", &leaf).unwrap();
    assert_eq!(events.drain().unwrap().events, []);
    let event = CgroupEvent { zone: "web".to_owned(), path: leaf.clone() };
    let pid = bed.start(&leaf, "sleep 1000");
    wait("populated", || events.drain().unwrap().events == [event.clone()]);
    kill(pid);
    let killed = Instant::now();
    wait("empty", || events.drain().unwrap().events == [event.clone()]);
    eprintln!("told {:?} after the kill", killed.elapsed());
    bed.children[0].wait().unwrap();
    fs::remove_dir(&leaf).unwrap();
    events.remove_cgroup(&leaf);
    assert_eq!(events.drain().unwrap().events, []);

    let leaf = bed.leaf("zone.web/env.2");
    events.add("web", &leaf).unwrap();
    events.remove("web");
    bed.start(&leaf, "true");
    std::thread::sleep(Duration::from_millis(20));
    let left = events.drain().unwrap().events;
    assert_eq!(left, []);
}

#[test]
fn what_vanishes_under_the_reading_is_no_error() {
    let Some(mut bed) = Bed::new() else { return };
    bed.boot("web", "while :; do sleep 0 & sleep 0 & wait; done");
    let churn = bed.cgroup.join("zone.churn");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::create_dir_all(churn.join("env.1/a/b"));
                let _ = fs::create_dir_all(churn.join("zsched"));
                remove_cgroup(&churn);
            }
        });
        let mut observer = bed.observer();
        for _ in 0..2000 {
            let seen = observer.observe();
            let unknown = format!("{seen:?}").contains("Unknown");
            if unknown || seen.zone("web").init.known().is_none() {
                stop.store(true, Ordering::Relaxed);
                panic!("{seen:?}");
            }
            let closer = observer.observe_zone("web", &Hints::default(), Detail::Full);
            if format!("{closer:?}").contains("Unknown") {
                stop.store(true, Ordering::Relaxed);
                panic!("{closer:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn times() {
    const IDLE: u32 = 1000;
    const RUNNING: u32 = 20;
    let Some(mut bed) = Bed::new() else { return };
    let mut observer = bed.observer();
    let empty = median(50, || drop(observer.observe()));
    for i in 0..IDLE {
        bed.install(&format!("idle{i:04}"));
    }
    let idle = median(20, || assert_eq!(observer.observe().zones.len(), IDLE as usize));
    eprintln!("observe(), nothing there: {empty:?}");
    eprintln!("observe(), {IDLE} installed: {idle:?}, {:?} each", (idle - empty) / IDLE);
    for i in 0..RUNNING {
        bed.boot(&format!("run{i}"), "exec sleep 1000");
    }
    let all = median(20, || assert_eq!(observer.observe().zones.len(), (IDLE + RUNNING) as usize));
    eprintln!("observe(), {RUNNING} running more: {all:?}, {:?} each", (all.saturating_sub(idle)) / RUNNING);
    let hints = Hints { links: Some(&[]), zoneadmd: None, skip_mounts: true };
    for detail in [Detail::Quick, Detail::Full] {
        let one = median(200, || assert!(observer.observe_zone("run7", &hints, detail).init.known().is_some()));
        let default = median(200, || drop(observer.observe_zone("run7", &Hints::default(), detail)));
        eprintln!("observe_zone(running, {detail:?}): {one:?} with hints, {default:?} without");
    }
    let one = median(200, || drop(observer.observe_zone("idle0007", &hints, Detail::Quick)));
    eprintln!("observe_zone(installed): {one:?} with hints");
}

fn median(n: usize, mut f: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..n)
        .map(|_| {
            let began = Instant::now();
            f();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[n / 2]
}

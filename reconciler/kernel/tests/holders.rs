//! What holds a zone, on the real kernel and as root. A process in namespaces of its own with a tmpfs plays the zone;
//! each way of holding it is not found before, found with the right process and place while it is held, and not found
//! afterwards.
#![forbid(unsafe_code)]

#[path = "holders/bed.rs"]
mod bed;

use bed::{Bed, Held, Then, inside, own_pid, pid_of, run, shell, wait};
use reeve_kernel::netlink::Rtnl;
use reeve_kernel::observe::{Evidence, EvidenceKind, Fact, NamespaceHandle, Nsfs, mounted_anywhere, namespace_handles};
use reeve_kernel::sys;
use rustix::fd::{AsFd, AsRawFd};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[test]
fn nothing_holds_a_zone_that_is_left_alone() {
    let Some(bed) = Bed::new() else { return };
    let found = bed.look();
    let others: Vec<&Evidence> = found.evidence.iter().filter(|one| one.kind != EvidenceKind::Cgroup).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(bed.devices, [bed.device()]);
}

#[test]
fn folders_programs_and_files_of_processes() {
    let Some(bed) = Bed::new() else { return };
    let object = bed.mount_object();
    let held_at = |kind, pid: Option<i32>, name: &str, one: &Evidence| {
        (one.kind, pid_of(one), &one.path, &one.object) == (kind, pid, &bed.inside(name), &object)
    };
    let cwd = || Held(Command::new("sleep").arg("1000").current_dir(bed.path("")).spawn().unwrap());
    bed.held(EvidenceKind::Cwd, cwd, |held, one| {
        let holder = one.holder.as_ref().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", held.pid())).unwrap();
        let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
        assert_eq!((&*holder.comm, &*holder.start_time.to_string(), &holder.zone), ("sleep", start, &None));
        held_at(
            EvidenceKind::Cwd,
            Some(held.pid()),
            "",
            &Evidence { path: one.path.as_ref().map(|p| format!("{p}/")), ..one.clone() },
        )
    });
    let program = || Held(Command::new(bed.path("sleep")).arg("1000").spawn().unwrap());
    for kind in [EvidenceKind::Executable, EvidenceKind::MappedFile] {
        bed.held(kind, program, |held, one| held_at(kind, Some(held.pid()), "sleep", one));
    }
    let open = || File::open(bed.path("file")).unwrap();
    bed.held(EvidenceKind::OpenFile, open, |_, one| held_at(EvidenceKind::OpenFile, own_pid(), "file", one));
    // One thread of a process can have a root of its own, and descriptors.
    let rooted = || {
        let path = bed.path("");
        let (release, held) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            sys::unshare(sys::flags::FS | 0x400).unwrap(); // CLONE_FILES
            let _file = File::open(path.join("file")).unwrap();
            rustix::process::chroot(&path).unwrap();
            let _ = held.recv();
        });
        release
    };
    bed.held(EvidenceKind::OpenFile, rooted, |_, one| held_at(EvidenceKind::OpenFile, own_pid(), "file", one));
    // And a mount namespace, where the zone's mounts are then.
    let moved = || {
        let zone = File::open(format!("/proc/{}/ns/mnt", bed.zsched)).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            sys::unshare(sys::flags::FS).unwrap();
            sys::setns(zone.as_fd(), sys::flags::NEWNS).unwrap();
            drop(zone);
            sys::unshare(sys::flags::NEWNS).unwrap();
            let _ = held.recv();
        });
        release
    };
    bed.held(EvidenceKind::Mount, moved, |_, one| pid_of(one) == own_pid() && one.object.starts_with(&object));
    bed.held(EvidenceKind::Root, rooted, |_, one| pid_of(one) == own_pid() && one.object == object);
}

#[test]
fn a_holder_of_another_zone_and_one_of_this() {
    let Some(bed) = Bed::new() else { return };
    let command = format!("sh -c 'cd {} && exec sleep 1000'", bed.path("").display());
    bed.held(
        EvidenceKind::Cwd,
        || bed.start_in("zone.other/env.1", &command),
        |held, one| {
            pid_of(one) == Some(held.pid()) && one.holder.as_ref().is_some_and(|h| h.zone.as_deref() == Some("other"))
        },
    );
    let leaf = bed.cgroup.join("zone.web/env.1").display().to_string();
    let own = |held: &Held, one: &Evidence| {
        (pid_of(one), one.path.as_deref(), &*one.object) == (Some(held.pid()), Some(&leaf), "cgroup env.1")
            && one.holder.as_ref().is_some_and(|holder| holder.zone.as_deref() == Some("web"))
    };
    let env = |one: &&Evidence| one.object == "cgroup env.1";
    assert_eq!(bed.of(EvidenceKind::Cgroup).iter().filter(env).count(), 0);
    let held = bed.start_in("zone.web/env.1", &command);
    wait("its cgroup", || bed.of(EvidenceKind::Cgroup).iter().any(|one| own(&held, one)));
    // What it has of its own zone holds nobody up but itself.
    assert_eq!(bed.of(EvidenceKind::Cwd), []);
    drop(held);
    wait("nothing any more", || bed.of(EvidenceKind::Cgroup).iter().filter(env).count() == 0);
}

#[test]
fn mounts_elsewhere() {
    let Some(mut bed) = Bed::new() else { return };
    let object = bed.mount_object();
    assert_eq!(mounted_anywhere(&[u64::MAX]).evidence, []);
    let copy = || shell(&format!("exec nsenter -t {} -m unshare -m sleep 1000", bed.zsched));
    bed.held(EvidenceKind::Mount, copy, |held, one| {
        let namespace = fs::metadata(format!("/proc/{}/ns/mnt", held.pid())).map(|meta| meta.ino()).unwrap_or(0);
        one.object == format!("{object} in mnt:[{namespace}]")
            && (pid_of(one), &one.path) == (Some(held.pid()), &Some(bed.data.display().to_string()))
    });
    // Where the zone's folders are on the host nothing is mounted but for the zone.
    let below = bed.folder.join("run/below");
    fs::create_dir(&below).unwrap();
    let leave = || {
        mount("left", &below, "tmpfs", MountFlags::empty(), None).unwrap();
        Then(|| unmount(&below, UnmountFlags::empty()).unwrap())
    };
    bed.held(EvidenceKind::Mount, leave, |_, one| {
        (one.path.as_deref(), &one.holder) == (below.to_str(), &None) && !one.object.contains("in mnt:")
    });
    // Unmounted lazily: no table shows it, but the descriptor's superblock.
    let file = File::open(bed.path("file")).unwrap();
    let (data, device) = (bed.data.clone(), bed.device());
    inside(bed.zsched, move || unmount(&data, UnmountFlags::DETACH).unwrap());
    let lazily =
        |one: &Evidence| pid_of(one) == own_pid() && one.object.contains(", unmounted lazily (by its recorded number)");
    assert!(bed.of(EvidenceKind::OpenFile).iter().any(lazily));
    assert_eq!(mounted_anywhere(&[device]).evidence, []);
    drop(file);
    assert_eq!(bed.of(EvidenceKind::OpenFile), []);
    bed.halt();
    // Its number may be another's by now, and is then told as such.
    let left = bed.look().evidence;
    let others = |one: &&Evidence| one.object.ends_with("(by its recorded number)") && one.path != bed.inside("");
    assert_eq!(left.iter().filter(others).count(), left.len(), "{left:#?}");
}

#[test]
fn a_mount_namespace_that_only_a_file_keeps() {
    // A mount namespace can be mounted only in an older one, and Linux 6.18 tells their age by numbers that grow on each
    // processor by itself: on one, the zone's is the newer.
    let mut one = rustix::thread::CpuSet::new();
    one.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &one).unwrap();
    let Some(mut bed) = Bed::new() else { return };
    let devices = bed.devices.clone();
    assert_eq!(mounted_anywhere(&devices).evidence.len(), 1);
    assert_eq!(mounted_anywhere(&devices).unread, Vec::<String>::new());
    let kept = bed.folder.join("kept");
    fs::write(&kept, "").unwrap();
    mount_bind(format!("/proc/{}/ns/mnt", bed.zsched), &kept).unwrap();
    bed.halt();
    let found = mounted_anywhere(&devices);
    assert!(!found.evidence.is_empty(), "{found:?}");
    let (first, place) = (&found.evidence[0], format!("in mnt:[{}]", bed.namespaces.mnt));
    assert!(first.holder.is_none() && first.object.ends_with(&place), "{found:#?}");
    assert_eq!(first.path.as_deref(), bed.data.to_str());
    let files = bed.of(EvidenceKind::NamespaceFile);
    assert_eq!(files.len(), 1, "{files:#?}");
    assert_eq!((&files[0].path, &files[0].holder), (&Some(kept.display().to_string()), &None));
    // The look of another test may have it open just now.
    wait("its unmounting", || unmount(&kept, UnmountFlags::empty()).is_ok());
    // Another test may be given the number.
    let here = |one: &Evidence| one.path.as_deref() == bed.data.to_str();
    wait("nothing any more", || !mounted_anywhere(&devices).evidence.iter().any(here));
    assert_eq!(bed.of(EvidenceKind::NamespaceFile), []);
}

#[test]
fn namespaces_of_others() {
    let Some(bed) = Bed::new() else { return };
    let net = format!("net:[{}]", bed.namespaces.net);
    let member = || shell(&format!("exec nsenter -t {} -n sleep 1000", bed.zsched));
    let of =
        |kind: EvidenceKind, pid: i32, one: &Evidence| (one.kind, pid_of(one), &one.object) == (kind, Some(pid), &net);
    bed.held(EvidenceKind::NamespaceMember, member, |held, one| of(EvidenceKind::NamespaceMember, held.pid(), one));
    let open = || File::open(format!("/proc/{}/ns/net", bed.zsched)).unwrap();
    bed.held(EvidenceKind::NamespaceDescriptor, open, |file, one| {
        let fd = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        of(EvidenceKind::NamespaceDescriptor, own_pid().unwrap(), one) && one.path == Some(fd)
    });
    // A socket stays in the namespace that its process has left.
    let socket = || {
        let there = File::open(format!("/proc/{}/ns/net", bed.zsched)).unwrap();
        reeve_kernel::platform::namespaces::in_netns(there.as_fd(), || std::net::UdpSocket::bind("0.0.0.0:0").unwrap())
            .unwrap()
    };
    bed.held(EvidenceKind::NamespaceDescriptor, socket, |socket, one| {
        let fd = format!("/proc/{}/fd/{}", std::process::id(), socket.as_raw_fd());
        of(EvidenceKind::NamespaceDescriptor, own_pid().unwrap(), one) && one.path == Some(fd)
    });
    let file = bed.folder.join("net");
    fs::write(&file, "").unwrap();
    let bind = || {
        mount_bind(format!("/proc/{}/ns/net", bed.zsched), &file).unwrap();
        Then(|| unmount(&file, UnmountFlags::empty()).unwrap())
    };
    bed.held(EvidenceKind::NamespaceFile, bind, |_, one| {
        (&one.object, &one.path, &one.holder) == (&net, &Some(file.display().to_string()), &None)
    });
}

#[test]
fn the_death_of_namespaces() {
    const KINDS: [&str; 5] = ["net", "pid", "mnt", "uts", "ipc"];
    let Some(mut bed) = Bed::new() else { return };
    let Some(handles) = namespace_handles(bed.zsched, &KINDS).unwrap() else {
        eprintln!("skipped: this kernel has no handles of namespaces (before Linux 6.18)");
        return;
    };
    let kinds: Vec<&str> = handles.iter().map(|handle| &*handle.kind).collect();
    assert_eq!(kinds, KINDS);
    let alive = |handle: &NamespaceHandle| Nsfs::open().is_gone(handle) == Fact::Known(false);
    let dead = |handle: &NamespaceHandle| Nsfs::open().is_gone(handle) == Fact::Known(true);
    assert!(handles.iter().all(alive));
    let held = File::open(format!("/proc/{}/ns/net", bed.zsched)).unwrap();
    bed.halt();
    wait("the others' death", || handles[1..].iter().all(dead));
    assert!(alive(&handles[0]));
    drop(held);
    wait("the death of the network", || handles.iter().all(dead));
    let again: NamespaceHandle = handles[0].to_string().parse().unwrap();
    assert!(dead(&again));
    assert!(namespace_handles(999_999_999, &KINDS).is_err());
}

#[test]
fn loop_devices_and_swap() {
    let Some(bed) = Bed::new() else { return };
    let image = bed.path("image");
    let attach = || {
        fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]);
        let detached = device.clone();
        (device, Then(move || drop(run("losetup", &["--detach", &detached]))))
    };
    let of_loop =
        |device: &str, one: &Evidence| (&*one.object, &one.path, &one.holder) == (device, &bed.inside("image"), &None);
    bed.held(EvidenceKind::LoopDevice, attach, |(device, _), one| of_loop(device, one));
    let swap = || {
        let (device, detach) = attach();
        run("mkswap", &[&device]);
        run("swapon", &[&device]);
        let off = device.clone();
        (device, Then(move || drop(run("swapoff", &[&off]))), detach)
    };
    bed.held(EvidenceKind::Swap, swap, |(device, ..), one| {
        (&one.object, one.path.as_ref(), &one.holder) == (&format!("swap {device}"), Some(device), &None)
    });
}

#[test]
fn a_fuse_server_that_does_not_answer() {
    let Some(bed) = Bed::new() else { return };
    let (point, zsched) = (bed.data.join("fuse"), bed.zsched);
    fs::create_dir(bed.path("fuse")).unwrap();
    let hang = || {
        // A server that has never answered the first request: whoever asks waits.
        let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let options = std::ffi::CString::new(options).unwrap();
        let mounted = point.clone();
        inside(zsched, move || mount("fuse", &mounted, "fuse", MountFlags::empty(), Some(&*options)).unwrap());
        let path = point.clone();
        let undo = Then(move || {
            let path = path.clone();
            inside(zsched, move || unmount(&path, UnmountFlags::DETACH).unwrap());
        });
        let asks = bed.start_in("zone.web/env.1", &format!("nsenter -t {zsched} -m stat {}/x", point.display()));
        // Closing the server's end comes last but one: it is what ends the waiting.
        (asks, undo, server)
    };
    bed.held(EvidenceKind::Fuse, hang, |(.., server), one| {
        // Older kernels do not say which connection a server has.
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", server.as_raw_fd())).unwrap();
        let holder = own_pid().filter(|_| info.contains("fuse_connection:"));
        pid_of(one) == holder
            && one.path.as_deref() == point.to_str()
            && one.object.starts_with("/sys/fs/fuse/connections/")
    });
    bed.held(EvidenceKind::Process, hang, |(asks, ..), one| {
        pid_of(one) == Some(asks.pid()) && one.object.starts_with(&format!("task {} in ", asks.pid()))
    });
    // A descriptor on it is found without the server being asked.
    let place = || {
        let hung = hang();
        let path = PathBuf::from(format!("/proc/{zsched}/root{}", point.display()));
        (File::options().read(true).custom_flags(libc::O_PATH).open(path).unwrap(), hung)
    };
    let began = Instant::now();
    bed.held(EvidenceKind::OpenFile, place, |_, one| pid_of(one) == own_pid() && one.path.as_deref() == point.to_str());
    eprintln!("beside a server that does not answer: {:?}", began.elapsed());
}

#[test]
fn frozen_tasks() {
    let Some(bed) = Bed::new() else { return };
    let name = bed.cgroup.file_name().unwrap().to_owned();
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    if freezer.join("cgroup.procs").exists() {
        let folder = freezer.join(&name);
        let freeze = || {
            fs::create_dir(&folder).unwrap();
            let path = folder.clone();
            // In this order: thawed, ended, waited for, removed.
            let remove = Then(move || fs::remove_dir(&path).unwrap());
            let task = bed.start_in("zone.web/env.1", "sleep 1000");
            fs::write(folder.join("cgroup.procs"), task.pid().to_string()).unwrap();
            let path = folder.clone();
            let thaw = Then(move || fs::write(path.join("freezer.state"), "THAWED").unwrap());
            fs::write(folder.join("freezer.state"), "FROZEN").unwrap();
            (thaw, task, remove)
        };
        bed.held(EvidenceKind::Frozen, freeze, |(_, task, _), one| {
            (pid_of(one), one.path.as_deref()) == (Some(task.pid()), folder.to_str())
        });
    } else {
        eprintln!("skipped in part: no version 1 freezer");
    }
    let leaf = bed.cgroup.join("zone.web/env.1");
    let freeze = || {
        let task = bed.start_in("zone.web/env.1", "sleep 1000");
        fs::write(leaf.join("cgroup.freeze"), "1").unwrap();
        (Then(|| fs::write(leaf.join("cgroup.freeze"), "0").unwrap()), task)
    };
    bed.held(EvidenceKind::Frozen, freeze, |(_, task), one| {
        (pid_of(one), one.path.as_deref()) == (Some(task.pid()), leaf.to_str())
    });
}

#[test]
fn links_of_the_host() {
    let Some(mut bed) = Bed::new() else { return };
    sys::unshare(sys::flags::NEWNET).unwrap();
    bed.links = vec!["rvtest-1.0".to_owned()];
    let plumb = || {
        let index = Rtnl::open().unwrap().create_bridge("rvtest-1.0", "reeve:test:web").unwrap();
        Then(move || Rtnl::open().unwrap().delete(index).unwrap())
    };
    bed.held(EvidenceKind::Link, plumb, |_, one| (&*one.object, &one.holder) == ("link rvtest-1.0", &None));
}

#[test]
fn what_is_told_is_bounded_and_of_every_kind() {
    let Some(bed) = Bed::new() else { return };
    let holders: Vec<Held> =
        (0..80).map(|_| Held(Command::new("sleep").arg("1000").current_dir(bed.path("")).spawn().unwrap())).collect();
    let files: Vec<File> = (0..500).map(|_| File::open(bed.path("file")).unwrap()).collect();
    let began = Instant::now();
    let found = bed.look();
    eprintln!("{} processes hold it, one with {} files: {:?}", holders.len(), files.len(), began.elapsed());
    assert_eq!(found.evidence.len(), 64);
    assert!(found.evidence.iter().any(|one| one.kind == EvidenceKind::OpenFile && pid_of(one) == own_pid()));
}

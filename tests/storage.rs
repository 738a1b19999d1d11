//! File systems of a zone: loopback and tmpfs mounts, a root from a directory, the overlay that keeps what the zone wrote,
//! and the zonepath that is checked each time.

mod harness;

use harness::{Host, SLEEPER, shown};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn configured_file_systems_are_mounted_with_their_options() {
    let host = Host::new("fs");
    let shared = host.folder().join("shared");
    let writable = host.folder().join("writable");
    for folder in [&shared, &writable] {
        std::fs::create_dir(folder).expect("folder");
    }
    std::fs::write(shared.join("readme"), "from the host").expect("file");
    std::fs::set_permissions(&writable, std::fs::Permissions::from_mode(0o777)).expect("chmod");
    let spec = format!(
        "fs:\n  - dir: /srv/shared\n    type: loopback\n    special: {}\n  - dir: /srv/writable\n    type: loopback\n    special: {}\n    options: [rw]\n  - dir: /srv/scratch\n    type: tmpfs\n    options: [size=1Mi, mode=700]\n{SLEEPER}",
        shared.display(),
        writable.display(),
    );
    host.zone("z", "running", &spec);
    host.apply();
    let (status, text) = host.inside(
        "z",
        "cat /srv/shared/readme; stat -c %u /srv/shared/readme; touch /srv/shared/no; echo $?; touch /srv/writable/yes; echo $?;
         stat -c %a /srv/scratch; dd if=/dev/zero of=/srv/scratch/big bs=64k count=100 2>/dev/null; echo $?;
         mount -o remount,bind,rw /srv/shared && echo UNDONE; umount /srv/shared && echo UNDONE; true",
    );
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("from the host\n") || text.contains("from the host0"), "{text}");
    assert!(text.contains("Read-only file system"), "read-only unless rw is written: {text}");
    assert!(text.contains("700"), "{text}");
    assert!(!text.contains("UNDONE"), "{text}");
    let yes = std::fs::metadata(writable.join("yes")).expect("written through the share");
    assert!(yes.uid() >= 65_536, "written as the zone's own user, {}", yes.uid());
    assert!(!shared.join("no").exists());
    host.finish();
}

#[test]
fn what_a_zone_writes_outlives_its_halt_and_stays_out_of_the_installed_root() {
    let host = Host::new("upper");
    host.zone("z", "running", SLEEPER);
    host.apply();
    host.inside("z", "echo kept > /var/kept; echo changed >> /etc/hosts");
    host.ok(&["halt", "z"]);
    assert_eq!(host.state("z"), "installed");
    let root = host.folder().join("state/zonepaths/z/root");
    assert!(!root.join("var/kept").exists());
    host.apply();
    let (_, text) = host.inside("z", "cat /var/kept; tail -n 1 /etc/hosts");
    assert!(text.contains("kept") && text.contains("changed"), "{text}");
    host.finish();
}

#[test]
fn a_directory_is_copied_at_install_and_can_be_the_root_with_an_init_of_its_own() {
    let host = Host::new("directory");
    let root = host.folder().join("image");
    for folder in ["bin", "dev", "proc", "sys", "run", "etc", "tmp"] {
        std::fs::create_dir_all(root.join(folder)).expect("folder");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| std::path::Path::new(path).exists());
    std::fs::copy(busybox.expect("busybox-static"), root.join("bin/busybox")).expect("copy");
    for name in ["sh", "sleep", "cat", "ls"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("link");
    }
    std::fs::write(
        root.join("bin/init"),
        "#!/bin/sh\necho own init $$\ntrap 'exit 0' TERM\nwhile :; do sleep 1 & wait; done\n",
    )
    .expect("init");
    std::fs::set_permissions(root.join("bin/init"), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let text = format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: z\nspec:\n  root:\n    directory:\n      path: {}\n  init:\n    program: /bin/init\n    haltSignal: SIGTERM\n    haltTimeout: 5s\n",
        root.display()
    );
    host.write("z.yaml", &text);
    host.apply();
    host.wait("z", "up", |status| status["state"] == "running");
    host.wait("z", "printing", |_| host.ok(&["logs", "z"]).contains("own init 1"));
    let (_, text) = host.inside("z", "ls /usr 2>/dev/null; ls /bin");
    assert!(text.contains("busybox") && !text.contains("share"), "no /usr of the host: {text}");
    host.finish();
}

#[test]
fn the_zonepath_is_checked_at_every_ready() {
    let host = Host::new("zonepath");
    host.zone("z", "installed", SLEEPER);
    host.apply();
    let path = host.folder().join("state/zonepaths/z");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    host.zone("z", "running", SLEEPER);
    let manifests = host.manifests();
    let refused = host.reeve(&["apply", manifests.to_str().expect("UTF-8"), "--timeout", "2s"]);
    let text = shown(&refused);
    assert!(!refused.status.success() && text.contains(&format!("chmod 700 {}", path.display())), "{text}");
    assert_eq!(host.state("z"), "installed");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    host.apply();
    assert_eq!(host.state("z"), "running");
    host.finish();
}

#[test]
fn a_platform_that_could_not_be_built_leaves_nothing_and_comes_up_when_its_cause_is_gone() {
    let mut host = Host::new("unbuilt");
    let link = host.folder().join("link");
    std::os::unix::fs::symlink("gone", &link).expect("symlink");
    let spec = format!("fs:\n  - dir: /srv/shared\n    type: loopback\n    special: {}\n{SLEEPER}", link.display());
    host.zone("z", "running", &spec);
    let manifests = host.manifests();
    let failed = host.reeve(&["apply", manifests.to_str().expect("UTF-8")]);
    assert_eq!(failed.status.code(), Some(1), "{}", shown(&failed));
    assert!(shown(&failed).contains(link.to_str().expect("UTF-8")), "{}", shown(&failed));
    let status = host.zone_status("z");
    assert_eq!(status["state"], "installed", "{status:#}");
    let left = std::fs::read_dir(host.cgroup()).expect("the cgroup").flatten().map(|entry| entry.file_name());
    assert!(!left.into_iter().any(|name| name == "zone.z"), "its cgroup is gone");
    // However often it is tried, it is one entry of the history and a few lines of the events.
    host.start_controller();
    let again = |status: &serde_json::Value| {
        let last = status["history"].as_array().and_then(|history| history.last()).cloned().unwrap_or_default();
        last["transition"] == "ready" && last["count"].as_u64() > Some(6) && !last["lastAt"].is_null()
    };
    let (status, _) = host.wait("z", "tried again and again", again);
    let failures = |entry: &&serde_json::Value| entry["outcome"] != "done";
    assert_eq!(status["history"].as_array().expect("history").iter().filter(failures).count(), 1, "{status:#}");
    let events = std::fs::read_to_string(host.folder().join("state/events.jsonl")).expect("events");
    let told = events.lines().filter(|line| line.contains("WalkFailed")).count();
    assert!((1..=9).contains(&told), "a line each time that their number has doubled, of each program: {events}");
    std::fs::create_dir(host.folder().join("gone")).expect("mkdir");
    host.ok(&["retry", "z"]);
    host.wait_state("z", "running");
    assert_eq!(host.inside("z", "test -d /srv/shared").0, 0);
    host.finish();
}

#[test]
fn a_zonepath_whose_file_system_cannot_map_ids_is_refused_before_anything_is_put_there() {
    let host = Host::new("overlay");
    // The mount is seen by this thread and what it starts, and goes with it.
    reeve_kernel::sys::unshare(reeve_kernel::sys::flags::NEWNS).expect("a mount namespace");
    let private = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).expect("private");
    let folder = |name: &str| {
        let path = host.folder().join(name);
        std::fs::create_dir(&path).expect("mkdir");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    };
    let (lower, upper, work, merged) = (folder("lower"), folder("upper"), folder("work"), folder("merged"));
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let options = std::ffi::CString::new(options).expect("no NUL");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", &merged, "overlay", flags, options.as_c_str()).expect("an overlay");
    host.zone("z", "running", &format!("zonepath: {}/z\n{SLEEPER}", merged.display()));
    let manifests = host.manifests();
    for command in ["verify", "apply"] {
        let refused = host.reeve(&[command, manifests.to_str().expect("UTF-8")]);
        assert_eq!(refused.status.code(), Some(1), "{command}: {}", shown(&refused));
        for part in ["overlay", "cannot map IDs", "ext4"] {
            assert!(shown(&refused).contains(part), "{command}: no {part:?} in {}", shown(&refused));
        }
    }
    assert_eq!(std::fs::read_dir(&upper).expect("readdir").count(), 0, "nothing was put there");
    let down = host.reeve(&["down", manifests.to_str().expect("UTF-8"), "--purge"]);
    assert!(down.status.success(), "{}", shown(&down));
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).expect("umount");
    host.finish();
}

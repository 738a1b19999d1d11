//! From inside a zone, as its root: nothing of the host or of another zone is seen, no mount, mask or flag of the platform
//! can be undone, and zsched is out of reach. Each probe has a positive control on the host or in the zone itself, so
//! that a probe that cannot work does not pass.

mod harness;

use harness::{Host, SLEEPER, kernel};
use std::time::Duration;

fn two_zones(test: &str) -> Host {
    let host = Host::new(test);
    host.zone("red", "running", &format!("{}{SLEEPER}", harness::net(10)));
    host.zone("blue", "running", &format!("{}{SLEEPER}", harness::net(11)));
    host.zone("idle", "ready", &harness::net(12));
    host.apply();
    host
}

#[test]
fn two_zones_reach_each_other_over_the_network_and_see_no_other_link() {
    let host = two_zones("links");
    let (status, text) =
        host.inside("red", "ping -c 1 -W 5 192.0.2.11 || exit 7; ls /sys/class/net | sort | tr '\\n' ' '");
    assert_eq!(status, 0, "{text}");
    assert!(text.trim_end().ends_with("lo net0"), "only its own links: {text}");
    let on_host = std::fs::read_to_string("/proc/thread-self/net/dev").expect("links");
    assert!(on_host.contains("rvbr0"), "control: the host has others: {on_host}");
    host.finish();
}

#[test]
fn no_name_that_zone_root_gives_an_interface_keeps_the_zone_from_being_halted() {
    let host = two_zones("names");
    // Any byte but a slash, a colon and white space is allowed in one.
    let made = host.inside(
        "red",
        "ip link add name \"$(printf '\\377\\001')\" type veth peer name '$(reboot)' && ip -br link | wc -l",
    );
    assert_eq!((made.0, made.1.trim()), (0, "4"), "lo, net0 and the two");
    host.ok(&["halt", "red"]);
    host.wait_state("red", "installed");
    host.finish();
}

#[test]
fn processes_of_others_are_neither_seen_nor_signalled() {
    let host = two_zones("processes");
    let others = [host.zone_status("blue"), host.zone_status("idle")];
    for zone in ["red", "idle"] {
        let (_, text) = host.inside(zone, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done");
        for word in ["zsched", "zoneadmd", "cargo", "reeve"] {
            assert!(!text.contains(word), "{zone} sees {word}: {text}");
        }
        assert!(text.contains("/bin/sh"), "control: it sees itself: {text}");
        for status in &others {
            for field in ["zschedPid", "initPid"] {
                let Some(pid) = status[field].as_i64() else { continue };
                // Only numbers that are not by chance a process of the zone itself.
                let (code, text) = host.inside(zone, &format!("test -d /proc/{pid} && exit 9; kill -9 {pid}"));
                assert!(code != 0 && (code == 9 || text.contains("No such process")), "{zone} {field}: {code} {text}");
                assert!(kernel::alive(pid as i32), "{field} of another zone died");
            }
        }
    }
    host.finish();
}

#[test]
fn zone_root_undoes_no_mount_no_mask_and_no_flag_of_the_platform() {
    let host = two_zones("mounts");
    let attack = r#"
        while read _ _ _ _ at _; do
            umount "$at" 2>/dev/null && echo "UNDONE umount $at"
            umount -l "$at" 2>/dev/null && echo "UNDONE umount -l $at"
            mount -o remount,bind,rw,suid,dev,exec "$at" 2>/dev/null && echo "FLAGS $at"
            mount -o remount,rw "$at" 2>/dev/null && echo "REMOUNTED $at"
            mount --move "$at" /mnt 2>/dev/null && echo "UNDONE move $at"
        done < /proc/self/mountinfo
        touch /usr/canary 2>/dev/null && echo "UNDONE wrote /usr"
        touch /sys/canary 2>/dev/null && echo "UNDONE wrote /sys"
        mkdir -p /tmp/there
        mount -t proc proc /tmp/there 2>/dev/null && echo "UNDONE fresh proc"
        mount -t sysfs sysfs /tmp/there 2>/dev/null && echo "UNDONE fresh sysfs"
        mount --rbind /proc /tmp/there 2>/dev/null && test -s /tmp/there/keys && echo "UNDONE looked beneath a mask"
        umount -l /tmp/there 2>/dev/null
        test -s /proc/keys && echo "UNDONE keys"
        echo 1 2>/dev/null > /proc/sys/vm/drop_caches && echo "UNDONE sysctl"
        mount -t tmpfs tmpfs /tmp/there && umount /tmp/there && echo CONTROL
    "#;
    for zone in ["red", "idle"] {
        let before = host.inside(zone, "cut -d' ' -f5- /proc/self/mountinfo | grep -v cgroup").1;
        let (_, text) = host.inside(zone, attack);
        assert!(text.contains("CONTROL"), "control: zone root mounts and unmounts what is its own: {text}");
        assert!(!text.contains("UNDONE"), "{zone}: {text}");
        // Flags may be set on a mount again that had none; what is locked must be as it was.
        let after = host.inside(zone, "cut -d' ' -f5- /proc/self/mountinfo | grep -v cgroup").1;
        assert_eq!(before, after, "{zone}: the mounts are as they were: {text}");
        assert!(text.lines().all(|line| !line.starts_with("FLAGS /usr") && !line.starts_with("FLAGS /sys")), "{text}");
    }
    assert!(!std::path::Path::new("/usr/canary").exists());
    host.finish();
}

#[test]
fn no_device_of_the_host_can_be_made_or_opened() {
    let host = two_zones("devices");
    let (_, text) = host.inside(
        "red",
        "mknod /tmp/m b 254 0 && echo UNDONE; mknod /dev/m c 1 1 && echo UNDONE; ls /dev | sort | tr '\\n' ' ';
         head -c 4 /dev/zero | wc -c",
    );
    assert!(!text.contains("UNDONE"), "{text}");
    assert!(text.contains("console fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"), "{text}");
    assert!(text.contains('4'), "control: the zone's own devices work: {text}");
    host.finish();
}

#[test]
fn zsched_is_out_of_reach_from_a_running_zone_and_from_a_login_into_a_ready_one() {
    let host = two_zones("zsched");
    for zone in ["red", "idle"] {
        let status = host.zone_status(zone);
        let zsched = status["zschedPid"].as_i64().expect("zsched") as i32;
        // What waits beside it to become the next init has its memory.
        let next = || kernel::waiting(&host.cgroup().join(format!("zone.{zone}")));
        kernel::within(Duration::from_secs(5), || next().is_some());
        let (waits, since) = (next(), next().map(kernel::start_time));
        assert!(waits.is_some(), "{zone}: nothing waits");
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{zsched}/{file}")).expect("of zsched");
        let (limits, niceness) = (read("limits"), kernel::start_time(zsched));
        // Every number that could be zsched's or its neighbours': nothing but the zone's own answers.
        let (_, text) = host.inside(
            zone,
            "i=1; while [ $i -lt 40 ]; do
                 if tr '\\0' ' ' < /proc/$i/cmdline 2>/dev/null | grep -q 'zs[c]hed'; then echo SEEN $i; fi
                 i=$((i+1)); done
             prlimit --pid 1 --nofile=7:7 && echo CONTROL; kill -9 1; kill -STOP 1; echo done",
        );
        assert!(!text.contains("SEEN"), "{zone}: {text}");
        assert!(text.contains("done"), "{text}");
        assert!(kernel::alive(zsched), "{zone}: zsched lives");
        assert_eq!((next(), next().map(kernel::start_time)), (waits, since), "{zone}: what waits is as it was");
        assert_eq!((read("limits"), kernel::start_time(zsched)), (limits, niceness), "{zone}: zsched is as it was");
        let inner = kernel::namespaces(zsched);
        let own = kernel::namespaces(std::process::id() as i32);
        for kind in ["mnt", "net", "pid", "ipc", "uts"] {
            let of = |set: &std::collections::BTreeSet<String>| {
                set.iter().find(|name| name.starts_with(&format!("{kind}:"))).cloned()
            };
            assert_ne!(of(&inner), of(&own), "{kind}: zsched is inside the boundary");
        }
    }
    host.finish();
}

#[test]
fn files_of_the_host_and_of_other_zones_are_not_there() {
    let host = two_zones("files");
    std::fs::write("/var/tmp/reeve-canary", "host").expect("canary");
    host.inside("blue", "echo mine > /var/blue-canary");
    let (_, text) = host
        .inside("red", "ls /var/tmp /var; cat /var/tmp/reeve-canary; ls /var/lib /run; cat /proc/1/root/etc/shadow");
    let _ = std::fs::remove_file("/var/tmp/reeve-canary");
    assert!(!text.contains("blue-canary") && !text.contains("reeve-canary\n"), "{text}");
    // What the zone's root writes belongs to the zone's own range on disk, never to the host's root.
    let written = host.folder().join("state/zonepaths/blue/upper/var/blue-canary");
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(&written).expect("written by blue").uid();
    assert!(owner >= 65_536, "owned by {owner}");
    // An unprivileged user of the global zone cannot walk in.
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
        .arg(&written)
        .output()
        .expect("setpriv");
    assert!(!output.status.success(), "{output:?}");
    host.finish();
}

#[test]
fn mount_namespaces_of_other_environments_are_not_handed_out() {
    let host = two_zones("mounts-by-number");
    // NS_MNT_GET_NEXT (ioctl_nsfs(2)): the mount namespace after one's own, of those that one has power over.
    let next = r#"open(my $own, "<", "/proc/self/ns/mnt") or die; my $info = "\0" x 16;
        print defined(ioctl($own, 0x8010B70B, $info)) ? "GOT" : $! + 0 == 1 ? "REFUSED" : "NONE""#;
    let control = std::process::Command::new("perl").args(["-e", next]).output().expect("perl");
    let control = harness::shown(&control);
    // An older kernel has none to give.
    assert!(control.contains("GOT") || control.contains("NONE"), "control: {control}");
    for zone in ["red", "idle"] {
        let (_, text) = host.inside(zone, &format!("perl -e '{next}'"));
        assert!(text.contains("REFUSED"), "{zone}: {text}");
    }
    host.finish();
}

//! Drift made by hand on the kernel, kind by kind: each is found by an event of the kernel (the resync is an hour away), told apart from a
//! change, and mended, only told of, or left alone as the manifest says. Prints how long each took to be found and to be mended.

#[path = "harness/mod.rs"]
mod harness;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Host, PATIENCE, SLEEPER};
use reeve_kernel::netlink::Rtnl;
use reeve_kernel::platform::namespaces::open_namespace;
use reeve_kernel::sys;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use serde_json::Value;

/// How a kind of drift is made.
enum Make {
    /// By a script, with what the zone is made of as its variables.
    Sh(&'static str),
    /// In zsched's mount namespace.
    Mounts(fn()),
}

use Make::{Mounts, Sh};

/// A kind of drift: its name, how it is made, and the field that it is found in (what stands for a number ends with `.`).
type Kind = (&'static str, Make, &'static str);

fn umount(point: &str) {
    rustix::mount::unmount(point, UnmountFlags::DETACH).expect("umount2");
}

fn tmpfs(point: &str) {
    rustix::mount::mount("none", point, "tmpfs", MountFlags::empty(), None).expect("mount");
    rustix::mount::mount_change(point, MountPropagationFlags::PRIVATE).expect("private");
}

fn remount(point: &str, flags: MountFlags, data: &str) {
    let data = std::ffi::CString::new(data).expect("text");
    rustix::mount::mount_remount(point, flags, data.as_c_str()).expect("remount");
}

/// Every kind that is mended. What takes the place of something else comes by a rename: between two calls it would be mended. $Z zsched, $I init, $L the host's end of the link, $P the zonepath, $S and $R the zone's folders in the state
/// and run folders, $C its cgroup, $A its zoneadmd, $E the number of its environment, $IP its address.
fn kinds() -> Vec<Kind> {
    vec![
        ("host name set", Sh("nsenter -t $Z -u hostname other"), "hostname"),
        ("link inside set down", Sh("nsenter -t $Z -n ip link set net0 down"), "net.net0.up"),
        ("its largest packet changed", Sh("nsenter -t $Z -n ip link set net0 mtu 1400"), "net.net0.mtu"),
        (
            "its hardware address changed",
            Sh("nsenter -t $Z -n ip link set net0 address 02:00:00:00:00:99"),
            "net.net0.mac",
        ),
        ("an address added", Sh("nsenter -t $Z -n ip addr add 192.0.2.99/24 dev net0"), "net.net0.addresses"),
        ("its address taken", Sh("nsenter -t $Z -n ip addr del $IP/24 dev net0"), "net.net0.addresses"),
        (
            "an address of IPv6 added",
            Sh(
                "nsenter -t $Z -n sh -c 'echo 0 >/proc/sys/net/ipv6/conf/net0/disable_ipv6; ip addr add fd77::9/64 dev net0'",
            ),
            "net.net0.addresses",
        ),
        (
            "link inside renamed",
            Sh("nsenter -t $Z -n sh -c 'ip link set net0 down; ip link set net0 name eth9'"),
            "net.net0",
        ),
        ("default route taken", Sh("nsenter -t $Z -n ip route del default"), "routes.default"),
        ("default route elsewhere", Sh("nsenter -t $Z -n ip route replace default via 192.0.2.7"), "routes.default"),
        (
            "a second default route",
            Sh("nsenter -t $Z -n ip route add default via 192.0.2.8 metric 9"),
            "routes.default",
        ),
        ("host's end set down", Sh("ip link set $L down"), "net"),
        ("host's end out of its bridge", Sh("ip link set $L nomaster"), "net"),
        ("host's end in another bridge", Sh("ip link add rvother type bridge; ip link set $L master rvother"), "net"),
        ("bridge set down", Sh("ip link set rvbr0 down"), "bridge.rvbr0.up"),
        ("bridge's address taken", Sh("ip addr del 192.0.2.1/24 dev rvbr0"), "bridge.rvbr0.addresses"),
        ("bridge deleted", Sh("ip link del rvbr0"), "net"),
        ("link deleted", Sh("ip link del $L"), "net"),
        ("a node removed from /dev", Sh("rm /proc/$Z/root/dev/null"), "devices.null"),
        ("a file in a node's place", Sh("cd /proc/$Z/root/dev; echo x > .zero; mv -f .zero zero"), "devices.zero"),
        (
            "another device in a node's place",
            Sh("cd /proc/$Z/root/dev; mknod -m 666 .full c 1 5; mv -f .full full"),
            "devices.full",
        ),
        ("a node's mode changed", Sh("chmod 600 /proc/$Z/root/dev/random"), "devices.random"),
        ("a node's owner changed", Sh("chown 0:0 /proc/$Z/root/dev/urandom"), "devices.urandom"),
        ("a device added to /dev", Sh("mknod -m 666 /proc/$Z/root/dev/memory c 1 1"), "devices.memory"),
        ("zonepath's mode changed", Sh("chmod 755 $P"), "zonepath.mode"),
        ("zonepath's owner changed", Sh("chown 12:12 $P"), "zonepath.owner"),
        ("root's mode changed", Sh("chmod 777 $P/root"), "zonepath.root.mode"),
        ("root's owner changed", Sh("chown 12:12 $P/root"), "zonepath.root.owner"),
        (
            "read-only share made writable",
            Mounts(|| remount("/usr", MountFlags::BIND | MountFlags::NODEV, "")),
            "fs./usr.options",
        ),
        ("/sys made writable", Mounts(|| remount("/sys", MountFlags::BIND | MountFlags::NODEV, "")), "fs./sys.options"),
        ("file system unmounted", Mounts(|| umount("/data")), "fs./data"),
        ("its size changed", Mounts(|| remount("/data", MountFlags::NODEV, "size=4m")), "fs./data.superblock"),
        ("something mounted", Mounts(|| tmpfs("/srv")), "fs./srv"),
        ("something mounted over", Mounts(|| tmpfs("/usr/share")), "fs./usr/share"),
        ("mounted over a mount point", Mounts(|| tmpfs("/data")), "fs./data#2"),
        ("terminals unmounted", Mounts(|| umount("/dev/shm")), "fs./dev/shm"),
        ("zone frozen", Sh("echo 1 > $C/cgroup.freeze"), "cgroup.freeze"),
        ("environment frozen", Sh("echo 1 > $C/env.$E/cgroup.freeze"), "cgroup.environment.freeze"),
        ("zsched frozen", Sh("echo 1 > $C/zsched/cgroup.freeze"), "cgroup.zsched.freeze"),
        (
            "a process entered its namespaces",
            Sh("nsenter -t $I -m -u -n -p setsid sleep 300 >/dev/null 2>&1 & sleep 0.3"),
            "processes.",
        ),
        (
            "a process entered its network",
            Sh("nsenter -t $Z -n setsid sleep 300 >/dev/null 2>&1 & sleep 0.3"),
            "processes.",
        ),
        (
            "a process put into its cgroup",
            Sh("setsid sleep 300 >/dev/null 2>&1 & echo $! > $C/env.$E/cgroup.procs"),
            "processes.",
        ),
        ("zone.json edited", Sh("sed -i s/192.0.2/192.0.3/ $S/zone.json"), "files.zone.json"),
        ("zone.json readable by all", Sh("chmod 644 $S/zone.json"), "files.zone.json"),
        ("installed.json edited", Sh("sed -i 's/\"at\":1/\"at\":2/' $S/installed.json"), "files.installed.json"),
        ("state folder open to all", Sh("chmod 755 $S"), "files.state"),
        ("run folder open to all", Sh("chmod 755 $R"), "files.run"),
        ("zoneadmd killed", Sh("kill -9 $A"), "zoneadmd"),
        ("zsched killed", Sh("kill -9 $Z"), "state"),
    ]
}

struct Bed {
    host: Host,
    started: Vec<i32>,
}

impl Bed {
    fn zone(&self, name: &str, last: u8, drift: &str) {
        let spec = format!("{SLEEPER}fs:\n  - {{dir: /data, type: tmpfs}}\n{}{drift}", harness::net(last));
        self.host.zone(name, "running", &spec);
    }

    fn status(&self, zone: &str) -> Value {
        self.host.zone_status(zone)
    }

    /// Makes a drift of a zone.
    fn make(&self, zone: &str, make: &Make) {
        let status = self.status(zone);
        let pid = |field: &str| status[field].as_i64().unwrap_or_default();
        match make {
            Mounts(change) => in_mounts(i32::try_from(pid("zschedPid")).expect("a pid"), *change),
            Sh(script) => {
                let id = format!("-{}.0", status["zoneId"]);
                let links = Rtnl::open().and_then(|mut rtnl| rtnl.links()).expect("links");
                let own = |name: &String| name.starts_with("rv") && name.ends_with(&id);
                let link = links.into_iter().map(|link| link.name).find(own);
                let cgroup: PathBuf = self.host.cgroup().join(format!("zone.{zone}"));
                let environment = std::fs::read_dir(&cgroup).expect("the cgroup").flatten().find_map(|entry| {
                    let name = entry.file_name().into_string().ok()?;
                    let number = name.strip_prefix("env.")?;
                    (!harness::kernel::at_work(&entry.path()).is_empty()).then_some(number.to_owned())
                });
                let done = Command::new("sh")
                    .args(["-ec", script])
                    .env("Z", pid("zschedPid").to_string())
                    .env("I", pid("initPid").to_string())
                    .env("A", pid("zoneadmdPid").to_string())
                    .env("L", link.unwrap_or_default())
                    .env("P", status["zonepath"].as_str().unwrap_or_default())
                    .env(
                        "IP",
                        status["addresses"][0].as_str().unwrap_or_default().split('/').next().unwrap_or_default(),
                    )
                    .env("S", self.host.folder().join("state/zones").join(zone))
                    .env("R", self.host.run_folder(zone))
                    .env("C", cgroup)
                    .env("E", environment.unwrap_or_default())
                    .status()
                    .expect("sh");
                assert!(done.success(), "{script}");
            }
        }
    }

    /// Events about a field of a zone since then, oldest first: reason, time and the field.
    fn events(&self, zone: &str, field: &str, since: u64) -> Vec<(String, u64, String)> {
        let text = std::fs::read_to_string(self.host.folder().join("state/events.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|event| event["zone"] == zone && event["at"].as_u64().unwrap_or_default() >= since)
            .filter_map(|event| {
                let own = event["drift"]["field"].as_str()?.to_owned();
                let is = own == field || (field.ends_with('.') && own.starts_with(field));
                is.then(|| {
                    (
                        event["reason"].as_str().unwrap_or_default().to_owned(),
                        event["at"].as_u64().unwrap_or_default(),
                        own,
                    )
                })
            })
            .collect()
    }

    /// Waits for an event; how long after `since` it came, and the field.
    fn wait_event(&self, zone: &str, field: &str, reason: &str, since: u64, name: &str) -> (u64, String) {
        let started = Instant::now();
        loop {
            if let Some((_, at, own)) = self.events(zone, field, since).into_iter().find(|(what, ..)| what == reason) {
                return (at.saturating_sub(since), own);
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{name}: no {reason} of {field}\n{:#}\n{}\n{}",
                self.status(zone),
                harness::shown(&self.host.reeve(&["drift", zone])),
                self.host.controller_log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn drifted(&self, zone: &str) -> Vec<Value> {
        let output = self.host.reeve(&["drift", zone, "-o", "json"]);
        assert!(output.status.code() != Some(2), "{}", harness::shown(&output));
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let items = list["items"].as_array().expect("items").clone();
        assert_eq!(output.status.code(), Some(i32::from(!items.is_empty())), "{items:?}");
        items
    }

    /// Nothing in the plan says that somebody changed a manifest.
    fn no_change(&self, zone: &str) {
        let manifests = self.host.manifests();
        let output = self.host.reeve(&["diff", manifests.to_str().expect("UTF-8"), "-o", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let own = list["items"].as_array().expect("items").iter().filter(|item| item["name"] == zone);
        for difference in own.flat_map(|item| item["differences"].as_array().expect("differences").clone()) {
            assert_eq!(difference["cause"], "drift", "{difference}");
        }
    }

    fn wait_steady(&self, zone: &str) {
        self.host.wait(zone, "as wanted", |status| {
            status["state"] == "running"
                && status["conditions"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["type"] == "Converged" && one["status"] == "True"))
        });
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    u64::try_from(since.as_millis()).expect("fits")
}

/// Does something in the mount namespace of a process.
fn in_mounts(pid: i32, change: fn()) {
    use std::os::fd::AsFd;
    let namespace = open_namespace(pid, "mnt").expect("the namespace");
    let done = std::thread::spawn(move || {
        sys::unshare(sys::flags::FS).expect("unshare");
        sys::setns(namespace.as_fd(), sys::flags::NEWNS).expect("setns");
        change();
    });
    done.join().expect("changed");
}

fn condition<'s>(status: &'s Value, kind: &str) -> Option<&'s Value> {
    status["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

fn bed(test: &str) -> Bed {
    let mut host = Host::new(test);
    // So that nothing is found by it.
    host.set_variable("REEVE_RESYNC", "3600");
    Bed { host, started: Vec::new() }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.started.iter().for_each(|pid| sys::kill(*pid, libc::SIGKILL));
    }
}

#[test]
fn every_kind_is_found_by_an_event_and_mended() {
    let mut bed = bed("drift-heal");
    bed.zone("h", 10, "drift: {default: heal, maxPerHour: 3600}");
    // Who enters is killed only where the manifest names it.
    bed.zone("p", 14, "drift: {fields: {processes: heal}, maxPerHour: 3600}");
    bed.host.start_controller();
    bed.wait_steady("h");
    bed.wait_steady("p");
    std::thread::sleep(Duration::from_millis(500));
    println!("{:<36} {:<28} {:>9} {:>9}", "KIND", "FIELD", "FOUND ms", "MENDED ms");
    let only = std::env::var("REEVE_DRIFT_KIND").ok();
    let mut count = 0;
    for (name, make, field) in kinds() {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let zone = if field == "processes." { "p" } else { "h" };
        let since = now();
        bed.make(zone, &make);
        let (found, own) = bed.wait_event(zone, field, "DriftFound", since, name);
        let (mended, _) = bed.wait_event(zone, &own, "DriftMended", since, name);
        println!("{name:<36} {own:<28} {found:>9} {mended:>9}");
        bed.wait_steady(zone);
        let left = bed.drifted(zone);
        assert!(left.is_empty(), "{name}: {left:?}\n{}", bed.host.controller_log());
        count += 1;
    }
    assert!(only.is_some() || count >= 40, "{count}");
    println!("{count} kinds");
    let Bed { ref mut host, .. } = bed;
    let _ = Command::new("ip").args(["link", "del", "rvother"]).status();
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn what_is_only_told_of_stays_and_is_cleared_by_hand() {
    let mut bed = bed("drift-warn");
    bed.zone("w", 11, "drift: {default: warn}");
    bed.host.start_controller();
    bed.wait_steady("w");
    std::thread::sleep(Duration::from_millis(500));
    let rows: [(&str, &str, &str); 6] = [
        ("nsenter -t $Z -u hostname other", "hostname", "nsenter -t $Z -u hostname w"),
        ("nsenter -t $Z -n ip link set net0 mtu 1400", "net.net0.mtu", "nsenter -t $Z -n ip link set net0 mtu 1500"),
        (
            "nsenter -t $Z -n ip route del default",
            "routes.default",
            "nsenter -t $Z -n ip route add default via 192.0.2.1",
        ),
        ("ip link set $L down", "net", "ip link set $L up"),
        ("chmod 755 $P", "zonepath.mode", "chmod 700 $P"),
        ("echo 1 > $C/cgroup.freeze", "cgroup.freeze", "echo 0 > $C/cgroup.freeze"),
    ];
    let told = |bed: &Bed, field: &str, undo: &dyn Fn(&Bed)| {
        let (status, found) = bed.host.wait("w", "told of", |status| {
            condition(status, "Drifted")
                .is_some_and(|one| one["message"].as_str().is_some_and(|text| text.split(", ").any(|own| own == field)))
        });
        assert_eq!(condition(&status, "Converged").expect("Converged")["reason"], "Drifted", "{status:#}");
        assert!(condition(&status, "Stalled").is_none() && condition(&status, "Reconciling").is_none(), "{status:#}");
        bed.no_change("w");
        std::thread::sleep(Duration::from_millis(300));
        let drifted = bed.drifted("w");
        assert!(drifted.iter().any(|one| one["field"] == field && one["handling"] == "warn"), "{drifted:?}");
        undo(bed);
        let (_, cleared) = bed.host.wait("w", "cleared", |status| condition(status, "Drifted").is_none());
        println!("warn {field:<20} found {found:?}, cleared by hand {cleared:?}");
        bed.wait_steady("w");
    };
    for (make, field, undo) in rows {
        bed.make("w", &Sh(make));
        told(&bed, field, &|bed| bed.make("w", &Sh(undo)));
    }
    // Mounts, and back again with the options that `reeve drift` shows.
    bed.make("w", &Mounts(|| remount("/usr", MountFlags::BIND | MountFlags::NODEV, "")));
    told(&bed, "fs./usr.options", &|bed| {
        let again = || remount("/usr", MountFlags::BIND | MountFlags::NODEV | MountFlags::RDONLY, "");
        bed.make("w", &Mounts(again));
    });
    // Who entered is told, and is not touched.
    let status = bed.status("w");
    let zsched = status["zschedPid"].to_string();
    let mut child = Command::new("nsenter").args(["-t", &zsched, "-n", "sleep", "300"]).spawn().expect("nsenter");
    let pid = i32::try_from(child.id()).expect("a pid");
    bed.started.push(pid);
    let field = format!("processes.{pid}");
    bed.host.wait("w", "told of who entered", |status| {
        condition(status, "Drifted")
            .is_some_and(|one| one["message"].as_str().is_some_and(|text| text.contains(&field)))
    });
    let drifted = bed.drifted("w");
    let own = drifted.iter().find(|one| one["field"] == field.as_str()).expect("the process");
    assert_eq!(
        (&own["who"]["comm"], &own["who"]["uid"], &own["who"]["pid"]),
        (&"sleep".into(), &0.into(), &pid.into())
    );
    assert!(child.try_wait().expect("wait").is_none(), "it was ended");
    sys::kill(pid, libc::SIGKILL);
    child.wait().expect("wait");
    bed.started.clear();
    bed.host.wait("w", "cleared", |status| condition(status, "Drifted").is_none());
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn what_is_ignored_is_left_and_shown_only_when_asked_for() {
    let mut bed = bed("drift-ignore");
    bed.zone("i", 12, "drift: {default: ignore, fields: {hostname: heal, processes: ignore}}");
    bed.host.start_controller();
    bed.wait_steady("i");
    std::thread::sleep(Duration::from_millis(500));
    let rows = [
        ("nsenter -t $Z -n ip link set net0 mtu 1400", "net.net0.mtu"),
        ("chmod 755 $P", "zonepath.mode"),
        ("rm /proc/$Z/root/dev/null", "devices.null"),
        ("ip link set $L down", "net"),
    ];
    for (make, field) in rows {
        let since = now();
        bed.make("i", &Sh(make));
        bed.wait_event("i", field, "DriftFound", since, field);
    }
    // Something beside it is mended, and those are not.
    let since = now();
    bed.make("i", &Sh("nsenter -t $Z -u hostname other"));
    bed.wait_event("i", "hostname", "DriftMended", since, "hostname");
    let left = bed.drifted("i");
    for (_, field) in rows {
        assert!(left.iter().any(|one| one["field"] == field && one["handling"] == "ignore"), "{field}: {left:?}");
    }
    let status = bed.status("i");
    assert!(condition(&status, "Drifted").is_none(), "{status:#}");
    assert_eq!(condition(&status, "Converged").expect("Converged")["status"], "True", "{status:#}");
    bed.no_change("i");
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn what_comes_back_too_often_stops_being_mended_until_somebody_says_so() {
    let mut bed = bed("drift-returning");
    bed.zone("r", 13, "drift: {maxPerHour: 2}");
    bed.host.start_controller();
    bed.wait_steady("r");
    std::thread::sleep(Duration::from_millis(500));
    let make = Sh("nsenter -t $Z -u hostname other");
    for _ in 0..2 {
        let since = now();
        bed.make("r", &make);
        bed.wait_event("r", "hostname", "DriftMended", since, "hostname");
    }
    bed.make("r", &make);
    let (status, _) = bed.host.wait("r", "told to come back", |status| condition(status, "DriftReturning").is_some());
    assert!(condition(&status, "Stalled").is_some() && condition(&status, "Drifted").is_some(), "{status:#}");
    assert_eq!(bed.drifted("r")[0]["returning"], true);
    let since = now();
    bed.host.ok(&["retry", "r"]);
    bed.wait_event("r", "hostname", "DriftMended", since, "hostname");
    bed.wait_steady("r");
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

#[test]
fn drift_waits_at_its_gate_for_somebody_who_approves_exactly_that() {
    let mut bed = bed("drift-gate");
    bed.zone("g", 14, "approval: {drift: {from: live}}");
    bed.host.start_controller();
    bed.wait_steady("g");
    std::thread::sleep(Duration::from_millis(500));
    let make = Sh("nsenter -t $Z -u hostname other");
    let pending = |status: &Value| status["pending"]["digest"].as_str().map(str::to_owned);
    bed.make("g", &make);
    let (status, _) = bed.host.wait("g", "waiting", |status| pending(status).is_some());
    assert_eq!(condition(&status, "Converged").expect("Converged")["reason"], "Drifted", "{status:#}");
    assert_eq!(
        condition(&status, "AwaitingConfirmation").expect("a person is needed")["reason"],
        "DriftApprovalRequired"
    );
    let told = bed.host.ok(&["describe", "g"]);
    assert!(told.contains("Drift:") && told.contains("waiting") && told.contains("reeve approve zone"), "{told}");
    let drifted = bed.drifted("g");
    assert_eq!((drifted.len(), &drifted[0]["waiting"]), (1, &Value::Bool(true)), "{drifted:?}");
    // A zone without its supervisor is taken over at once all the same.
    bed.make("g", &Sh("kill -9 $A"));
    bed.host.wait("g", "adopted", |now| now["zoneadmdPid"].is_i64() && now["zoneadmdPid"] != status["zoneadmdPid"]);
    let first = pending(&status).expect("a digest");
    // Another value is not what was looked at.
    bed.make("g", &Sh("nsenter -t $Z -u hostname third"));
    bed.host.wait("g", "another", |status| pending(status).is_some_and(|digest| digest != first));
    bed.host.ok(&["approve", "zone", "g", &first]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bed.drifted("g")[0]["observed"], "third", "it was mended by an approval of something else");
    let since = now();
    bed.host.ok(&["approve", "zone", "g"]);
    bed.wait_event("g", "hostname", "DriftMended", since, "hostname");
    bed.wait_steady("g");
    // What was approved is spent: the same again waits again.
    bed.make("g", &Sh("nsenter -t $Z -u hostname third"));
    bed.host.wait("g", "waiting again", |status| pending(status).is_some());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bed.drifted("g")[0]["waiting"], true);
    bed.make("g", &Sh("nsenter -t $Z -u hostname g"));
    bed.wait_steady("g");
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

/// Makes a folder one that can be changed again, whatever happened.
struct Mutable(String);

impl Drop for Mutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-i", &self.0]).status();
    }
}

#[test]
fn what_cannot_be_mended_keeps_no_init_from_being_started() {
    let mut bed = bed("drift-unmendable");
    bed.zone("u", 15, "");
    bed.host.start_controller();
    bed.wait_steady("u");
    let before = bed.status("u");
    std::thread::sleep(Duration::from_millis(500));
    let mutable = Mutable(before["zonepath"].as_str().expect("a path").to_owned());
    // Between the two it would be mended.
    let controller = bed.host.controller_pid();
    sys::kill(controller, libc::SIGSTOP);
    bed.make("u", &Sh("chmod 755 $P && chattr +i $P"));
    sys::kill(controller, libc::SIGCONT);
    let failing = |status: &Value| {
        condition(status, "Converged")
            .is_some_and(|one| one["message"].as_str().is_some_and(|text| text.contains("zonepath.mode")))
            && condition(status, "Converged").is_some_and(|one| one["reason"] == "StepFailed")
    };
    bed.host.wait("u", "failing", failing);
    bed.make("u", &Sh("kill -9 $I"));
    bed.host.wait("u", "started again", |now| now["initPid"].is_i64() && now["initPid"] != before["initPid"]);
    drop(mutable);
    bed.host.ok(&["retry", "u"]);
    bed.wait_steady("u");
    assert!(bed.drifted("u").is_empty(), "{:?}", bed.drifted("u"));
    let Bed { ref mut host, .. } = bed;
    let left = host.take_down();
    assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, host.controller_log());
}

//! The host on which drift is made, and what is to be seen there afterwards.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use reeve_kernel::netlink::Rtnl;
use reeve_kernel::platform::namespaces::open_namespace;
use reeve_kernel::sys;
use serde_json::Value;

use crate::harness::{self, Host, PATIENCE, SLEEPER};
use crate::kinds::Make::{self, Mounts, Sh};

/// A host with a controller that hears of drift by events alone.
pub struct Bed {
    /// The host.
    pub host: Host,
    /// Processes to be ended with it.
    pub started: Vec<i32>,
}

impl Bed {
    pub fn zone(&self, name: &str, last: u8, drift: &str) {
        let spec = format!("{SLEEPER}fs:\n  - {{dir: /data, type: tmpfs}}\n{}{drift}", harness::net(last));
        self.host.zone(name, "running", &spec);
    }

    pub fn status(&self, zone: &str) -> Value {
        self.host.zone_status(zone)
    }

    /// Makes a drift of a zone.
    pub fn make(&self, zone: &str, make: &Make) {
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
    pub fn events(&self, zone: &str, field: &str, since: u64) -> Vec<(String, u64, String)> {
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
    pub fn wait_event(&self, zone: &str, field: &str, reason: &str, since: u64, name: &str) -> (u64, String) {
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

    pub fn drifted(&self, zone: &str) -> Vec<Value> {
        let output = self.host.reeve(&["drift", zone, "-o", "json"]);
        assert!(output.status.code() != Some(2), "{}", harness::shown(&output));
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let items = list["items"].as_array().expect("items").clone();
        assert_eq!(output.status.code(), Some(i32::from(!items.is_empty())), "{items:?}");
        items
    }

    /// Nothing in the plan says that somebody changed a manifest.
    pub fn no_change(&self, zone: &str) {
        let manifests = self.host.manifests();
        let output = self.host.reeve(&["diff", manifests.to_str().expect("UTF-8"), "-o", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let own = list["items"].as_array().expect("items").iter().filter(|item| item["name"] == zone);
        for difference in own.flat_map(|item| item["differences"].as_array().expect("differences").clone()) {
            assert_eq!(difference["cause"], "drift", "{difference}");
        }
    }

    pub fn wait_steady(&self, zone: &str) {
        self.host.wait(zone, "as wanted", |status| {
            status["state"] == "running"
                && status["conditions"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["type"] == "Converged" && one["status"] == "True"))
        });
    }
}

pub fn now() -> u64 {
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

pub fn condition<'s>(status: &'s Value, kind: &str) -> Option<&'s Value> {
    status["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

pub fn bed(test: &str) -> Bed {
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

//! The soak: many zones are booted and halted again and again under one controller, and what they cost is looked at after
//! each round, in the same state. Nothing may grow: descriptors, mounts, cgroups, namespaces, links, processes, memory.

use crate::Result;
use crate::harness::{self, Host, kernel};
use crate::inject::Tools;
use crate::scene::{Kind, Problem, problem};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long all zones may take for one change.
const PATIENCE: Duration = Duration::from_secs(300);
/// With fewer rounds memory says nothing: what grows to its bound and stays (histories, the allocator's pools) is not
/// there yet.
const ROUNDS_FOR_MEMORY: usize = 20;
/// How long the controller is left alone before its memory is read: it gives memory back when it has been at rest for two
/// seconds, and threads that have nothing to do end after five.
const AT_REST: Duration = Duration::from_secs(7);
/// Descriptors that the controller keeps open for its next looks: three for each of at most eight lookers, of which it needs
/// another where two looks happen to meet.
const LOOKERS_ONCE: f64 = 24.0;

/// KiB by which the memory of all processes together may differ at the end without anything growing: pages that are
/// touched once.
const PAGES_ONCE: f64 = 256.0;
/// The standard deviations that chance exceeds once in a hundred times, upwards.
const ONE_IN_A_HUNDRED: f64 = 2.33;

/// What is counted, in the order in which it is printed.
const COUNTED: [&str; 9] = [
    "descriptors",
    "mounts",
    "cgroups",
    "namespaces",
    "links",
    "processes",
    "zombies",
    "controller_kib",
    "zoneadmd_kib",
];

/// Boots `zones` zones `boots` times; what grew, and what is left over.
///
/// # Errors
/// When the zones do not get where they are wanted.
pub fn soak(tools: &Tools, zones: usize, boots: usize) -> Result<Vec<Problem>> {
    let soak = Soak::start(tools, zones)?;
    let mut rounds: Vec<BTreeMap<&'static str, f64>> = Vec::new();
    for boot in 0..boots {
        soak.take_all("running")?;
        soak.wait_for_next()?;
        if boots >= ROUNDS_FOR_MEMORY {
            std::thread::sleep(AT_REST);
        }
        let counts = soak.least();
        if boot == 0 || boot + 1 == boots || (boot + 1) % 10 == 0 {
            let shown = COUNTED.map(|what| format!("{what} {}", counts[what]));
            println!("soak: boot {}: {}", boot + 1, shown.join(", "));
        }
        rounds.push(counts);
        soak.take_all("installed")?;
    }
    let mut problems = Vec::new();
    for what in COUNTED {
        let values: Vec<f64> = rounds.iter().map(|counts| counts[what]).collect();
        let (all, late) = (slope(&values), slope(&values[values.len() / 2..]));
        println!("soak: {what}: slope {all:.3} a boot of {zones} zones, {late:.3} in the second half");
        if grows(what, &values) {
            problems.push(problem(Kind::LeftOver, format!("{what} grow by {late:.3} a boot: {values:?}")));
        }
    }
    if rounds.iter().any(|counts| counts["zombies"] > 0.0) {
        problems.push(problem(Kind::LeftOver, "children of the controller ended and are not reaped"));
    }
    problems.extend(soak.finish()?);
    Ok(problems)
}

/// What is kept for the next time is taken once: the second half of the rounds decides. In it numbers of things must be the
/// same. Memory goes up and down with what happens to be in the allocator's pools, a twentieth of it from round to round:
/// it grows where that is a trend after the first fifth of the rounds (with less than one in a hundred to be chance) and comes
/// to more than [`PAGES_ONCE`] and a hundredth of it.
fn grows(what: &str, values: &[f64]) -> bool {
    if what.ends_with("_kib") {
        let steady = &values[values.len() / 5..];
        let growth = slope(steady) * steady.len() as f64;
        let much = growth > PAGES_ONCE && growth > steady[0] / 100.0;
        return values.len() >= ROUNDS_FOR_MEMORY && much && trend(steady) > ONE_IN_A_HUNDRED;
    }
    let half = &values[values.len() / 2..];
    slope(half) * half.len() as f64 > if what == "descriptors" { LOOKERS_ONCE } else { 0.0 }
}

/// How surely the values rise: Mann's and Kendall's statistic, in standard deviations of what chance gives.
fn trend(values: &[f64]) -> f64 {
    let pairs = (0..values.len()).flat_map(|late| (0..late).map(move |early| (early, late)));
    let sum: i32 =
        pairs.map(|(early, late)| values[late].partial_cmp(&values[early]).map_or(0, |order| order as i32)).sum();
    let n = values.len() as f64;
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    f64::from(sum - sum.signum()) / deviation
}

/// The median of the slopes between any two rounds (the estimator of Theil and Sen). What grows with every round shows in
/// it whole; a round that was counted just after the controller's full look of once a minute, when it keeps up to seven
/// descriptors for each zone at rest (`reconciler/src/quiet.rs`), does not bend it.
fn slope(values: &[f64]) -> f64 {
    let pairs = (0..values.len()).flat_map(|late| (0..late).map(move |early| (early, late)));
    let mut slopes: Vec<f64> =
        pairs.map(|(early, late)| (values[late] - values[early]) / (late - early) as f64).collect();
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

struct Soak {
    host: Host,
    tools: Tools,
    zones: usize,
    controller: Child,
}

impl Drop for Soak {
    fn drop(&mut self) {
        let _ = self.controller.kill();
        let _ = self.controller.wait();
    }
}

impl Soak {
    fn start(tools: &Tools, zones: usize) -> Result<Self> {
        let host = Host::new("faults");
        let log = std::fs::File::create(host.folder().join("controller.log")).map_err(|error| error.to_string())?;
        write(&host, zones, "installed");
        let manifests = host.manifests().display().to_string();
        let mut command = tools.retarget(&host.command(&["run", &manifests]));
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(|error| error.to_string())?).stderr(log);
        let controller = command.spawn().map_err(|error| format!("reeve run: {error}"))?;
        let soak = Self { host, tools: tools.clone(), zones, controller };
        soak.wait_for("installed")?;
        Ok(soak)
    }

    fn take_all(&self, state: &str) -> Result<()> {
        write(&self.host, self.zones, state);
        self.wait_for(state)
    }

    fn wait_for(&self, state: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let statuses = self.statuses()?;
            let there = statuses.iter().filter(|status| {
                status["state"] == state && status["conditions"].to_string().contains(r#""reason":"AsWanted""#)
            });
            if there.count() == self.zones {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.host.folder().join("controller.log")).unwrap_or_default();
                let end: String = log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
                return Err(format!(
                    "soak: not all zones are {state} after {PATIENCE:?}; the controller said last:\n{end}"
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until all that is made ahead is there, for which nobody waits: in each zone the process that becomes the next init, and the
    /// zoneadmd of the next zone.
    fn wait_for_next(&self) -> Result<()> {
        let cgroup = self.host.cgroup();
        let zones = || (0..self.zones).map(|number| cgroup.join(format!("zone.s{number}")));
        let all_there = || {
            zones().all(|zone| kernel::waiting(&zone).is_some())
                && kernel::processes(&cgroup.join("zoneadmd")).len() == self.zones + 1
        };
        if kernel::within(PATIENCE, all_there) {
            return Ok(());
        }
        let missing = zones().filter(|zone| kernel::waiting(zone).is_none()).count();
        let zoneadmds = kernel::processes(&cgroup.join("zoneadmd")).len();
        Err(format!("soak: {missing} zones without a next init after {PATIENCE:?}, and {zoneadmds} zoneadmds"))
    }

    fn statuses(&self) -> Result<Vec<Value>> {
        let mut command = self.tools.retarget(&self.host.command(&["get", "-o", "json"]));
        let output = command.output().map_err(|error| format!("reeve get: {error}"))?;
        let list: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("reeve get: {error}: {}", harness::shown(&output)))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The least of a few looks: what is open for the moment of a pass is not kept.
    fn least(&self) -> BTreeMap<&'static str, f64> {
        let mut least = self.count();
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(100));
            for (what, value) in self.count() {
                least.entry(what).and_modify(|least| *least = least.min(value));
            }
        }
        least
    }

    /// What there is of everything now.
    fn count(&self) -> BTreeMap<&'static str, f64> {
        let controller = self.controller.id() as i32;
        let (all, zoneadmds) =
            (kernel::processes(&self.host.cgroup()), kernel::processes(&self.host.cgroup().join("zoneadmd")));
        let everybody = || all.iter().copied().chain([controller]);
        let namespaces: BTreeSet<String> = everybody().flat_map(kernel::namespaces).collect();
        let mounts: usize = everybody().map(|pid| lines(&format!("/proc/{pid}/mountinfo"))).sum();
        let descriptors: usize = everybody().map(|pid| entries(Path::new(&format!("/proc/{pid}/fd")))).sum();
        let counts = [
            descriptors as f64,
            mounts as f64,
            cgroups(&self.host.cgroup()) as f64,
            namespaces.len() as f64,
            lines("/proc/thread-self/net/dev") as f64,
            all.len() as f64,
            zombies_of(controller) as f64,
            pss(controller),
            zoneadmds.into_iter().map(pss).sum(),
        ];
        COUNTED.into_iter().zip(counts).collect()
    }

    fn finish(mut self) -> Result<Vec<Problem>> {
        reeve_kernel::sys::kill(self.controller.id() as i32, libc::SIGTERM);
        self.controller.wait().map_err(|error| format!("wait for the controller: {error}"))?;
        let left = self.host.take_down();
        Ok(left.problems.into_iter().map(|text| problem(Kind::LeftOver, text)).collect())
    }
}

/// All manifests, in one file that changes in one step.
fn write(host: &Host, zones: usize, state: &str) {
    let one = |number: usize| {
        let [high, low] = (number as u16 + 2).to_be_bytes();
        let net = format!(
            "net:\n  - physical: rvbr0\n    address: 10.99.{high}.{low}/16\n    defrouter: 10.99.255.254\n{}  haltTimeout: 0s\n",
            harness::SLEEPER
        );
        harness::manifest(&format!("s{number}"), state, &net)
    };
    host.write("zones.yaml", &(0..zones).map(one).collect::<Vec<_>>().join("---\n"));
}

fn lines(path: &str) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn cgroups(folder: &Path) -> usize {
    let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    1 + folders.map(|entry| cgroups(&entry.path())).sum::<usize>()
}

/// Children of a process that have ended and that it has not waited for.
fn zombies_of(parent: i32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()).collect::<Vec<_>>()
    });
    children.filter(|pid| !kernel::alive(*pid)).count()
}

/// The memory that a process has for itself and its share of what it shares, KiB (proc_pid_smaps(5)).
fn pss(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

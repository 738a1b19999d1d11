//! A host with the zone that faults are about, `z`, and one beside it that must not notice, `b`; and what is looked at
//! afterwards. The kernel bears witness, without any code of Reeve's.

use crate::Result;
use crate::harness::{self, Host, kernel};
use crate::inject::{Fault, Logged, Ran, Role, Tools};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

/// What the zone wrote before anything went wrong.
const MARKER: &str = "upper/marker";
/// How long processes that are on their way out may be seen.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Data of a zone, or a zone, or the state that its manifest wants, is not there.
    Lost,
    /// There is a second zoneadmd, zsched or init.
    Doubled,
    /// Something is there after all was removed.
    LeftOver,
    /// A command panicked, hung, kept an error to itself, or did something before its intent was written.
    Wrong,
}

/// One thing that went wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Of which kind.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// A [`Problem`].
pub fn problem(kind: Kind, text: impl Into<String>) -> Problem {
    Problem { kind, text: text.into() }
}

/// What is done while the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Install,
    Ready,
    Boot,
    Stop,
    Halt,
    Reboot,
    Purge,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Install, Self::Ready, Self::Boot, Self::Stop, Self::Halt, Self::Reboot, Self::Purge];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["install", "ready", "boot", "stop", "halt", "reboot", "purge"][self as usize]
    }

    /// The state before it; none: there is no such zone.
    fn from(self) -> Option<&'static str> {
        match self {
            Self::Install => None,
            Self::Ready | Self::Purge => Some("installed"),
            Self::Boot => Some("ready"),
            Self::Stop | Self::Halt | Self::Reboot => Some("running"),
        }
    }

    /// The state after it.
    pub fn to(self) -> Option<&'static str> {
        match self {
            Self::Install | Self::Halt => Some("installed"),
            Self::Ready | Self::Stop => Some("ready"),
            Self::Boot | Self::Reboot => Some("running"),
            Self::Purge => None,
        }
    }

    /// Whether a zoneadmd of `z` takes part in it.
    pub fn has_zoneadmd(self) -> bool {
        !matches!(self, Self::Install | Self::Purge)
    }

    /// The transition that the journal names while it goes on; none where the journal has no part in it.
    pub fn transition(self) -> Option<&'static str> {
        self.has_zoneadmd().then(|| self.name())
    }
}

/// The host with the two zones.
pub struct Scene {
    /// The host.
    pub host: Host,
    tools: Tools,
    bystander: Value,
    data: bool,
}

impl Scene {
    /// A host on which only `b` is there, and runs.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(tools: &Tools) -> Result<Self> {
        let host = Host::new("faults");
        host.zone("b", "running", &spec(11));
        let mut scene = Self { host, tools: tools.clone(), bystander: Value::Null, data: false };
        scene.apply()?;
        scene.bystander = scene.status("b")?;
        Ok(scene)
    }

    /// Runs `reeve` without a fault.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn reeve(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.tools.retarget(&self.host.command(arguments));
        command.output().map_err(|error| format!("reeve {arguments:?}: {error}"))
    }

    fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.reeve(arguments)?;
        if !output.status.success() {
            return Err(format!("reeve {arguments:?}: {}\n{}", output.status, harness::shown(&output)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies the manifests, which must converge.
    ///
    /// # Errors
    /// What it said.
    pub fn apply(&self) -> Result<String> {
        self.ok(&["apply", &self.manifests()])
    }

    /// The folder of the manifests.
    pub fn manifests(&self) -> String {
        self.host.manifests().display().to_string()
    }

    /// Says in the manifest where `z` shall be; none: there shall be no such zone.
    pub fn want(&self, state: &str) {
        self.host.zone("z", state, &spec(10));
    }

    /// What `reeve get` says of a zone; null when there is none.
    ///
    /// # Errors
    /// When it fails or prints no list.
    pub fn status(&self, zone: &str) -> Result<Value> {
        let text = self.ok(&["get", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text).map_err(|error| format!("get -o json: {error}: {text}"))?;
        let items = list["items"].as_array().ok_or("get -o json: no items")?;
        Ok(items.iter().find(|status| status["name"] == zone).cloned().unwrap_or(Value::Null))
    }

    /// Takes `z` to where `operation` begins, with data that it wrote itself.
    ///
    /// # Errors
    /// When it cannot be taken there, without any fault.
    pub fn begin(&mut self, operation: Operation) -> Result<()> {
        let Some(state) = operation.from() else {
            self.data = false;
            if !self.status("z")?.is_null() {
                self.ok(&["down", &self.manifest_of_z(), "--purge"])?;
            }
            return Ok(());
        };
        if !self.data {
            self.want("running");
            self.apply()?;
            self.ok(&["login", "z", "--", "/bin/sh", "-c", "echo of z > /marker"])?;
            self.data = true;
        }
        self.want(state);
        self.apply().map(drop)
    }

    fn manifest_of_z(&self) -> String {
        self.host.manifests().join("z.yaml").display().to_string()
    }

    /// Carries out `operation` with a fault in it, or with a log of its system calls.
    ///
    /// # Errors
    /// When the injector does not work.
    pub fn strike(&mut self, operation: Operation, fault: Option<&Fault>) -> Result<(Ran, Vec<Logged>)> {
        if let (Some(state), false) = (operation.to(), operation == Operation::Reboot) {
            self.want(state);
        }
        let (manifests, own) = (self.manifests(), self.manifest_of_z());
        let arguments = match operation {
            Operation::Reboot => vec!["reboot", "z"],
            Operation::Purge => vec!["down", own.as_str(), "--purge"],
            _ => vec!["apply", manifests.as_str()],
        };
        self.data &= operation != Operation::Purge;
        let attached =
            if operation.from().is_some_and(|state| state != "installed") { self.processes()? } else { Vec::new() };
        self.tools.run(self.host.folder(), &self.host.command(&arguments), fault, &attached)
    }

    fn processes(&self) -> Result<Vec<(i32, Role)>> {
        let status = self.status("z")?;
        let pid = |field: &str| status[field].as_i64().map(|pid| pid as i32).ok_or(format!("no {field}: {status}"));
        Ok(vec![(pid("zoneadmdPid")?, Role::Zoneadmd), (pid("zschedPid")?, Role::Zsched)])
    }

    /// A new controller has to take both zones where their manifests say, once no fault strikes any more.
    pub fn recover(&mut self, operation: Operation) -> Vec<Problem> {
        let done = match operation {
            Operation::Purge => self.ok(&["down", &self.manifest_of_z(), "--purge"]),
            _ => self.apply(),
        };
        match done {
            Ok(_) => self.look(operation.to()),
            Err(why) => vec![problem(Kind::Lost, format!("the next controller does not get there: {why}"))],
        }
    }

    /// Looks whether `z` is in this state once, with its data, and `b` as it was.
    pub fn look(&self, state: Option<&str>) -> Vec<Problem> {
        let mut problems = self.looked_up(state);
        let deadline = Instant::now() + SETTLED_WITHIN;
        let expected = census_of(state);
        while self.census() != expected {
            if Instant::now() > deadline {
                let found = self.census();
                let kind = if found.iter().any(|(name, count)| *count > expected.get(name).copied().unwrap_or(0)) {
                    Kind::Doubled
                } else {
                    Kind::Lost
                };
                let cgroup = kernel::describe(&self.host.cgroup());
                problems.push(problem(kind, format!("processes: {found:?}, not {expected:?}\n{cgroup}")));
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let marker = |zone: &str| self.zonepath(zone).join(MARKER);
        if self.data && std::fs::read_to_string(marker("z")).unwrap_or_default() != "of z\n" {
            problems.push(problem(Kind::Lost, format!("{} is not as the zone wrote it", marker("z").display())));
        }
        problems
    }

    fn zonepath(&self, zone: &str) -> PathBuf {
        self.host.folder().join("state/zonepaths").join(zone)
    }

    fn looked_up(&self, state: Option<&str>) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.status("z") {
            Ok(status) => {
                let converged = status["conditions"].to_string().contains(r#""reason":"AsWanted""#);
                if status["state"].as_str() != state || (state.is_some() && !converged) {
                    problems.push(problem(Kind::Lost, format!("z is not {state:?} and as wanted: {status:#}")));
                }
            }
            Err(why) => problems.push(problem(Kind::Lost, why)),
        }
        match self.status("b") {
            Ok(status) => {
                let changed = |field: &&&str| status[**field] != self.bystander[**field];
                // Its zoneadmd may be another one: that is what it is made for, and the zone does not notice.
                if let Some(field) = ["state", "zoneId", "zschedPid", "initPid"].iter().find(changed) {
                    let (was, is) = (&self.bystander[*field], &status[*field]);
                    problems.push(problem(Kind::Lost, format!("zone b noticed: {field} was {was}, is {is}")));
                }
            }
            Err(why) => problems.push(problem(Kind::Lost, why)),
        }
        problems
    }

    /// How many there are of each process of `z`.
    fn census(&self) -> BTreeMap<&'static str, usize> {
        let parent = self.host.cgroup();
        let zone = kernel::at_work(&parent.join("zone.z"));
        let firsts = zone.iter().filter(|pid| is_first(**pid)).count();
        let zscheds = kernel::processes(&parent.join("zone.z/zsched")).len();
        let supervisors = kernel::processes(&parent.join("zoneadmd"));
        let supervisors = supervisors.iter().filter(|pid| kernel::command_line(**pid) == "zoneadmd z").count();
        [("zoneadmd", supervisors), ("zsched", zscheds), ("init", firsts - zscheds.min(firsts)), ("all", zone.len())]
            .into()
    }

    /// Whether the intent of `operation` is in the journal of `z`, or what came after it.
    pub fn intent(&self, operation: Operation) -> std::result::Result<(), String> {
        let Some(transition) = operation.transition() else { return Ok(()) };
        let path = self.host.run_folder("z").join("journal.json");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let entry: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        if entry["transition"] == transition { Ok(()) } else { Err(format!("the journal says {entry}")) }
    }

    /// Says what is left when both zones are removed.
    pub fn finish(mut self) -> Vec<Problem> {
        if !self.host.manifests().join("z.yaml").exists() {
            self.want("installed");
        }
        let left = match self.tools.planted {
            Some(_) => kernel::Left::default(),
            None => self.host.take_down(),
        };
        let mut problems: Vec<Problem> = left.problems.into_iter().map(|text| problem(Kind::LeftOver, text)).collect();
        if self.tools.planted.is_none() {
            problems.extend(self.files_left());
        }
        problems
    }

    /// Files beyond those that a host without a zone has.
    fn files_left(&self) -> Vec<Problem> {
        let mut left = Vec::new();
        let mut open = vec![self.host.folder().join("state"), self.host.folder().join("run")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                } else if !["lock", "idmap.lock", "idmap.json", "events.jsonl"].contains(&name.as_str())
                    // What was set aside is a person's to look at.
                    && !name.contains(".bad-")
                {
                    left.push(problem(Kind::LeftOver, format!("file {}", path.display())));
                }
            }
        }
        let map = std::fs::read_to_string(self.host.folder().join("state/idmap.json")).unwrap_or_default();
        let map: Value = serde_json::from_str(&map).unwrap_or_default();
        if map["ranges"].as_object().is_some_and(|ranges| !ranges.is_empty()) {
            left.push(problem(Kind::LeftOver, format!("ranges of IDs: {}", map["ranges"])));
        }
        left
    }
}

fn spec(address: u8) -> String {
    format!("{}{}", harness::net(address), harness::SLEEPER)
}

fn census_of(state: Option<&str>) -> BTreeMap<&'static str, usize> {
    let (zoneadmd, zsched, init, all) = match state {
        Some("ready") => (1, 1, 0, 1),
        // zsched, the default init, and its command.
        Some("running") => (1, 1, 1, 3),
        _ => (0, 0, 0, 0),
    };
    [("zoneadmd", zoneadmd), ("zsched", zsched), ("init", init), ("all", all)].into()
}

/// Whether a process is the first of a PID namespace, by the last field of NSpid in proc_pid_status(5).
fn is_first(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.is_some_and(|line| line.split_whitespace().last() == Some("1"))
}

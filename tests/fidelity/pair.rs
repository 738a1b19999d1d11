//! One pair on the kernel: a host is brought to where the scenario has it, then planned, applied and looked at.

use crate::compare::{self, Seen};
use crate::harness::{self, Host, kernel};
use crate::scenario::{Event, NAMES, Scenario, Spec};
use crate::{Result, compare::Told};
use reeve_kernel::sys;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long what is under way may take to be over before the plan is made.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// What a zone wrote before: it is gone exactly where the plan says that data is.
const MARKER: &str = "upper/marker";

/// The program that is tested.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// The fault that is planted in it while it applies.
    pub planted: Option<String>,
}

/// What came of a pair.
#[derive(Debug, Default)]
pub struct Done {
    /// How many steps the plan had.
    pub steps: usize,
    /// Where what was done is not what was planned.
    pub differs: Vec<String>,
    /// What was planned and told, for whoever looks for the reason.
    pub story: String,
}

/// Does all of it. What a test cannot do counts as a difference: nothing was shown then.
pub fn carry_out(program: &Program, scenario: &Scenario) -> Done {
    let mut stage = Stage { host: Host::new("fidelity"), program, done: Done::default() };
    if let Err(why) = stage.play(scenario) {
        stage.done.differs.push(why);
    }
    let Stage { mut host, mut done, .. } = stage;
    // A folder without any manifest is not taken down.
    let spec = scenario.before.iter().chain(&scenario.after).flatten().next();
    let spec = spec.cloned().map(|spec| Spec { address: None, below: false, ..spec });
    for name in spec.iter().flat_map(|_| NAMES) {
        let text = spec.as_ref().map(|spec| spec.manifest(name, &tree(&host))).unwrap_or_default();
        let _ = std::fs::remove_file(host.manifests().join("below").join(format!("{name}.yaml")));
        host.write(&format!("{name}.yaml"), &text);
    }
    let left = if spec.is_some() { host.take_down().problems } else { Vec::new() };
    done.differs.extend(left.into_iter().map(|left| format!("left over: {left}")));
    done
}

fn tree(host: &Host) -> PathBuf {
    host.folder().join("tree")
}

struct Stage<'p> {
    host: Host,
    program: &'p Program,
    done: Done,
}

impl Stage<'_> {
    fn play(&mut self, scenario: &Scenario) -> Result<()> {
        make_tree(&tree(&self.host)).map_err(|error| format!("the tree of a root: {error}"))?;
        let manifests = self.host.manifests().display().to_string();
        if self.put(&scenario.before)? {
            self.ok(&["apply", &manifests])?;
        }
        for (zone, event) in &scenario.events {
            self.happen(NAMES[*zone], *event)?;
        }
        for name in NAMES {
            let marker = self.zonepath(name).join(MARKER);
            if marker.parent().is_some_and(Path::is_dir) {
                std::fs::write(&marker, "data").map_err(|error| format!("{}: {error}", marker.display()))?;
            }
        }
        if !self.put(&scenario.after)? {
            return Ok(());
        }
        let file = self.host.folder().join("plan.json").display().to_string();
        let deadline = Instant::now() + SETTLED_WITHIN;
        let (plan, before, applied) = loop {
            let plan = self.settled_plan(&manifests, &file)?;
            let before = self.look()?;
            let applied = self.apply(if scenario.saved { &file } else { &manifests })?;
            // What was killed was not gone yet when it was planned: the plan is refused, as it should be, and made anew.
            let stale = scenario.saved && harness::shown(&applied).contains("is stale, nothing was done");
            if !stale || Instant::now() > deadline {
                break (plan, before, applied);
            }
        };
        let after = self.look()?;
        let told = Told::parse(&harness::shown(&applied));
        let again = self.plan(&manifests, None)?;
        let (steps, differs) = compare::compare(&plan, &told, &before, &after, &again);
        self.done.steps = steps;
        self.done.differs.extend(differs);
        if let Some(wrong) = compare::exit(&plan, applied.status.code()) {
            self.done.differs.push(wrong);
        }
        self.done.story = format!("{scenario:#?}\n{}\n{}", compare::shown(&plan), harness::shown(&applied));
        Ok(())
    }

    /// Writes the manifests; whether there are any.
    fn put(&self, specs: &[Option<Spec>; 4]) -> Result<bool> {
        let below = self.host.manifests().join("below");
        std::fs::create_dir_all(&below).map_err(|error| format!("{}: {error}", below.display()))?;
        for (spec, name) in specs.iter().zip(NAMES) {
            for folder in [&self.host.manifests(), &below] {
                let _ = std::fs::remove_file(folder.join(format!("{name}.yaml")));
            }
            if let Some(spec) = spec {
                let file = format!("{}{name}.yaml", if spec.below { "below/" } else { "" });
                let path = self.host.manifests().join(file);
                std::fs::write(&path, spec.manifest(name, &tree(&self.host)))
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(specs.iter().any(Option::is_some))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let like = self.host.command(arguments);
        let mut command = Command::new(&self.program.path);
        command.args(arguments).stdin(Stdio::null());
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    fn reeve(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments).output().map_err(|error| format!("reeve {arguments:?}: {error}"))
    }

    fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.reeve(arguments)?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("reeve {arguments:?}: {}\n{}", output.status, harness::shown(&output))),
        }
    }

    fn apply(&self, what: &str) -> Result<Output> {
        let mut command = self.command(&["apply", "-v", "--timeout", "30s", "--allow-removals", what]);
        if let Some(planted) = &self.program.planted {
            command.env("REEVE_PLANTED_FAULT", planted);
        }
        command.output().map_err(|error| format!("reeve apply: {error}"))
    }

    fn plan(&self, manifests: &str, out: Option<&str>) -> Result<Value> {
        let mut arguments = vec!["plan", manifests, "-o", "json"];
        arguments.extend(out.iter().flat_map(|out| ["--out", out]));
        let text = self.ok(&arguments)?;
        serde_json::from_str(&text).map_err(|error| format!("plan -o json: {error}: {text}"))
    }

    /// The plan, once two in a row are the same: what was killed takes its moment to be gone.
    fn settled_plan(&self, manifests: &str, file: &str) -> Result<Value> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let mut last = self.plan(manifests, Some(file))?;
        loop {
            std::thread::sleep(Duration::from_millis(15));
            let next = self.plan(manifests, Some(file))?;
            if next["items"] == last["items"] && next["digest"] == last["digest"] {
                return Ok(next);
            }
            if Instant::now() > deadline {
                return Err(format!("the plan does not settle:\n{}\n{}", compare::shown(&last), compare::shown(&next)));
            }
            last = next;
        }
    }

    fn statuses(&self) -> Result<Vec<Value>> {
        let text = self.ok(&["get", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text).map_err(|error| format!("get: {error}"))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    fn zonepath(&self, zone: &str) -> PathBuf {
        self.host.folder().join("state/zonepaths").join(zone)
    }

    fn look(&self) -> Result<Vec<Seen>> {
        let statuses = self.statuses()?;
        let one = |name: &str| Seen {
            zone: name.to_owned(),
            status: statuses.iter().find(|status| status["name"] == name).cloned().unwrap_or(Value::Null),
            marker: self.zonepath(name).join(MARKER).exists(),
            processes: kernel::at_work(&self.host.cgroup().join(format!("zone.{name}"))).len(),
        };
        Ok(NAMES.map(one).into())
    }

    fn happen(&self, zone: &str, event: Event) -> Result<()> {
        match event {
            Event::Kill(field) => self.kill(zone, field),
            Event::Ask(words) => {
                let mut words: Vec<&str> =
                    words.iter().map(|word| if *word == "ZONE" { zone } else { *word }).collect();
                if words.len() == 1 {
                    words.push(zone);
                }
                self.ok(&words).map(drop)
            }
            Event::LinkDown => self.link(zone, &["down"]),
            Event::LinkOut => self.link(zone, &["nomaster"]),
            Event::RootGone => remove(&self.zonepath(zone).join("root")),
            Event::Forgotten => remove(&self.host.run_folder(zone).join("memory.json")),
        }
    }

    fn status(&self, zone: &str) -> Result<Value> {
        Ok(self.statuses()?.into_iter().find(|status| status["name"] == zone).unwrap_or(Value::Null))
    }

    fn kill(&self, zone: &str, field: &str) -> Result<()> {
        let status = self.status(zone)?;
        let Some(pid) = status[field].as_i64() else { return Ok(()) };
        let (pid, started) = (pid as i32, kernel::start_time(pid as i32));
        sys::kill(pid, libc::SIGKILL);
        let deadline = Instant::now() + SETTLED_WITHIN;
        while kernel::alive(pid) && kernel::start_time(pid) == started {
            if Instant::now() > deadline {
                return Err(format!("{field} {pid} was killed and is still there"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Changes the host's end of the zone's link.
    fn link(&self, zone: &str, how: &[&str]) -> Result<()> {
        let id = self.status(zone)?["zoneId"].clone();
        let links = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        let names = links.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
        let ends = format!("-{id}.0");
        let Some(name) = names.clone().find(|name| name.ends_with(&ends)) else {
            return Err(format!("no link of zone {zone} ends with {ends}: {:?}", names.collect::<Vec<_>>()));
        };
        let output = Command::new("ip").args(["link", "set", name]).args(how).output();
        let output = output.map_err(|error| format!("ip: {error}"))?;
        if output.status.success() { Ok(()) } else { Err(format!("ip link set {name}: {}", harness::shown(&output))) }
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(|error| format!("{}: {error}", path.display()))
}

/// A small root: Reeve's own init needs no file of it.
fn make_tree(tree: &Path) -> std::io::Result<()> {
    for folder in ["etc", "dev", "proc", "sys", "run", "tmp", "usr", "var"] {
        std::fs::create_dir_all(tree.join(folder))?;
    }
    std::fs::write(tree.join("etc/fidelity"), "root\n")
}

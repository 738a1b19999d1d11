//! One pair as data: the manifests that a host was made from, what then happened to it, and the manifests that are planned
//! and applied. All of it follows from a seed.

use crate::harness;
use crate::random::Random;
use std::path::Path;

/// The zones that there may be.
pub const NAMES: [&str; 4] = ["fa", "fb", "fc", "fd"];

/// A zone as a manifest wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `spec.state`.
    pub state: &'static str,
    /// `spec.deletion`.
    pub deletion: &'static str,
    /// `spec.init.restart`.
    pub restart: &'static str,
    /// A variable of init's: a change of it costs a restart.
    pub variable: usize,
    /// A label: a change of it costs nothing.
    pub label: usize,
    /// The hostname: a change of it costs a rebuild.
    pub hostname: usize,
    /// Last byte of the address on the bridge: a change of it costs a rebuild.
    pub address: Option<u8>,
    /// Whether the root is a copy of a folder: a change of it costs the data.
    pub directory: bool,
    /// A limit, where the host has a controller for it.
    pub processes: Option<usize>,
    /// Whether the manifest is in a folder below.
    pub below: bool,
}

/// Something that happens to a zone between two manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process of it is killed, by its name in the status.
    Kill(&'static str),
    /// Somebody asks for a transition.
    Ask(&'static [&'static str]),
    /// The host's end of its link goes down.
    LinkDown,
    /// The host's end of its link is taken out of the bridge.
    LinkOut,
    /// What install put in place is gone, without an uninstall.
    RootGone,
    /// The run folder forgot what was recorded of it.
    Forgotten,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the host was made from; none: no such zone.
    pub before: [Option<Spec>; 4],
    /// What happened then, in order: zone and event.
    pub events: Vec<(usize, Event)>,
    /// What is wanted.
    pub after: [Option<Spec>; 4],
    /// Whether the plan is saved and the file is applied, rather than the folder.
    pub saved: bool,
}

impl Scenario {
    /// Any.
    pub fn any(random: &mut Random) -> Self {
        let limits = has_limits();
        let addresses = random.sample(&[10_u8, 11, 12, 13], 4);
        let before = [0, 1, 2, 3].map(|zone| (random.below(5) > 0).then(|| any_spec(random, addresses[zone], limits)));
        let mut events = Vec::new();
        for (zone, spec) in before.iter().enumerate() {
            if let (Some(spec), true) = (spec, random.below(5) < 2) {
                events.extend(any_event(random, spec).map(|event| (zone, event)));
            }
        }
        // Sometimes zones change their addresses with each other.
        let moved = if random.below(4) == 0 { random.sample(&addresses, 4) } else { addresses };
        let after = [0, 1, 2, 3].map(|zone| match &before[zone] {
            None => (random.below(3) > 0).then(|| any_spec(random, moved[zone], limits)),
            Some(_) if random.below(8) == 0 => None,
            Some(spec) => Some(changed(random, spec, moved[zone], limits)),
        });
        Self { before, events, after, saved: random.below(2) == 0 }
    }
}

fn any_of(random: &mut Random, all: &[&'static str]) -> &'static str {
    all[random.below(all.len())]
}

fn any_state(random: &mut Random) -> &'static str {
    any_of(random, &["installed", "ready", "running", "running"])
}

fn any_spec(random: &mut Random, address: u8, limits: bool) -> Spec {
    Spec {
        state: any_state(random),
        deletion: any_of(random, &["halt", "keep", "delete"]),
        restart: any_of(random, &["always", "on-failure", "never"]),
        variable: random.below(3),
        label: random.below(3),
        hostname: random.below(2),
        address: (random.below(2) == 0).then_some(address),
        directory: random.below(4) == 0,
        processes: (limits && random.below(2) == 0).then(|| 40 + random.below(3)),
        below: random.below(4) == 0,
    }
}

fn changed(random: &mut Random, spec: &Spec, address: u8, limits: bool) -> Spec {
    let mut spec = Spec { address: spec.address.map(|_| address), ..spec.clone() };
    for _ in 0..random.below(3) {
        let other = any_spec(random, address, limits);
        match random.below(10) {
            0..3 => spec.state = other.state,
            3 => spec.variable = other.variable,
            4 => spec.label = other.label,
            5 => spec.hostname = other.hostname,
            6 => spec.address = other.address,
            7 => spec.directory = other.directory,
            8 => (spec.restart, spec.processes) = (other.restart, other.processes),
            _ => (spec.deletion, spec.below) = (other.deletion, other.below),
        }
    }
    spec
}

fn any_event(random: &mut Random, spec: &Spec) -> Option<Event> {
    let running = ["initPid", "zschedPid", "zoneadmdPid"];
    Some(match (spec.state, random.below(8)) {
        ("running", 0..3) => Event::Kill(any_of(random, &running)),
        ("ready", 0..3) => Event::Kill(any_of(random, &running[1..])),
        ("running" | "ready", 3) if spec.address.is_some() => Event::LinkDown,
        ("running" | "ready", 4) if spec.address.is_some() => Event::LinkOut,
        ("running" | "ready", 5) => Event::Ask(&["halt"]),
        ("running", 6) => Event::Ask(&["stop"]),
        ("ready", 6) => Event::Ask(&["zoneadm", "-z", "ZONE", "boot"]),
        ("installed", 0..3) => Event::Ask(&["zoneadm", "-z", "ZONE", "ready"]),
        ("installed", 3..5) => Event::Ask(&["zoneadm", "-z", "ZONE", "uninstall", "-F"]),
        ("installed", 5) => Event::RootGone,
        (_, 7) => Event::Forgotten,
        _ => return None,
    })
}

/// Whether the host can enforce limits on processes.
fn has_limits() -> bool {
    let file = harness::kernel::cgroup_mount().join("cgroup.controllers");
    std::fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|name| name == "pids"))
}

impl Spec {
    /// The manifest. `tree` is the folder that a root may be a copy of.
    pub fn manifest(&self, name: &str, tree: &Path) -> String {
        let root = match self.directory {
            true => format!("directory: {{path: {}}}", tree.display()),
            false => "hostUsr: {}".to_owned(),
        };
        let net = self.address.map(|last| format!("  net: [{{physical: rvbr0, address: 192.0.2.{last}/24}}]\n"));
        let processes = self.processes.map(|most| format!("  maxProcesses: {most}\n"));
        format!(
            "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: {name}\n  labels: {{fidelity: \"{}\"}}\nspec:\n  \
             state: {}\n  deletion: {}\n  hostname: {name}{}\n  root: {{{root}}}\n{}{}  init:\n    restart: {}\n    \
             env: {{FIDELITY: \"{}\"}}\n",
            self.label,
            self.state,
            self.deletion,
            self.hostname,
            net.unwrap_or_default(),
            processes.unwrap_or_default(),
            self.restart,
            self.variable
        )
    }
}

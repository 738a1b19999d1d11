//! What was seen on the host, as data: one [`ZoneFacts`] for each zone, read from the kernel and the state folder in one
//! go. What could not be read is [`Fact::Unknown`], never taken for "not there"; and the state of a zone is derived from
//! these facts alone.

mod derive;

pub use derive::derive_state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::journal;
use crate::restart::ExitReport;
use crate::time::Timestamp;

/// Something that was looked for: seen, seen not to be there, or not to be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact<T> {
    /// It is there, and this is it.
    Known(T),
    /// It was looked for and is not there.
    Absent,
    /// It could not be read.
    Unknown {
        /// The call that failed, its arguments and the error.
        why: String,
    },
}

impl<T> Fact<T> {
    /// An Unknown with its reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Fact::Unknown { why: why.into() }
    }

    /// The value, where known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it is there.
    pub fn is_known(&self) -> bool {
        matches!(self, Fact::Known(_))
    }

    /// Whether it is seen not to be there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Fact::Absent)
    }

    /// Why it is not known, where it is not.
    pub fn why_unknown(&self) -> Option<&str> {
        match self {
            Fact::Unknown { why } => Some(why),
            _ => None,
        }
    }
}

/// A process, told apart from a later one with the same number by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    /// Its PID in the global zone.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat: clock ticks since the host's boot.
    pub start_time: u64,
}

/// What `zone.json` says: the configuration as it was configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedConfig {
    /// Digest of the manifest that it came from.
    pub digest: String,
    /// Where that was, `FILE:LINE`; none where nobody wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What `installed.json` says, with zonepath/root seen to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledFacts {
    /// When it was installed.
    pub at: Timestamp,
}

/// The limits of the zone's cgroup as the kernel shows them, each the file's content without the newline.
/// `None` where the host has no such controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupFacts {
    /// memory.max: bytes or "max".
    pub memory_max: Option<String>,
    /// pids.max: a number or "max".
    pub pids_max: Option<String>,
    /// cpu.max: "QUOTA PERIOD" in microseconds, QUOTA may be "max".
    pub cpu_max: Option<String>,
    /// cpu.weight: 1 to 10000.
    pub cpu_weight: Option<String>,
}

/// A network link of the zone as seen from the global zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkFacts {
    /// Name of the end in the global zone.
    pub host_name: String,
    /// Whether that end is up (IFF_UP).
    pub up: bool,
    /// The bridge it is a port of.
    pub master: Option<String>,
    /// Name of the end in the zone, e.g. `net0`; `None` where it was not looked at.
    pub zone_name: Option<String>,
    /// Addresses of the end in the zone, `ADDRESS/PREFIX`; `None` where they were not looked at.
    pub addresses: Option<Vec<String>>,
}

/// A process of the global zone that is at work in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// Its PID in the global zone.
    pub pid: i32,
    /// As [`ProcessId::start_time`].
    pub start_time: u64,
    /// Its name (`comm`), as it gave it itself.
    pub comm: String,
    /// Its effective user in the global zone.
    pub uid: u32,
    /// The user that logged in, whoever it became since; none where the kernel does not know.
    pub login_uid: Option<u32>,
    /// What it is in: `pid`, `mnt` or `net` namespaces of the zone, or its `cgroup`.
    pub inside: Vec<String>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}), uid {}", self.pid, self.comm, self.uid)?;
        if let Some(login) = self.login_uid.filter(|login| *login != self.uid) {
            write!(f, ", logged in as {login}")?;
        }
        write!(f, ", in its {}", self.inside.join(", "))
    }
}

/// What is seen of a zone's platform beyond what its state follows from: mounts, links inside, routes, devices, host name,
/// modes and owners, files. Each is a field with a text, named as in a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Platform {
    /// The groups (the first part of a field's name) that were looked at and could be read; others are not compared.
    pub looked: BTreeSet<String>,
    /// The fields.
    pub fields: BTreeMap<String, String>,
    /// Processes that entered from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<Who>,
}

impl Platform {
    /// The group of a field.
    pub fn group(field: &str) -> &str {
        field.split('.').next().unwrap_or(field)
    }

    /// Whether a field was looked at; true for those that are not of the platform.
    pub fn looked_at(&self, field: &str) -> bool {
        let group = Self::group(field);
        !Self::GROUPS.contains(&group) || group == "net" && field == "net" || self.looked.contains(group)
    }

    /// What is to be kept of it for later looks: without those who happen to be in the zone now.
    pub fn recordable(self: &Arc<Self>) -> Arc<Self> {
        if self.strangers.is_empty() {
            return Arc::clone(self);
        }
        Arc::new(Self { strangers: Vec::new(), ..Self::clone(self) })
    }

    /// Every group.
    pub const GROUPS: [&'static str; 11] = [
        "bridge",
        "cgroup",
        "devices",
        "environment",
        "files",
        "fs",
        "hostname",
        "net",
        "processes",
        "routes",
        "zonepath",
    ];
}

/// Everything seen of one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneFacts {
    /// The name.
    pub name: String,
    /// The ID, while the zone is active.
    pub zone_id: Option<u32>,
    /// zone.json.
    pub configured: Fact<RecordedConfig>,
    /// installed.json and zonepath/root.
    pub installed: Fact<InstalledFacts>,
    /// installed.json is there and the root that it names is not: `installed` is Absent, but not because of an uninstall.
    #[serde(default)]
    pub root_missing: bool,
    /// The zone's path, where one is configured.
    pub zonepath: Option<String>,
    /// The supervisor in the global zone.
    pub zoneadmd: Fact<ProcessId>,
    /// PID 1 of the outer PID namespace.
    pub zsched: Fact<ProcessId>,
    /// PID 1 of the inner PID namespace.
    pub init: Fact<ProcessId>,
    /// Processes in `env.*` leaves, all of them, D state and frozen included.
    pub environment_processes: Fact<u32>,
    /// Processes in `login.*` leaves.
    pub login_processes: Fact<u32>,
    /// N of the newest `env.N` leaf.
    pub environment: Option<u32>,
    /// Namespaces of zsched: name (`net`, `uts`, ...) to inode.
    pub namespaces: Fact<BTreeMap<String, u64>>,
    /// The zone's cgroup.
    pub cgroup: Fact<CgroupFacts>,
    /// Links in the global zone that carry the zone's mark; an empty list is as good as Absent.
    pub links: Fact<Vec<LinkFacts>>,
    /// Mounts of the zone that the global zone can see; 0 is as good as Absent.
    pub mounts: Fact<u32>,
    /// File systems and namespaces of the zone that live on after zsched, such as `file system 0:57`; an empty list is as
    /// good as Absent. Looked for by the evidence of the journal.
    #[serde(default = "nothing")]
    pub remains: Fact<Vec<String>>,
    /// A halt was begun and not seen to finish.
    pub halt_intent: bool,
    /// The last entry of the journal, where it could be trusted.
    pub journal: Option<journal::Entry>,
    /// How the last init ended, as zsched's wait saw it. Only an end that nobody asked for: not that of a stop or halt.
    pub last_exit: Option<ExitReport>,
    /// A closer look at the platform; none where nobody took one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Arc<Platform>>,
}

fn nothing() -> Fact<Vec<String>> {
    Fact::Absent
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BridgeFacts {
    /// Its name.
    pub name: String,
    /// Whether it carries the mark of this instance of Reeve, which made it.
    pub ours: bool,
    /// Whether it is up.
    pub up: bool,
}

/// Everything seen of the host in one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
    /// When the look began.
    pub observed_at: Timestamp,
    /// Every zone of which anything was seen, by name.
    pub zones: BTreeMap<String, ZoneFacts>,
    /// Bridges that zones are plugged into.
    pub bridges: Fact<Vec<BridgeFacts>>,
}

impl ZoneFacts {
    /// The facts of a zone of which nothing at all is there.
    pub fn absent(name: &str) -> Self {
        ZoneFacts {
            name: name.to_owned(),
            zone_id: None,
            configured: Fact::Absent,
            installed: Fact::Absent,
            root_missing: false,
            zonepath: None,
            zoneadmd: Fact::Absent,
            zsched: Fact::Absent,
            init: Fact::Absent,
            environment_processes: Fact::Absent,
            login_processes: Fact::Absent,
            environment: None,
            namespaces: Fact::Absent,
            cgroup: Fact::Absent,
            links: Fact::Absent,
            mounts: Fact::Absent,
            remains: Fact::Absent,
            halt_intent: false,
            journal: None,
            last_exit: None,
            platform: None,
        }
    }

    /// Why the zone must not be touched: the first fact that any step relies on and that could not be read.
    pub fn why_unknown(&self) -> Option<String> {
        let facts = [
            ("configured", self.configured.why_unknown()),
            ("installed", self.installed.why_unknown()),
            ("zsched", self.zsched.why_unknown()),
            ("init", self.init.why_unknown()),
            ("environmentProcesses", self.environment_processes.why_unknown()),
        ];
        facts.into_iter().find_map(|(name, why)| why.map(|why| format!("{name}: {why}")))
    }

    /// The journal's entry, where it tells of a transition that was begun and not seen to be done.
    pub fn unfinished(&self) -> Option<&journal::Entry> {
        self.journal.as_ref().filter(|entry| !entry.is_finished())
    }
}

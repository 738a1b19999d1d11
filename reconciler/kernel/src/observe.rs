//! One reading of the kernel for all zones: processes, namespaces, cgroups, links and mounts as they are now, and never
//! what was done to bring them about. What could not be read is [`Fact::Unknown`] with its reason; what went away under
//! the reading is gone, and no error.
//!
//! [`Observer::observe`] reads everything, [`Observer::observe_zone`] one zone. Both are safe beside anything that zones
//! do: no file is read that a stuck process can block, and what a zone can make many of is read up to a bound.

mod cgroup;
pub mod executions;
pub mod holders;
mod host;
mod observer;
pub mod platform;
mod process;
mod read;
pub mod strangers;
pub mod traces;
mod watch;

pub use cgroup::{Leaf, Limits, Part, ZoneCgroup};
pub use holders::{
    Evidence, EvidenceKind, Found, Holder, HoldersQuery, NamespaceHandle, Nsfs, holders, mounted_anywhere,
    namespace_handles, superblocks,
};
pub use observer::Observer;
pub use process::{Namespaces, Process, start_of_executed, start_time};
pub use watch::{CgroupChanges, CgroupEvent, CgroupEvents};

use crate::error::Result;
use crate::netlink::Link;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Something that was looked for: seen, seen not to be there, or not to be known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fact<T> {
    /// It is there, and this is it.
    Known(T),
    /// It was looked for and is not there.
    #[default]
    Absent,
    /// It could not be read: the call, its arguments and the error.
    Unknown(String),
}

impl<T> Fact<T> {
    /// The value, where known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it is seen not to be there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The same fact about something made from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(f(value)),
            Self::Absent => Fact::Absent,
            Self::Unknown(why) => Fact::Unknown(why),
        }
    }
}

/// Where to look. Folders that are there are resolved once, when the observer is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The cgroup that holds the zones, below the version 2 mount.
    pub cgroup_root: PathBuf,
    /// The tag of this instance of Reeve in the aliases and names of its links.
    pub tag: String,
    /// The run folder.
    pub run_dir: PathBuf,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Zonepaths that are not `<state>/zonepaths/NAME`, by zone.
    pub zonepaths: BTreeMap<String, PathBuf>,
}

/// How closely one zone is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// What its state is derived from. Does not grow with the number of its mounts.
    #[default]
    Quick,
    /// Also every thread's state and zsched's mounts: for a halt that does not finish.
    Full,
}

/// What is known already of a zone that is to be read by itself, to spare reading what belongs to others. Each hint is
/// checked against the kernel; one that is wrong costs a wider reading, never a wrong fact.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// Names of the zone's links on the host. Without, all links are read; with, a link of another name is not seen.
    pub links: Option<&'a [&'a str]>,
    /// The zone's zoneadmd. Without, or if it is another process now, all zoneadmd are read.
    pub zoneadmd: Option<i32>,
    /// Do not read the host's mount table; `mounts` is Absent then.
    pub skip_mounts: bool,
}

/// The files of a zone in Reeve's folders: there, or not. Their content is for whoever wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// `<state>/zones/NAME/zone.json`.
    pub configured: Fact<()>,
    /// `<state>/zones/NAME/installed.json`.
    pub installed: Fact<()>,
    /// The directory `root` in the zonepath.
    pub root: Fact<()>,
    /// `<run>/zones/NAME`.
    pub run_folder: Fact<()>,
}

/// What only [`Detail::Full`] reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closer {
    /// Threads of the zone that no signal reaches now (`D`), by their number in the global zone.
    pub uninterruptible: Fact<Vec<i32>>,
    /// How many mounts zsched's mount namespace has.
    pub zsched_mounts: Fact<u32>,
    /// The leaves that are frozen by themselves.
    pub frozen: Vec<Part>,
}

/// Everything seen of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZoneObservation {
    /// Its cgroup.
    pub cgroup: Fact<ZoneCgroup>,
    /// PID 1 of the outer PID namespace.
    pub zsched: Fact<Process>,
    /// The namespaces of zsched.
    pub namespaces: Fact<Namespaces>,
    /// PID 1 of the inner PID namespace, in an application environment.
    pub init: Fact<Process>,
    /// The supervisor in the global zone.
    pub zoneadmd: Fact<Process>,
    /// Further supervisors of the same zone; there should be none.
    pub more_zoneadmd: Vec<Process>,
    /// Its links on the host, by their alias.
    pub links: Fact<Vec<Link>>,
    /// Mounts below its folders that the host's mount table shows.
    pub mounts: Fact<Vec<PathBuf>>,
    /// Its files.
    pub files: Files,
    /// A closer look, where one was asked for.
    pub closer: Option<Closer>,
}

/// What carries Reeve's mark and is no zone's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Cgroups below the root that are not of Reeve's layout.
    pub cgroups: Vec<String>,
    /// Processes among the zoneadmd that are none (or are about to become one), and any directly in the root.
    pub processes: Vec<i32>,
    /// Links with a name of Reeve's and no alias.
    pub links: Vec<Link>,
    /// Mounts in the run folder.
    pub mounts: Vec<PathBuf>,
}

/// Everything seen in one reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// The host's boot id.
    pub boot_id: Fact<String>,
    /// Every zone of which anything is there.
    pub zones: BTreeMap<String, ZoneObservation>,
    /// Whether the list of zones could be read; where not, a zone that is not in `zones` may be there all the same.
    pub complete: Fact<()>,
    /// All bridges of the host.
    pub bridges: Fact<Vec<Link>>,
    /// What is no zone's.
    pub leftovers: Leftovers,
    /// The facts of a zone of which nothing was found: Absent, or Unknown where the reading failed as a whole.
    nothing: ZoneObservation,
}

impl Observation {
    /// What was seen of a zone, which may be nothing.
    pub fn zone(&self, name: &str) -> &ZoneObservation {
        self.zones.get(name).unwrap_or(&self.nothing)
    }
}

/// Reads everything once. Who reads again and again keeps an [`Observer`].
///
/// # Errors
/// As [`Observer::new`].
pub fn observe(places: &Places) -> Result<Observation> {
    Ok(Observer::new(places.clone())?.observe())
}

/// Whether a bridge is one that this instance of Reeve made.
pub fn is_own_bridge(link: &Link, tag: &str) -> bool {
    let own = |alias: &str| alias.strip_prefix("reeve:").and_then(|rest| rest.strip_suffix(":bridge")) == Some(tag);
    link.kind.as_deref() == Some("bridge") && link.alias.as_deref().is_some_and(own)
}

impl ZoneObservation {
    fn unknown_inside(&mut self, why: &str) {
        self.cgroup = Fact::Unknown(why.to_owned());
        self.zsched = Fact::Unknown(why.to_owned());
        self.namespaces = Fact::Unknown(why.to_owned());
        self.init = Fact::Unknown(why.to_owned());
    }

    /// Where a reading failed for all zones, nothing is known of this one either.
    fn fail_like(&mut self, nothing: &Self) {
        fn fail<T: Clone>(fact: &mut Fact<T>, like: &Fact<T>) {
            if matches!(like, Fact::Unknown(_)) {
                fact.clone_from(like);
            }
        }
        fail(&mut self.cgroup, &nothing.cgroup);
        fail(&mut self.zsched, &nothing.zsched);
        fail(&mut self.namespaces, &nothing.namespaces);
        fail(&mut self.init, &nothing.init);
        fail(&mut self.zoneadmd, &nothing.zoneadmd);
        fail(&mut self.links, &nothing.links);
        fail(&mut self.mounts, &nothing.mounts);
    }

    fn add_zoneadmd(&mut self, process: Process) {
        match &self.zoneadmd {
            Fact::Known(_) => self.more_zoneadmd.push(process),
            _ => self.zoneadmd = Fact::Known(process),
        }
    }
}

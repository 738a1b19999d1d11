//! Reeve's side: manifests as a user writes them, and the controller's own path through the library for what they want
//! next (plan, audit, walk, with journal and observation), called directly so that nothing but that path is timed.

use crate::Result;
use crate::timing::timed;
use reeve::observe::ZoneSeen;
use reeve::pass::{self, Aim, Scope, World};
use reeve::progress::{Notice, Observer};
use reeve::supervisor::Zoneadmd;
use reeve::{Host, Places, desired, walk};
use reeve_schema::{HostSelf, Limits, ManifestSet, SourceFile};
use reeve_state::audit::{self, Permissions};
use reeve_state::plan::{ZonePlan, request, restart};
use reeve_state::{Transition, ZoneState};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Where the bench keeps everything, made by its wrapper and removed by it.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// Its name, that of its cgroup as well.
    pub name: String,
    /// Its folder, on disk.
    pub folder: PathBuf,
}

impl Scratch {
    /// As the wrapper says; none when there was no wrapper.
    pub fn from_environment() -> Option<Self> {
        let name = std::env::var("REEVE_BENCH_NAME").ok()?;
        let folder = PathBuf::from(std::env::var_os("REEVE_BENCH_FOLDER")?);
        Some(Self { name, folder })
    }

    /// The tree that every zone and container has as its root: the init, and folders to mount on.
    pub fn tree(&self) -> Result<PathBuf> {
        let tree = self.folder.join("tree");
        for folder in ["dev", "etc", "proc", "run", "sys", "tmp", "usr", "var"] {
            std::fs::create_dir_all(tree.join(folder))?;
        }
        Ok(tree)
    }

    /// The cgroup of the bench, which ends with it.
    pub fn cgroup(&self) -> Result<PathBuf> {
        let path = Path::new("/sys/fs/cgroup").join(&self.name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The places of Reeve for the bench; the run folder is on a tmpfs, as always.
    pub fn places(&self) -> Result<Places> {
        self.cgroup()?;
        let (state, run) = (self.folder.join("state"), Path::new("/run/reeve"));
        Ok(Places::new(Some(&state), Some(run), Some(&format!("{}/zones", self.name))))
    }
}

/// Where the manifests are: they were never in a file, and every relative path is below this.
pub const SOURCE: &str = "";

/// What the passes work towards.
pub fn aim() -> Aim {
    Aim::Manifests { source: PathBuf::from(SOURCE), follows: true }
}

/// One zone's manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The zone.
    pub name: String,
    /// `installed`, `ready` or `running`.
    pub state: &'static str,
    /// Whether it has a network interface, and then the last two bytes of its address.
    pub net: Option<u16>,
    /// A word in the environment of its init, where it has one.
    pub word: Option<String>,
}

/// The bridge of Reeve's zones.
pub const BRIDGE: &str = "benchzones";

impl Manifest {
    /// A zone without a network interface that is to be installed.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: "installed", net: None, word: None }
    }

    /// The same zone in another state.
    pub fn state(&self, state: &'static str) -> Self {
        Self { state, ..self.clone() }
    }

    /// The same zone with this word in the environment of its init.
    pub fn word(&self, word: String) -> Self {
        Self { word: Some(word), ..self.clone() }
    }

    /// As YAML. The init is killed as the peers' is, without being asked first.
    pub fn text(&self, tree: &Path) -> String {
        let Self { name, state, net, word } = self;
        let env = word.as_ref().map_or_else(String::new, |word| format!(", env: {{WORD: {word}}}"));
        let net = net.map_or_else(String::new, |address| {
            let [high, low] = address.to_be_bytes();
            let (address, router) = (format!("10.201.{high}.{low}/16"), "10.201.255.254");
            format!("\n  net: [{{physical: {BRIDGE}, address: {address}, defrouter: {router}}}]")
        });
        format!(
            "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata: {{name: {name}}}\nspec:\n  state: {state}\n  \
             root: {{directory: {{path: {}}}}}\n  \
             init: {{program: /init, haltTimeout: 0s{env}}}{net}\n",
            tree.display()
        )
    }
}

/// A checked set of these manifests.
pub fn set(manifests: &[Manifest], tree: &Path, places: &Places) -> Result<ManifestSet> {
    let files: Vec<SourceFile> = manifests
        .iter()
        .map(|manifest| SourceFile { path: format!("{}.yaml", manifest.name), text: manifest.text(tree) })
        .collect();
    reeve_schema::load(&files, &HostSelf::default(), &places.zonepaths(), &Limits::default())
        .map_err(|problems| format!("the bench's own manifests: {problems:?}").into())
}

/// What the controller knows and holds of its zones, without its tasks: one zone's work at a time.
pub struct Reeve {
    host: Host,
    tree: PathBuf,
    world: World,
    held: BTreeMap<String, Option<Zoneadmd>>,
}

impl Reeve {
    /// A host without zones.
    pub fn open(scratch: &Scratch) -> Result<Self> {
        let host = Host::open(scratch.places()?)?;
        let world = World::new(&host, aim(), BTreeMap::new());
        Ok(Self { host, tree: scratch.tree()?, world, held: BTreeMap::new() })
    }

    /// Installs a zone: a pass with its manifest, and the walk that it plans.
    pub fn install(&mut self, manifest: &Manifest) -> Result<()> {
        let set = set(std::slice::from_ref(manifest), &self.tree, self.host.places())?;
        self.world.wanted.extend(desired::wanted(&set, self.host.places()));
        let mut scope = Scope::default();
        scope.look(&manifest.name);
        pass::pass(&self.host, &mut self.world, &scope);
        let plan = self.world.plans.get(&manifest.name).cloned().ok_or("there is no plan")?;
        self.walk(&plan)
    }

    /// Takes a zone along a transition, as the controller does: planned, audited and walked, with the intent in the
    /// journal before and what is seen of the zone afterwards. Milliseconds.
    pub fn take(&mut self, name: &str, transition: Transition) -> Result<f64> {
        let silent = reeve::progress::silent();
        let asked = |seen: &ZoneSeen| Ok(request(transition, None, &seen.facts, seen.recorded.as_ref())?);
        let (took, ()) = timed(|| self.audited(name, &asked, &silent))?;
        Ok(took)
    }

    /// What the controller does once nobody waits for anything.
    pub fn rest(&self) {
        self.host.rest();
    }

    /// The milliseconds from the request until the controller has seen the zone running: init has exec'd, and of a zone
    /// that ran before, the old init is reaped. What is then written down, nobody waits for.
    pub fn until_running(&mut self, name: &str, from: ZoneState) -> Result<f64> {
        let seen_running: Arc<Mutex<Option<Instant>>> = Arc::default();
        let note = Arc::clone(&seen_running);
        let observer: Observer = Arc::new(move |notice| {
            if let (Notice::State { state: Some(ZoneState::Running), .. }, Ok(mut at)) = (notice, note.lock()) {
                at.get_or_insert_with(Instant::now);
            }
        });
        let asked = |seen: &ZoneSeen| {
            let recorded = seen.recorded.as_ref();
            Ok(match from {
                ZoneState::Running => restart(None, &seen.facts, recorded)?,
                _ => request(Transition::Boot, None, &seen.facts, recorded)?,
            })
        };
        let started = Instant::now();
        self.audited(name, &asked, &observer)?;
        let at = seen_running.lock().map_err(|error| error.to_string())?.ok_or("it was not seen running")?;
        Ok((at - started).as_secs_f64() * 1e3)
    }

    fn audited(
        &mut self,
        name: &str,
        asked: &dyn Fn(&ZoneSeen) -> Result<ZonePlan>,
        observer: &Observer,
    ) -> Result<()> {
        let seen = self.world.seen(name);
        let plan = asked(&seen)?;
        let findings = audit::audit_zone(&plan, &seen.facts, &Permissions::default());
        match findings.first() {
            Some(finding) => Err(format!("{}: {}", finding.rule, finding.message).into()),
            None => self.walk_from(&plan, seen, observer),
        }
    }

    fn walk(&mut self, plan: &ZonePlan) -> Result<()> {
        let seen = self.world.seen(&plan.name);
        self.walk_from(plan, seen, &reeve::progress::silent())
    }

    fn walk_from(&mut self, plan: &ZonePlan, seen: ZoneSeen, observer: &Observer) -> Result<()> {
        let name = plan.name.as_str();
        let held = self.held.entry(name.to_owned()).or_default();
        let walked = walk::walk(&self.host, plan, seen, None, held, observer);
        let failed = walked.outcome.failed.clone();
        self.world.absorb(name, walked.seen);
        match failed {
            Some(why) => Err(why.into()),
            None if self.world.state(name) != plan.to => {
                Err(format!("zone {name} is {:?}, not {:?}", self.world.state(name), plan.to).into())
            }
            None => Ok(()),
        }
    }

    /// Takes a zone away, with its files.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        self.held.remove(name);
        let lock = self.host.lock("bench", None)?;
        let outcome = self.host.down(&lock, &[name.to_owned()], true, &reeve::progress::silent());
        self.world.wanted.remove(name);
        match outcome.zones.iter().find(|zone| zone.state.is_some_and(|state| state != ZoneState::Configured)) {
            Some(zone) => Err(format!("zone {name} could not be removed: {:?}", zone.result).into()),
            None => Ok(()),
        }
    }
}

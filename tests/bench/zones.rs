//! Reeve's side: manifests as a user writes them, and the controller's own path through the library for what they want
//! next (pass, walk, with journal and observation), called directly so that nothing but that path is timed.

use crate::Result;
use crate::timing::timed;
use reeve::observe::ZoneSeen;
use reeve::pass::{self, Aim, Scope, World};
use reeve::supervisor::Zoneadmd;
use reeve::{Host, Places, desired, walk};
use reeve_schema::{Limits, ManifestSet, SourceFile};
use reeve_state::ZoneState;
use reeve_state::wanted::Wanted;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// One zone's manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The zone.
    pub name: String,
    /// `installed`, `ready` or `running`.
    pub state: &'static str,
    /// Whether it has a network interface, and then the last two bytes of its address.
    pub net: Option<u16>,
    /// A value in init's environment; another one is a change that a restart brings about.
    pub mark: usize,
}

/// The bridge of Reeve's zones.
pub const BRIDGE: &str = "benchzones";

impl Manifest {
    /// A zone without a network interface that is to be installed.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: "installed", net: None, mark: 0 }
    }

    /// The same zone in another state.
    pub fn state(&self, state: &'static str) -> Self {
        Self { state, ..self.clone() }
    }

    /// As YAML. The init is killed as the peers' is, without being asked first.
    pub fn text(&self, tree: &Path) -> String {
        let Self { name, state, net, mark } = self;
        let net = net.map_or_else(String::new, |address| {
            let [high, low] = address.to_be_bytes();
            let (address, router) = (format!("10.201.{high}.{low}/16"), "10.201.255.254");
            format!("\n  net: [{{physical: {BRIDGE}, address: {address}, defrouter: {router}}}]")
        });
        format!(
            "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata: {{name: {name}}}\nspec:\n  state: {state}\n  \
             root: {{directory: {{path: {}}}}}\n  \
             init: {{program: /init, haltTimeout: 0s, env: {{MARK: \"{mark}\"}}}}{net}\n",
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
    reeve_schema::load(&files, &places.zonepaths(), &Limits::default())
        .map_err(|problems| format!("the bench's own manifests: {problems:?}").into())
}

/// What the controller knows and holds, with one zone's work done at a time.
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
        let world = World::new(&host, Aim::Manifests, BTreeMap::new());
        Ok(Self { host, tree: scratch.tree()?, world, held: BTreeMap::new() })
    }

    /// A manifest as the planner takes it.
    pub fn wanted(&self, manifest: &Manifest) -> Result<Wanted> {
        let places = self.host.places();
        let set = set(std::slice::from_ref(manifest), &self.tree, places)?;
        let wanted = desired::wanted(&set, places).into_values().next();
        wanted.ok_or_else(|| "the set of one manifest is empty".into())
    }

    /// From a changed manifest to the zone seen where it should be, in milliseconds: what the controller does between
    /// having read the one and recording the other.
    pub fn converge(&mut self, wanted: Wanted) -> Result<f64> {
        let (name, goal) = (wanted.name.clone(), wanted.goal());
        let (took, ()) = timed(|| {
            self.world.wanted.insert(name.clone(), wanted);
            self.walk(&name)
        })?;
        match self.world.state(&name) {
            Some(state) if state == goal => Ok(took),
            state => Err(format!("zone {name} is {state:?}, not {goal}").into()),
        }
    }

    fn walk(&mut self, name: &str) -> Result<()> {
        let mut scope = Scope::default();
        scope.look(name);
        let passed = pass::pass(&self.host, &mut self.world, &scope);
        if let Some(finding) = passed.findings.first() {
            return Err(format!("{}: {}", finding.rule, finding.message).into());
        }
        let plan = self.world.plans.get(name).cloned().ok_or("there is no plan")?;
        let seen: ZoneSeen = self.world.seen(name);
        let held = self.held.entry(name.to_owned()).or_default();
        let walked = walk::walk(&self.host, &plan, seen, None, held, &reeve::progress::silent());
        let failed = walked.outcome.failed.clone();
        self.world.absorb(name, walked.seen);
        failed.map_or(Ok(()), |why| Err(why.into()))
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

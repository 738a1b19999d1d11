//! The rows of a hundred zones with a network interface each: `up_100_net` from Installed to Running, `down_100_net` back.
//! Reeve applies a set of manifests; crun and runc have as many workers as are best for them.

use crate::Result;
use crate::containers::Detached;
use crate::network::{self, Netns};
use crate::options::Options;
use crate::table::Table;
use crate::timing::{Random, median, settle, timed};
use crate::zones::{self, Manifest, Scratch};
use reeve::{Host, ZoneResult};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// How many containers crun and runc start at once: more take longer on two processors.
const WORKERS_UP: usize = 4;
/// How many they take down at once: that is mostly waiting.
const WORKERS_DOWN: usize = 16;

const PEERS: [&str; 2] = ["crun", "runc"];

/// One tool with its zones or containers.
struct Side<'a> {
    tool: &'static str,
    /// Brings all up and takes all down; milliseconds of both.
    work: Box<dyn Fn() -> Result<(f64, f64)> + 'a>,
    up: Vec<f64>,
    down: Vec<f64>,
}

/// Measures both rows and adds those that are wanted.
pub fn rows(options: &Options, scratch: &Scratch, table: &mut Table) -> Result<()> {
    if !options.wants("up_100_net") && !options.wants("down_100_net") {
        return Ok(());
    }
    let count = options.zones(100);
    let zones = Zones::install(scratch, "hundred", count, true)?;
    let mut sides = vec![Side { tool: "reeve", work: Box::new(|| zones.up_and_down()), up: vec![], down: vec![] }];
    for tool in PEERS {
        match Containers::new(scratch, tool, count) {
            Ok(all) => sides.push(Side { tool, work: Box::new(move || all.up_and_down()), up: vec![], down: vec![] }),
            Err(error) => eprintln!("bench: {tool} is left out of the rows of a hundred: {error}"),
        }
    }
    let mut random = Random(options.seed);
    for _ in 0..options.long_rounds() {
        random.shuffle(&mut sides);
        let mut failed = Vec::new();
        for side in &mut sides {
            match (side.work)() {
                Ok((up, down)) => {
                    side.up.push(up);
                    side.down.push(down);
                }
                Err(error) if side.tool == "reeve" => return Err(error),
                Err(error) => {
                    eprintln!("bench: {} is left out of the rows of a hundred: {error}", side.tool);
                    failed.push(side.tool);
                }
            }
        }
        sides.retain(|side| !failed.contains(&side.tool));
    }
    let figures: Vec<_> = sides.drain(..).map(|side| (side.tool, median(side.up), median(side.down))).collect();
    drop(sides);
    zones.remove()?;
    let figure = |tool| figures.iter().find(|figure| figure.0 == tool);
    let reeve = figure("reeve").ok_or("no figure of Reeve's")?;
    for (row, pick) in [("up_100_net", true), ("down_100_net", false)] {
        let of = |figure: &(_, Option<f64>, Option<f64>)| if pick { figure.1 } else { figure.2 };
        if options.wants(row) {
            let peers = PEERS.map(|peer| (peer, figure(peer).and_then(of))).to_vec();
            table.add(row, "ms", of(reeve).ok_or("no figure of Reeve's")?, peers);
        }
    }
    Ok(())
}

/// Zones of Reeve, installed.
pub struct Zones {
    host: Host,
    scratch: Scratch,
    manifests: Vec<Manifest>,
}

/// How long a set may take to converge.
const PATIENCE: Duration = Duration::from_secs(120);

impl Zones {
    /// Installs `count` zones.
    pub fn install(scratch: &Scratch, name: &str, count: usize, net: bool) -> Result<Self> {
        let one = |index: usize| {
            let net = net.then(|| u16::try_from(index + 2).unwrap_or(u16::MAX));
            Manifest { net, ..Manifest::new(&format!("{name}-{index}")) }
        };
        let zones = Self {
            host: Host::open(scratch.places()?)?,
            scratch: scratch.clone(),
            manifests: (0..count).map(one).collect(),
        };
        zones.apply("installed")?;
        Ok(zones)
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The manifests, with the zones in `state`.
    pub fn set(&self, state: &'static str) -> Result<reeve_schema::ManifestSet> {
        let manifests: Vec<Manifest> = self.manifests.iter().map(|manifest| manifest.state(state)).collect();
        zones::set(&manifests, &self.scratch.tree()?, self.host.places())
    }

    /// Applies the manifests with the zones in `state`, all of which must get there; milliseconds.
    pub fn apply(&self, state: &'static str) -> Result<f64> {
        let set = self.set(state)?;
        let lock = self.host.lock("bench", None)?;
        let (took, outcome) =
            timed(|| Ok(self.host.apply(&lock, &set, Path::new(zones::SOURCE), PATIENCE, &reeve::progress::silent())))?;
        match outcome.zones.iter().find(|zone| zone.result != ZoneResult::Converged) {
            Some(zone) => Err(format!("zone {}: {:?}", zone.zone, zone.result).into()),
            None => Ok(took),
        }
    }

    fn up_and_down(&self) -> Result<(f64, f64)> {
        settle();
        let up = self.apply("running")?;
        settle();
        Ok((up, self.apply("installed")?))
    }

    /// Removes them.
    pub fn remove(self) -> Result<()> {
        let lock = self.host.lock("bench", None)?;
        let names: Vec<String> = self.manifests.iter().map(|manifest| manifest.name.clone()).collect();
        self.host.down(&lock, &names, true, &reeve::progress::silent());
        Ok(())
    }
}

/// Containers with a network namespace each.
struct Containers(Vec<(Netns, Detached)>);

impl Containers {
    fn new(scratch: &Scratch, tool: &str, count: usize) -> Result<Self> {
        if !std::path::Path::new("/sys/class/net").join(network::BRIDGE).exists() {
            network::make_bridge()?;
        }
        let one = |index: usize| {
            let name = format!("{tool}-{index}");
            let netns = Netns::new(&name, u16::try_from(index + 1000)?)?;
            let container = Detached::new(scratch, tool, &name, Some(&name))?;
            Ok((netns, container))
        };
        Ok(Self((0..count).map(one).collect::<Result<_>>()?))
    }

    fn up_and_down(&self) -> Result<(f64, f64)> {
        settle();
        let (up, ()) = timed(|| {
            self.each(WORKERS_UP, |(netns, container)| {
                netns.make()?;
                container.start()
            })
        })?;
        settle();
        let (down, ()) = timed(|| {
            self.each(WORKERS_DOWN, |(netns, container)| {
                container.stop()?;
                netns.remove()
            })
        })?;
        Ok((up, down))
    }

    /// Does something with each, `workers` at once.
    fn each(&self, workers: usize, work: impl Fn(&(Netns, Detached)) -> Result<()> + Sync) -> Result<()> {
        let queue = Mutex::new(self.0.iter());
        let failed = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(next) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                        if let (Err(error), Ok(mut failed)) = (work(next), failed.lock()) {
                            *failed = Some(error.to_string());
                        }
                    }
                });
            }
        });
        failed.into_inner()?.map_or(Ok(()), |error| Err(error.into()))
    }
}

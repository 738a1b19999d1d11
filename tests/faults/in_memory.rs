//! Every sequence of wishes and broken-off halts on two zones, up to a length, against the reference model: the planner
//! plans, the steps of its plans are taken on facts, and each step must go along an edge of the model, each pass end
//! where the model says. Pure: no zone is made.

use crate::Result;
use crate::model::{Asked, Place, Wish};
use reeve_schema::Zone;
use reeve_state::approval::Approvals;
use reeve_state::difference::Recorded;
use reeve_state::limits::Limits;
use reeve_state::observed::{CgroupFacts, InstalledFacts, ProcessId, RecordedConfig, derive_state};
use reeve_state::plan::{Input, ZonePlan, plan, request};
use reeve_state::wanted::{self, Wanted};
use reeve_state::{Fact, HostFacts, Timestamp, Transition, ZoneFacts};
use serde_json::json;
use std::collections::BTreeMap;

const NAMES: [&str; 2] = ["a", "b"];
const BOOT: &str = "0b5c3a52-0000-4000-8000-000000000001";
/// How many passes may follow each other before nothing is left to do.
const PASSES: usize = 4;

/// What happens to one zone.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Its manifest changes, and a pass is made.
    Wish(Wish),
    /// A halt of it is broken off half-way, and nothing is done about it yet.
    Cut,
}

const EVENTS: [Event; 5] = [
    Event::Wish(Wish::Installed),
    Event::Wish(Wish::Ready),
    Event::Wish(Wish::Running),
    Event::Wish(Wish::Gone),
    Event::Cut,
];

#[derive(Clone)]
struct World {
    facts: HostFacts,
    recorded: BTreeMap<String, Recorded>,
    wishes: [Wish; 2],
    /// Where the model has them.
    places: [Place; 2],
}

/// What each zone's manifest is with each wish but the last.
struct Manifests([Vec<Wanted>; 2]);

impl Manifests {
    fn new() -> Result<Self> {
        let wanted = |name: &str, state: &str| {
            let document = json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "Zone", "metadata": {"name": name},
                "spec": {"root": {"hostUsr": {}}, "state": state, "deletion": "delete"},
            });
            let zone: Zone = serde_json::from_value(document).map_err(|error| error.to_string())?;
            Ok(Wanted::new(&zone, &format!("{name}-{state}"), None, "/zonepaths"))
        };
        let of = |name| ["installed", "ready", "running"].map(|state| wanted(name, state)).into_iter().collect();
        let [a, b] = NAMES.map(of);
        let both: [Result<Vec<Wanted>>; 2] = [a, b];
        let [a, b] = both;
        Ok(Self([a?, b?]))
    }

    fn wanted(&self, wishes: [Wish; 2]) -> BTreeMap<String, Wanted> {
        let found = (0..2).filter_map(|zone| self.0[zone].get(wishes[zone] as usize));
        found.map(|wanted| (wanted.name.clone(), wanted.clone())).collect()
    }
}

/// Runs every sequence of this length whose first event is one of `firsts`; how many there were.
///
/// # Errors
/// The first sequence that the planner and the model do not agree on.
pub fn exhaust(length: usize, firsts: impl Iterator<Item = usize>) -> Result<u64> {
    let manifests = Manifests::new()?;
    let facts = HostFacts {
        boot_id: BOOT.into(),
        observed_at: Timestamp(1_000_000),
        zones: BTreeMap::new(),
        bridges: Fact::Absent,
    };
    let world = World { facts, recorded: BTreeMap::new(), wishes: [Wish::Gone; 2], places: [Place::Nowhere; 2] };
    let mut count = 0;
    for first in firsts {
        deepen(&manifests, &world, &mut vec![first], length, &mut count)?;
    }
    Ok(count)
}

/// How many events there are to begin with: those of both zones.
pub const FIRSTS: usize = EVENTS.len() * 2;

fn deepen(manifests: &Manifests, world: &World, so_far: &mut Vec<usize>, length: usize, count: &mut u64) -> Result<()> {
    let mut world = world.clone();
    let number = so_far[so_far.len() - 1];
    let happened = happen(manifests, &mut world, number / EVENTS.len(), EVENTS[number % EVENTS.len()]);
    let checked = happened.and_then(|()| if so_far.len() <= 3 { ask_everything(&world) } else { Ok(()) });
    checked.map_err(|why| {
        let told =
            so_far.iter().map(|number| format!("{} {:?}", NAMES[number / EVENTS.len()], EVENTS[number % EVENTS.len()]));
        format!("{why}, after {}", told.collect::<Vec<_>>().join(", "))
    })?;
    if so_far.len() == length {
        *count += 1;
        return Ok(());
    }
    for next in 0..FIRSTS {
        so_far.push(next);
        deepen(manifests, &world, so_far, length, count)?;
        so_far.pop();
    }
    Ok(())
}

fn happen(manifests: &Manifests, world: &mut World, zone: usize, event: Event) -> Result<()> {
    match event {
        Event::Cut => {
            if world.places[zone].is_active() {
                world.places[zone] = Place::Down;
                show(world, zone, Place::Down, None);
            }
            Ok(())
        }
        Event::Wish(wish) => {
            world.wishes[zone] = wish;
            let wanted = manifests.wanted(world.wishes);
            // Every pass brings both zones to where they are wanted, whatever state they were left in.
            world.places = world.wishes.map(Wish::place);
            for _ in 0..PASSES {
                if pass(world, &wanted)? == 0 {
                    return agree(world);
                }
            }
            Err("there is always something left to do".into())
        }
    }
}

/// One pass: plans, and takes the steps. How many there were.
fn pass(world: &mut World, wanted: &BTreeMap<String, Wanted>) -> Result<usize> {
    let policies = BTreeMap::new();
    let input = Input {
        wanted,
        facts: &world.facts,
        recorded: &world.recorded,
        policies: &policies,
        approvals: &Approvals::default(),
        now: world.facts.observed_at,
        source: None,
    };
    let plan = plan(&input);
    for zone in &plan.zones {
        walk(world, zone)?;
    }
    Ok(plan.zones.iter().map(|zone| zone.steps.len()).sum())
}

/// Takes the steps of one zone: each must begin where the zone is and end there or beyond one edge of the model.
fn walk(world: &mut World, plan: &ZonePlan) -> Result<()> {
    let zone = NAMES.iter().position(|name| *name == plan.name).ok_or_else(|| format!("a plan for {}", plan.name))?;
    for step in &plan.steps {
        let place = |state: Option<reeve_state::ZoneState>| {
            let name = state.map_or("none", |state| state.as_str());
            Place::named(name).ok_or_else(|| format!("the model has no {name}"))
        };
        let (from, to, here) = (place(step.from)?, place(step.to)?, seen(world, zone)?);
        // Of a halt's first step the zone is shutting_down while it lasts, and down afterwards.
        let through = from.borders(Place::ShuttingDown) && Place::ShuttingDown.borders(to);
        if from != here || (from != to && !from.borders(to) && !through) {
            return Err(format!("{}: {} goes from {from:?} to {to:?}, the zone is {here:?}", plan.name, step.name));
        }
        show(world, zone, to, Some(plan));
    }
    Ok(())
}

/// What the planner's own rules make of the facts.
fn seen(world: &World, zone: usize) -> Result<Place> {
    let Some(facts) = world.facts.zones.get(NAMES[zone]) else { return Ok(Place::Nowhere) };
    match derive_state(facts) {
        Fact::Known(state) => {
            Place::named(state.as_str()).ok_or_else(|| format!("the model has no {}", state.as_str()))
        }
        Fact::Absent => Ok(Place::Nowhere),
        Fact::Unknown { why } => Err(format!("not known: {why}")),
    }
}

fn agree(world: &World) -> Result<()> {
    for (zone, name) in NAMES.iter().enumerate() {
        let (is, should) = (seen(world, zone)?, world.places[zone]);
        if is != should {
            return Err(format!("zone {name} is {is:?}, the model has it {should:?}"));
        }
    }
    Ok(())
}

/// Whatever may be asked for by name is planned where the model allows it, and refused elsewhere.
fn ask_everything(world: &World) -> Result<()> {
    for (zone, name) in NAMES.iter().enumerate() {
        let nothing = ZoneFacts::absent(name);
        let facts = world.facts.zones.get(*name).unwrap_or(&nothing);
        for asked in Asked::ALL {
            let transition = transition(asked);
            let planned = request(transition, None, facts, world.recorded.get(*name));
            let should = asked.leads(world.places[zone]).map(Place::name);
            let is = planned.as_ref().ok().map(|plan| plan.to.map_or("none", |state| state.as_str()));
            if is != should {
                let place = world.places[zone];
                return Err(format!(
                    "{asked:?} of a zone that is {place:?} leads to {is:?}, in the model to {should:?}"
                ));
            }
        }
    }
    Ok(())
}

fn transition(asked: Asked) -> Transition {
    match asked {
        Asked::Install => Transition::Install,
        Asked::Ready => Transition::Ready,
        Asked::Boot => Transition::Boot,
        Asked::Stop => Transition::Stop,
        Asked::Halt => Transition::Halt,
        Asked::Reboot => Transition::Reboot,
        Asked::Uninstall => Transition::Uninstall,
        Asked::Unconfigure => Transition::Unconfigure,
    }
}

/// Makes the facts of a zone those of a place, as the kernel and the files would show them.
fn show(world: &mut World, zone: usize, place: Place, plan: Option<&ZonePlan>) {
    let name = NAMES[zone];
    if place == Place::Nowhere {
        world.facts.zones.remove(name);
        world.recorded.remove(name);
        return;
    }
    let at = world.facts.observed_at;
    if let Some((manifest, digest)) = plan.and_then(|plan| Some((plan.manifest.clone()?, plan.digest.clone()?))) {
        let state = reeve_state::ZoneState::Configured;
        let recorded = Recorded { manifest, digest, state, boot_id: BOOT.into(), zone_id: None, at, platform: None };
        world.recorded.insert(name.to_owned(), recorded);
    }
    let Some(recorded) = world.recorded.get_mut(name) else { return };
    let mut facts = ZoneFacts::absent(name);
    facts.zonepath = wanted::zonepath(&recorded.manifest).map(str::to_owned);
    facts.configured = Fact::Known(RecordedConfig { digest: recorded.digest.clone(), source: None });
    if place != Place::Configured {
        facts.installed = Fact::Known(InstalledFacts { at });
    }
    if place.is_active() {
        platform(&mut facts, recorded, place);
    }
    if let Fact::Known(state) = derive_state(&facts) {
        recorded.state = state;
        recorded.zone_id = facts.zone_id;
    }
    world.facts.zones.insert(name.to_owned(), facts);
}

/// What there is of an active zone.
fn platform(facts: &mut ZoneFacts, recorded: &Recorded, place: Place) {
    let process = |pid: i32| Fact::Known(ProcessId { pid, start_time: 7 });
    let limits = Limits::of(&recorded.manifest);
    facts.zone_id = Some(1);
    (facts.zoneadmd, facts.zsched) = (process(100), process(101));
    facts.namespaces = Fact::Known([("net".to_owned(), 4_026_532_000)].into());
    facts.cgroup = Fact::Known(CgroupFacts {
        memory_max: Some(limits.memory_max),
        pids_max: Some(limits.pids_max),
        cpu_max: Some(limits.cpu_max),
        cpu_weight: Some(limits.cpu_weight),
    });
    let living = matches!(place, Place::Running | Place::ShuttingDown);
    facts.init = if living { process(102) } else { Fact::Absent };
    facts.environment = Some(1);
    facts.environment_processes = Fact::Known(u32::from(living));
    facts.login_processes = Fact::Known(0);
    (facts.links, facts.mounts) = (Fact::Absent, Fact::Known(0));
    facts.halt_intent = matches!(place, Place::ShuttingDown | Place::Down);
}

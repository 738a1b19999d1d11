//! One pass, from top to bottom: what is wanted and what is observed, the differences and the plan, its audit, and what
//! is told of each zone. The walk comes after it. A pass never fails as a whole: what cannot be read is an Unknown fact of
//! some zone, what must not be done is a finding about some plan, and every zone gets a status.

use std::collections::{BTreeMap, BTreeSet};

use reeve_schema::Deletion;
use reeve_state::audit::{self, Finding, Permissions, Severity};
use reeve_state::condition::{self, Claim, ConditionStatus, ConditionType};
use reeve_state::difference::Recorded;
use reeve_state::observed::derive_state;
use reeve_state::plan::{self, Hold, Plan, ZonePlan, ZonePolicy, take_down};
use reeve_state::status::{self, Outcome, ZoneStatus};
use reeve_state::wanted::{self, Wanted};
use reeve_state::{HostFacts, ZoneFacts, ZoneState};

use crate::host::Host;
use crate::observe::{HostSeen, Known, ZoneSeen};
use crate::quiet::{Marks, Quiet};
use crate::store::files;
use crate::store::zone::{Memory, ZoneFiles};

/// What a pass works towards.
#[derive(Clone, Debug, Default)]
pub enum Aim {
    /// What the manifests want.
    #[default]
    Manifests,
    /// That these zones are down, and with `purge` gone; others are left alone.
    Down {
        /// The zones.
        zones: BTreeSet<String>,
        /// Whether they are uninstalled and unconfigured as well.
        purge: bool,
    },
}

/// Which zones a pass is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them, looked at again.
    All,
    /// Some.
    Zones {
        /// Looked at again.
        look: BTreeSet<String>,
        /// Planned again, from what was seen of them last.
        think: BTreeSet<String>,
    },
}

impl Default for Scope {
    fn default() -> Self {
        Self::Zones { look: BTreeSet::new(), think: BTreeSet::new() }
    }
}

impl Scope {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Zones { look, think } if look.is_empty() && think.is_empty())
    }

    /// Adds a zone that is to be looked at.
    pub fn look(&mut self, zone: &str) {
        if let Self::Zones { look, .. } = self {
            look.insert(zone.to_owned());
        }
    }

    /// Adds a zone that is to be planned again.
    pub fn think(&mut self, zone: &str) {
        if let Self::Zones { think, .. } = self {
            think.insert(zone.to_owned());
        }
    }
}

/// All that is known between passes. The facts are what was seen last; whoever has reason to think that they changed says
/// so by the scope of the next pass.
#[derive(Debug)]
pub struct World {
    /// What is worked towards.
    pub aim: Aim,
    /// What is wanted, by zone.
    pub wanted: BTreeMap<String, Wanted>,
    /// What was seen.
    pub facts: HostFacts,
    /// R, by zone.
    pub recorded: BTreeMap<String, Recorded>,
    /// What is remembered, by zone.
    pub memories: BTreeMap<String, Memory>,
    /// The same, as the planner takes it.
    policies: BTreeMap<String, ZonePolicy>,
    /// What came of the last walk, by zone.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What was told last, by zone.
    pub statuses: BTreeMap<String, ZoneStatus>,
    /// The plan that was made last, by zone, without those that an audit stopped.
    pub plans: BTreeMap<String, ZonePlan>,
    /// Zones that need not be looked at again.
    quiet: Quiet,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Passed {
    /// The zones that it planned.
    pub zones: Vec<String>,
    /// What the audit found.
    pub findings: Vec<Finding>,
    /// Lines for people: zone and text.
    pub said: Vec<(String, String)>,
}

impl World {
    /// Nothing was seen yet.
    pub fn new(host: &Host, aim: Aim, wanted: BTreeMap<String, Wanted>) -> Self {
        let facts = HostFacts {
            boot_id: host.boot_id().to_owned(),
            observed_at: crate::store::now(),
            zones: BTreeMap::new(),
            bridges: reeve_state::Fact::unknown("not looked at yet"),
        };
        Self {
            aim,
            wanted,
            facts,
            recorded: BTreeMap::new(),
            memories: BTreeMap::new(),
            policies: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            statuses: BTreeMap::new(),
            plans: BTreeMap::new(),
            quiet: Quiet::default(),
        }
    }

    /// A zone as it was seen last.
    pub fn seen(&self, zone: &str) -> ZoneSeen {
        ZoneSeen {
            facts: self.facts.zones.get(zone).cloned().unwrap_or_else(|| ZoneFacts::absent(zone)),
            memory: Memory {
                boot_id: self.facts.boot_id.clone(),
                ..self.memories.get(zone).cloned().unwrap_or_default()
            },
            recorded: self.recorded.get(zone).cloned(),
        }
    }

    /// What is known of a zone that is to be looked at again.
    fn known(&self, zone: &str) -> Option<Known<'_>> {
        let manifest = self.recorded.get(zone).map(|recorded| &recorded.manifest);
        Some(Known { facts: self.facts.zones.get(zone)?, manifest })
    }

    /// The state in which a zone was seen last; none also when it is not known.
    pub fn state(&self, zone: &str) -> Option<ZoneState> {
        derive_state(self.facts.zones.get(zone)?).known().copied()
    }

    /// Takes in what was seen of a zone.
    pub fn absorb(&mut self, zone: &str, seen: ZoneSeen) {
        self.quiet.doubt(zone);
        let gone = derive_state(&seen.facts).is_absent() && !self.wanted.contains_key(zone);
        if gone {
            self.facts.zones.remove(zone);
            self.recorded.remove(zone);
            self.memories.remove(zone);
            self.policies.remove(zone);
            self.outcomes.remove(zone);
            self.statuses.remove(zone);
            self.plans.remove(zone);
            return;
        }
        self.policies.insert(zone.to_owned(), seen.memory.policy.clone());
        self.memories.insert(zone.to_owned(), seen.memory);
        self.facts.zones.insert(zone.to_owned(), seen.facts);
        match seen.recorded {
            Some(recorded) => drop(self.recorded.insert(zone.to_owned(), recorded)),
            None => drop(self.recorded.remove(zone)),
        }
    }

    /// Zones that are not at rest: they have something to do, wait for something, or failed.
    fn unquiet(&self) -> impl Iterator<Item = &String> {
        let open = |plan: &ZonePlan| !plan.steps.is_empty() || plan.hold.is_some();
        self.plans.iter().filter(move |(_, plan)| open(plan)).map(|(name, _)| name)
    }
}

/// Makes a pass over `scope`.
pub fn pass(host: &Host, world: &mut World, scope: &Scope) -> Passed {
    let mut passed = Passed::default();
    let looked = look(host, world, scope, &mut passed);
    let mut plan = make_plan(world, looked.zones.as_ref());
    check_plan(world, &mut plan, &mut passed);
    passed.zones = looked.quiet;
    for zone in plan.zones {
        report(host, world, &zone);
        let marks = looked.marks.get(&zone.name);
        if let (Some(marks), Some(facts), true) = (marks, world.facts.zones.get(&zone.name), is_at_rest(&zone)) {
            world.quiet.keep(host, facts, *marks);
        }
        passed.zones.push(zone.name.clone());
        world.plans.insert(zone.name.clone(), zone);
    }
    passed
}

/// Whether there is nothing to do for a zone, and nothing to wait for.
fn is_at_rest(plan: &ZonePlan) -> bool {
    plan.steps.is_empty() && plan.hold.is_none()
}

/// What looking came to.
#[derive(Default)]
struct Looked {
    /// The zones to plan; none for all.
    zones: Option<BTreeSet<String>>,
    /// Zones that are as they were, with nothing to do.
    quiet: Vec<String>,
    /// The marks of zones that were looked at, taken before.
    marks: BTreeMap<String, Marks>,
}

/// More zones than this are quicker looked at together than one after the other.
const ONE_BY_ONE: usize = 32;

/// Looks at what the scope says.
fn look(host: &Host, world: &mut World, scope: &Scope, passed: &mut Passed) -> Looked {
    let (zones, quiet) = match scope {
        Scope::Zones { look, think } => (look.union(think).cloned().collect(), Vec::new()),
        Scope::All => match world.quiet.sift(host) {
            Some((still, others)) if others.len() <= ONE_BY_ONE => {
                // What changed without the zone changing: its manifest.
                let digest = |name: &String| world.plans.get(name).and_then(|plan| plan.digest.as_ref());
                let others: BTreeSet<String> = others
                    .into_iter()
                    .chain(
                        world.wanted.iter().filter(|(name, w)| digest(name) != Some(&w.digest)).map(|(n, _)| n.clone()),
                    )
                    .chain(still.iter().filter(|name| !world.wanted.contains_key(*name)).cloned())
                    .chain(world.wanted.keys().filter(|name| !still.contains(*name)).cloned())
                    .collect();
                let quiet = still.into_iter().filter(|name| !others.contains(name)).collect();
                (others, quiet)
            }
            _ => return look_at_all(host, world, passed),
        },
    };
    let marks = match scope {
        Scope::All => marks(host, world, zones.iter()),
        Scope::Zones { .. } => BTreeMap::new(),
    };
    let again: Vec<String> = match scope {
        Scope::All => zones.iter().cloned().collect(),
        Scope::Zones { look, .. } => look.iter().cloned().collect(),
    };
    for zone in &again {
        // What is left of a zone that is not up may be anywhere; one that is up is where it was.
        let up = world.facts.zones.get(zone).is_some_and(|facts| facts.zsched.is_known());
        let known = world.known(zone).filter(|_| up || *scope != Scope::All);
        let seen = host.looker().zone(zone, known);
        let bad = is_bad(&seen.facts);
        world.absorb(zone, seen);
        if bad {
            set_bad_aside(host, world, zone, passed);
        }
    }
    let zones: BTreeSet<String> = zones.into_iter().chain(world.unquiet().cloned()).collect();
    Looked { zones: Some(zones), quiet, marks }
}

/// The marks of these zones as they are now.
fn marks<'z>(host: &Host, world: &World, zones: impl Iterator<Item = &'z String>) -> BTreeMap<String, Marks> {
    let zonepath = |zone: &String| {
        let wanted = world.wanted.get(zone).and_then(|wanted| wanted::zonepath(&wanted.manifest));
        let found = world.facts.zones.get(zone).and_then(|facts| facts.zonepath.as_deref());
        found.or(wanted).map(str::to_owned)
    };
    let zones: Vec<(&String, Option<String>)> = zones.map(|zone| (zone, zonepath(zone))).collect();
    Quiet::marks(host, zones.iter().map(|(zone, path)| (*zone, path.as_deref())))
}

/// Looks at everything, in one look.
fn look_at_all(host: &Host, world: &mut World, passed: &mut Passed) -> Looked {
    let names: BTreeSet<String> = world.facts.zones.keys().chain(world.wanted.keys()).cloned().collect();
    let marks = marks(host, world, names.iter());
    world.quiet = Quiet::default();
    take_in(world, host.looker().host(&mut world.wanted.keys().map(String::as_str)));
    let is_there = |name: &String| world.wanted.contains_key(name) || world.facts.zones.contains_key(name);
    world.plans.retain(|name, _| is_there(name));
    world.statuses.retain(|name, _| is_there(name));
    let bad: Vec<String> = world.facts.zones.values().filter(|facts| is_bad(facts)).map(|f| f.name.clone()).collect();
    for zone in bad {
        set_bad_aside(host, world, &zone, passed);
    }
    Looked { zones: None, quiet: Vec::new(), marks }
}

fn take_in(world: &mut World, seen: HostSeen) {
    world.recorded = seen.recorded;
    world.policies = seen.memories.iter().map(|(name, memory)| (name.clone(), memory.policy.clone())).collect();
    world.memories = seen.memories;
    world.facts = seen.facts;
}

fn is_bad(facts: &ZoneFacts) -> bool {
    facts.configured.why_unknown().is_some() || facts.installed.why_unknown().is_some()
}

/// A file that is not usable must not keep its zone from being looked after for ever.
fn set_bad_aside(host: &Host, world: &mut World, zone: &str, passed: &mut Passed) {
    match ZoneFiles::new(host.places(), zone).set_bad_aside() {
        Ok(said) if said.is_empty() => {}
        Ok(said) => {
            passed.said.extend(said.into_iter().map(|text| (zone.to_owned(), text)));
            let seen = host.looker().zone(zone, None);
            world.absorb(zone, seen);
        }
        Err(error) => passed.said.push((zone.to_owned(), error.to_string())),
    }
}

/// Plans the zones, or all of them.
fn make_plan(world: &World, zones: Option<&BTreeSet<String>>) -> Plan {
    if let Aim::Down { zones: down, purge } = &world.aim {
        let wanted = down.iter().filter(|name| zones.is_none_or(|zones| zones.contains(*name)));
        let nothing = |name: &str| ZoneFacts::absent(name);
        let one = |name: &String| match world.facts.zones.get(name) {
            Some(facts) => take_down(*purge, facts, world.recorded.get(name)),
            None => take_down(*purge, &nothing(name), None),
        };
        return Plan { zones: wanted.map(one).collect() };
    }
    let now = crate::store::now();
    let whole = plan::Input {
        wanted: &world.wanted,
        facts: &world.facts,
        recorded: &world.recorded,
        policies: &world.policies,
        now,
    };
    match zones {
        Some(zones) => plan::plan_some(&whole, zones),
        None => plan::plan(&whole),
    }
}

/// Audits the plan by rules of its own; a zone with a fatal finding is left alone and told of.
fn check_plan(world: &World, plan: &mut Plan, passed: &mut Passed) {
    if plan.is_empty() {
        return;
    }
    passed.findings = audit::audit(plan, &world.facts, &permissions(world));
    for finding in passed.findings.iter().filter(|finding| finding.severity == Severity::Fatal) {
        let zones = plan.zones.iter_mut().filter(|zone| finding.zone.as_ref().is_none_or(|name| *name == zone.name));
        for zone in zones {
            zone.steps.clear();
            zone.path.clear();
            zone.hold =
                Some(Hold::Unknown { why: format!("the plan is not sound ({}): {}", finding.rule, finding.message) });
            zone.reason = finding.message.clone();
        }
    }
}

/// Whose data may be destroyed: what `deletion: delete` says of a zone whose manifest is gone, what somebody confirmed,
/// and what `down --purge` names.
fn permissions(world: &World) -> Permissions {
    let mut destroy = BTreeSet::new();
    if let Aim::Down { zones, purge: true } = &world.aim {
        destroy.extend(zones.iter().cloned());
    }
    for (name, recorded) in &world.recorded {
        if !world.wanted.contains_key(name) && wanted::deletion(&recorded.manifest) == Deletion::Delete {
            destroy.insert(name.clone());
        }
    }
    for (name, wanted) in &world.wanted {
        if world.policies.get(name).and_then(|policy| policy.confirmed.as_ref()) == Some(&wanted.digest) {
            destroy.insert(name.clone());
        }
    }
    Permissions { destroy }
}

/// Tells of a zone: its status, kept in the run folder when it changed.
fn report(host: &Host, world: &mut World, plan: &ZonePlan) {
    let name = &plan.name;
    let nothing = ZoneFacts::absent(name);
    let (no_policy, no_outcome) = (ZonePolicy::default(), Outcome::default());
    let zone_files = ZoneFiles::new(host.places(), name);
    let kept = if world.statuses.contains_key(name) { None } else { zone_files.status() };
    let previous = world.statuses.get(name).or(kept.as_ref());
    let told = status::status(&status::Input {
        wanted: world.wanted.get(name),
        facts: world.facts.zones.get(name).unwrap_or(&nothing),
        recorded: world.recorded.get(name),
        plan,
        policy: world.policies.get(name).unwrap_or(&no_policy),
        outcome: world.outcomes.get(name).unwrap_or(&no_outcome),
        previous,
        now: crate::store::now(),
    });
    let changed = previous != Some(&told);
    if let Some(outcome) = world.outcomes.get_mut(name) {
        outcome.walked.clear();
    }
    if plan.from.is_absent() && plan.goal.is_none() {
        world.statuses.remove(name);
        return;
    }
    if changed {
        let made = if zone_files.run().is_dir() { Ok(()) } else { files::private_folder(zone_files.run()) };
        if let Err(error) = made.and_then(|()| zone_files.write_status(&told)) {
            tracing::warn!("zone {name}: {error}");
        }
    }
    world.statuses.insert(name.clone(), told);
}

/// A pass that touches nothing, for those who only want to see the plan. Returns what the audit found.
pub fn look_only(host: &Host, world: &mut World) -> Vec<Finding> {
    let seen = host.looker().host(&mut world.wanted.keys().map(String::as_str));
    take_in(world, seen);
    let mut passed = Passed::default();
    let mut plan = make_plan(world, None);
    check_plan(world, &mut plan, &mut passed);
    world.plans = plan.zones.into_iter().map(|zone| (zone.name.clone(), zone)).collect();
    passed.findings
}

/// The status of a zone as it is now, for those who read it without a manifest: what was told last (`kept`) has what only
/// a pass knows.
pub fn status_now(
    facts: &ZoneFacts,
    memory: Option<&Memory>,
    recorded: Option<&Recorded>,
    kept: Option<ZoneStatus>,
) -> ZoneStatus {
    let policy = memory.map(|memory| memory.policy.clone()).unwrap_or_default();
    let from = derive_state(facts);
    let state = from.known().copied();
    let plan = ZonePlan {
        name: facts.name.clone(),
        from,
        to: state,
        goal: state,
        path: Vec::new(),
        steps: Vec::new(),
        differences: Vec::new(),
        hold: None,
        manifest: None,
        digest: None,
        after: Vec::new(),
        reason: String::new(),
    };
    let now = status::status(&status::Input {
        wanted: None,
        facts,
        recorded,
        plan: &plan,
        policy: &policy,
        outcome: &Outcome::default(),
        previous: kept.as_ref(),
        now: crate::store::now(),
    });
    match kept {
        Some(kept) => ZoneStatus {
            desired: kept.desired,
            manifest_digest: kept.manifest_digest,
            source: kept.source,
            conditions: kept.conditions,
            ..now
        },
        None => {
            // What is wanted of it is not known here, so neither is whether it is there.
            let message = "no pass was made over this zone since the host's boot";
            let claim = Claim::is_true(ConditionType::Converged, "NoPass", message);
            let claim = Claim { status: ConditionStatus::Unknown, ..claim };
            let mut conditions = Vec::new();
            condition::set(&mut conditions, claim, None, crate::store::now());
            ZoneStatus { conditions, ..now }
        }
    }
}

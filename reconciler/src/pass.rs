//! One pass, from top to bottom: what is wanted and what is observed, the differences and the plan, its audit, and what
//! is told of each zone. The walk comes after it. A pass never fails as a whole: what cannot be read is an Unknown fact of
//! some zone, what must not be done is a finding about some plan, and every zone gets a status.

mod look;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use reeve_schema::Deletion;
use reeve_state::approval::Approvals;
use reeve_state::audit::{self, Finding, Permissions, Severity};
use reeve_state::condition::Claim;
use reeve_state::difference::Recorded;
use reeve_state::health::{HealthState, HealthStatus};
use reeve_state::observed::derive_state;
use reeve_state::plan::basis::Basis;
use reeve_state::plan::{self, Hold, Plan, ZonePlan, ZonePolicy, take_down, take_down_in_order};
use reeve_state::status::{Outcome, ZoneStatus};
use reeve_state::wanted::{self, Wanted};
use reeve_state::{HostFacts, ZoneFacts, ZoneState};

use crate::host::Host;
use crate::observe::closer::Resident;
use crate::observe::{Known, ZoneSeen};
use crate::quiet::Quiet;
use crate::store::approvals;
use crate::store::zone::Memory;
use look::{look, take_in};
use report::report;

pub use report::status_now;

/// What a pass works towards.
#[derive(Clone, Debug)]
pub enum Aim {
    /// What the manifests want.
    Manifests {
        /// The file or folder that they are from, absolute and without symbolic links.
        source: PathBuf,
        /// Whether the host is kept by them, so that zones from elsewhere are told of, too. Else those are no matter of
        /// this pass.
        follows: bool,
    },
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
    /// The commit that it is from, where it is from git.
    pub commit: Option<String>,
    /// What is to be said of that source, and of every zone from it.
    pub source_claims: Vec<Claim>,
    /// What was seen.
    pub facts: HostFacts,
    /// R, by zone.
    pub recorded: BTreeMap<String, Recorded>,
    /// What is remembered, by zone.
    pub memories: BTreeMap<String, Memory>,
    /// What health checks say, by zone; only of those that have one and run.
    pub health: BTreeMap<String, HealthStatus>,
    /// The same, as the planner takes it.
    policies: BTreeMap<String, ZonePolicy>,
    /// Changes that manifests approve.
    pub approved: Approvals,
    /// The same, with those that were approved on this host.
    approvals: Approvals,
    /// What came of the last walk, by zone.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What was told last, by zone.
    pub statuses: BTreeMap<String, ZoneStatus>,
    /// The plan that was made last, by zone, without those that an audit stopped.
    pub plans: BTreeMap<String, ZonePlan>,
    /// Zones that are being walked.
    pub busy: BTreeSet<String>,
    /// Zones that nothing tells of when they drift: they are looked at closely each time.
    pub unwatched: BTreeSet<String>,
    /// Zones that need not be looked at again.
    quiet: Quiet,
}

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Passed {
    /// The zones that it planned; before them those that are as they were.
    pub zones: Vec<String>,
    /// How many are as they were.
    pub quiet: usize,
    /// What the audit found.
    pub findings: Vec<Finding>,
    /// Lines for people: zone and text.
    pub said: Vec<(String, String)>,
    /// Changes that wait from now on: zone, for what, as one word, and in words.
    pub waiting: Vec<(String, &'static str, String)>,
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
            commit: None,
            source_claims: Vec::new(),
            facts,
            recorded: BTreeMap::new(),
            memories: BTreeMap::new(),
            health: BTreeMap::new(),
            policies: BTreeMap::new(),
            approved: Approvals::default(),
            approvals: Approvals::default(),
            outcomes: BTreeMap::new(),
            statuses: BTreeMap::new(),
            plans: BTreeMap::new(),
            busy: BTreeSet::new(),
            unwatched: BTreeSet::new(),
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
        let manifest = self.recorded.get(zone).map(|recorded| &*recorded.manifest);
        Some(Known { facts: self.facts.zones.get(zone)?, manifest })
    }

    /// The state in which a zone was seen last; none also when it is not known.
    pub fn state(&self, zone: &str) -> Option<ZoneState> {
        derive_state(self.facts.zones.get(zone)?).known().copied()
    }

    /// What people and earlier passes said of the zones.
    pub fn policies(&self) -> &BTreeMap<String, ZonePolicy> {
        &self.policies
    }

    /// What was approved, on this host and with the manifests.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// What a plan of this world stands on.
    pub fn basis(&self, plan: &Plan) -> Basis {
        let zones = plan.zones.iter().map(|zone| zone.name.clone()).collect();
        Basis::new(self.commit.clone(), &self.wanted, &self.facts, &self.recorded, &self.policies, &zones)
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
            self.health.remove(zone);
            self.outcomes.remove(zone);
            self.statuses.remove(zone);
            self.plans.remove(zone);
            return;
        }
        let healthy = self.is_healthy(zone);
        self.policies.insert(zone.to_owned(), ZonePolicy { healthy, ..seen.memory.policy.clone() });
        self.memories.insert(zone.to_owned(), seen.memory);
        self.facts.zones.insert(zone.to_owned(), seen.facts);
        match seen.recorded {
            Some(recorded) => drop(self.recorded.insert(zone.to_owned(), recorded)),
            None => drop(self.recorded.remove(zone)),
        }
    }

    /// Takes in what was approved on this host.
    fn take_approvals(&mut self, host: &Host) {
        self.approvals = approvals::all(host.places());
        self.approvals.extend(&self.approved);
    }

    /// Takes in what health checks say of a zone; none where nothing is checked.
    pub fn set_health(&mut self, zone: &str, health: Option<HealthStatus>) {
        match health {
            Some(health) => drop(self.health.insert(zone.to_owned(), health)),
            None => drop(self.health.remove(zone)),
        }
        let healthy = self.is_healthy(zone);
        if let Some(policy) = self.policies.get_mut(zone) {
            policy.healthy = healthy;
        }
    }

    fn is_healthy(&self, zone: &str) -> bool {
        self.health.get(zone).is_some_and(|health| health.status == HealthState::Healthy)
    }

    /// A zone's suspension is over: what the planner is told next time.
    pub fn resumed(&mut self, zone: &str) {
        if let Some(policy) = self.policies.get_mut(zone) {
            policy.suspended = None;
        }
    }

    /// Takes in what is remembered of a zone from now on; the zone itself is as it was.
    pub fn remember(&mut self, zone: &str, memory: Memory) {
        self.policies.insert(zone.to_owned(), memory.policy.clone());
        if let Some(recorded) = &memory.recorded {
            self.recorded.insert(zone.to_owned(), recorded.clone());
        }
        self.memories.insert(zone.to_owned(), memory);
    }

    /// Zones for which what became of other zones may matter: they wait for one of them, or have something to do and do
    /// not do it yet.
    fn unquiet(&self) -> impl Iterator<Item = &String> {
        let open = |plan: &ZonePlan| {
            !plan.steps.is_empty() || matches!(plan.hold, Some(Hold::Conflict { .. } | Hold::DependsOn { .. }))
        };
        let waiting = self.plans.iter().filter(move |(_, plan)| open(plan)).map(|(name, _)| name);
        waiting.filter(|name| !self.busy.contains(*name))
    }
}

/// Makes a pass over `scope`.
pub fn pass(host: &Host, world: &mut World, scope: &Scope) -> Passed {
    let mut passed = Passed::default();
    world.take_approvals(host);
    let looked = look(host, world, scope, &mut passed);
    let mut plan = make_plan(world, looked.zones.as_ref());
    check_plan(world, &mut plan, &mut passed);
    passed.quiet = looked.quiet.len();
    passed.zones = looked.quiet;
    for zone in plan.zones {
        report(host, world, &zone);
        let marks = looked.marks.get(&zone.name);
        let at_rest = is_at_rest(&zone) && !world.unwatched.contains(&zone.name);
        if let (Some(marks), Some(facts), true) = (marks, world.facts.zones.get(&zone.name), at_rest) {
            world.quiet.keep(host, facts, *marks);
        }
        passed.zones.push(zone.name.clone());
        let told = world.plans.get(&zone.name).and_then(|plan| plan.hold.as_ref()?.change());
        if let Some(hold) = zone.hold.as_ref().filter(|hold| hold.change().is_some() && hold.change() != told) {
            let word =
                if matches!(hold, Hold::AwaitingApproval { .. }) { "ApprovalRequired" } else { "AwaitingWindow" };
            passed.waiting.push((zone.name.clone(), word, zone.reason.clone()));
        }
        world.plans.insert(zone.name.clone(), zone);
    }
    passed
}

/// Whether there is nothing to do for a zone, and nothing to wait for.
fn is_at_rest(plan: &ZonePlan) -> bool {
    plan.steps.is_empty() && plan.hold.is_none()
}

/// Plans the zones, or all of them.
fn make_plan(world: &World, zones: Option<&BTreeSet<String>>) -> Plan {
    let (source, follows) = match &world.aim {
        Aim::Manifests { source, follows } => (source.to_string_lossy(), *follows),
        Aim::Down { zones: down, purge } => return plan_down(world, zones, down, *purge),
    };
    let whole = plan::Input {
        wanted: &world.wanted,
        source: Some(&source),
        facts: &world.facts,
        recorded: &world.recorded,
        policies: &world.policies,
        approvals: &world.approvals,
        now: crate::store::now(),
    };
    let mut plan = match zones {
        Some(zones) => plan::plan_some(&whole, zones),
        None => plan::plan(&whole),
    };
    if !follows {
        plan.zones.retain(|zone| !matches!(zone.hold, Some(Hold::OtherSource { .. })));
    }
    plan
}

/// Plans the way down of the zones that are to go there, or of those among `zones`.
fn plan_down(world: &World, zones: Option<&BTreeSet<String>>, down: &BTreeSet<String>, purge: bool) -> Plan {
    let wanted = down.iter().filter(|name| zones.is_none_or(|zones| zones.contains(*name)));
    let nothing = |name: &str| ZoneFacts::absent(name);
    let one = |name: &String| match world.facts.zones.get(name) {
        Some(facts) => take_down(purge, facts, world.recorded.get(name)),
        None => take_down(purge, &nothing(name), None),
    };
    let mut plan = Plan { zones: wanted.map(one).collect() };
    take_down_in_order(&mut plan, down, &world.facts, &world.recorded);
    plan
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
        let gone = !world.wanted.contains_key(name) && was_there(world, name);
        let deletes = || wanted::deletion(&recorded.manifest) == Deletion::Delete;
        if gone && (deletes() || world.approvals.data_may_go(name, Some(recorded), None)) {
            destroy.insert(name.clone());
        }
    }
    for (name, wanted) in &world.wanted {
        let confirmed = world.policies.get(name).and_then(|policy| policy.confirmed.as_ref()) == Some(&wanted.digest);
        if confirmed || world.approvals.data_may_go(name, world.recorded.get(name), Some(wanted)) {
            destroy.insert(name.clone());
        }
    }
    Permissions { destroy }
}

/// Whether the recorded manifest of a zone was where those that are worked towards are from.
fn was_there(world: &World, zone: &str) -> bool {
    let Aim::Manifests { source, .. } = &world.aim else { return false };
    let configured = world.facts.zones.get(zone).and_then(|facts| facts.configured.known());
    let place = configured.and_then(|configured| configured.source.as_deref());
    place.is_some_and(|place| wanted::is_from(place, &source.to_string_lossy()))
}

/// A pass that touches nothing, for those who only want to see the plan. Returns what the audit found.
pub fn look_only(host: &Host, world: &mut World) -> Vec<Finding> {
    let mut seen = host.looker().host(&mut world.wanted.keys().map(String::as_str));
    host.looker().strangers(&Resident::all(seen.facts.zones.values()));
    seen.facts.zones.values_mut().for_each(|facts| host.looker().closer(facts));
    host.hear_ends(&mut seen);
    take_in(world, seen);
    world.take_approvals(host);
    let mut passed = Passed::default();
    let mut plan = make_plan(world, None);
    check_plan(world, &mut plan, &mut passed);
    world.plans = plan.zones.into_iter().map(|zone| (zone.name.clone(), zone)).collect();
    passed.findings
}

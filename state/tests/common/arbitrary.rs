//! Any world: three zones with any facts, some coherent, some not, any manifests, records and policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use reeve_state::difference::Recorded;
use reeve_state::journal::{Entry, Phase, VERSION};
use reeve_state::observed::{CgroupFacts, InstalledFacts, LinkFacts, RecordedConfig};
use reeve_state::plan::{ZonePolicy, step_name};
use reeve_state::restart::{ExitKind, ExitReport, RestartHistory};
use reeve_state::suspension::Suspension;
use reeve_state::wanted::Wanted;
use reeve_state::{Fact, Timestamp, Transition, ZoneFacts, ZoneState};
use serde_json::{Value, json};

use super::{BOOT, World, facts_in, process, wants};

const NAMES: [&str; 3] = ["a", "b", "c"];

pub fn fact<T: Clone + std::fmt::Debug + 'static>(known: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Fact<T>> {
    prop_oneof![
        5 => known.prop_map(Fact::Known),
        5 => Just(Fact::Absent),
        1 => Just(Fact::unknown("EACCES")),
    ]
    .boxed()
}

/// A spec. Addresses and paths come from small pools, so that zones want the same.
fn spec() -> BoxedStrategy<Value> {
    let state = prop_oneof![Just("installed"), Just("ready"), Just("running")];
    let restart = prop_oneof![Just("always"), Just("on-failure"), Just("never")];
    let deletion = prop_oneof![Just("halt"), Just("keep"), Just("delete")];
    let root = prop_oneof![4 => Just(json!({"hostUsr": {}})), 1 => Just(json!({"directory": {"path": "/srv/tree"}}))];
    let path = prop_oneof![4 => Just(None), 1 => Just(Some("/z/p")), 1 => Just(Some("/z/p/q"))];
    let text = prop_oneof![3 => Just(None), 1 => Just(Some("x"))];
    let memory = prop_oneof![2 => Just(None), 1 => Just(Some("64Mi")), 1 => Just(Some("100000"))];
    (state, restart, deletion, root, path, text.clone(), text, memory, 0..4_u8)
        .prop_map(|(state, restart, deletion, root, path, hostname, command, memory, address)| {
            let mut spec = json!({"state": state, "deletion": deletion, "root": root, "init": {"restart": restart}});
            path.into_iter().for_each(|path| spec["zonepath"] = path.into());
            hostname.into_iter().for_each(|name| spec["hostname"] = name.into());
            command.into_iter().for_each(|command| spec["init"]["command"] = json!([format!("/bin/{command}")]));
            memory.into_iter().for_each(|bytes| spec["cappedMemory"] = json!({"physical": bytes}));
            if address > 0 {
                spec["net"] = json!([{"physical": "br0", "address": format!("10.0.0.{address}/24")}]);
            }
            spec
        })
        .boxed()
}

fn any_cgroup() -> BoxedStrategy<CgroupFacts> {
    let file = |a: &str, b: &str| prop_oneof![Just(None), Just(Some(a.to_owned())), Just(Some(b.to_owned()))];
    (file("max", "67108864"), file("max", "5"), file("max 100000", "1 2"), file("100", "7"))
        .prop_map(|(m, p, c, w)| CgroupFacts { memory_max: m, pids_max: p, cpu_max: c, cpu_weight: w })
        .boxed()
}

fn any_links() -> BoxedStrategy<Vec<LinkFacts>> {
    let link = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(up, right, looked)| LinkFacts {
        host_name: "rvabcd-1.0".into(),
        up,
        master: Some(if right { "br0" } else { "br1" }.into()),
        zone_name: looked.then(|| "net0".into()),
        addresses: looked.then(|| vec!["10.0.0.1/24".into()]),
    });
    prop::collection::vec(link, 0..2).boxed()
}

fn any_exit() -> BoxedStrategy<ExitReport> {
    let kind = prop_oneof![
        Just(ExitKind::Exited(0)),
        Just(ExitKind::Exited(1)),
        Just(ExitKind::Signaled(9)),
        Just(ExitKind::RebootInside),
        Just(ExitKind::PoweroffInside),
    ];
    (kind, 990_000..1_000_100_u64).prop_map(|(kind, at)| ExitReport { kind, at: Timestamp(at), environment: 1 }).boxed()
}

fn any_journal() -> BoxedStrategy<Entry> {
    let step = prop_oneof![
        Just((Some(Transition::Ready), step_name::READY[3])),
        Just((Some(Transition::Ready), step_name::READY[6])),
        Just((Some(Transition::Boot), step_name::START_INIT)),
        Just((Some(Transition::Halt), step_name::HALT[1])),
        Just((None, step_name::APPLY_LIMITS)),
    ];
    (step, any::<bool>())
        .prop_map(|((transition, step), done)| Entry {
            version: VERSION,
            boot_id: BOOT.into(),
            zone: "a".into(),
            zone_id: Some(1),
            transition,
            path: transition.into_iter().collect(),
            step: step.into(),
            phase: if done { Phase::Done } else { Phase::Intent },
            at: Timestamp(999_999),
            evidence: Arc::default(),
        })
        .boxed()
}

/// Facts that need not fit together at all.
pub fn any_facts(name: &'static str) -> BoxedStrategy<ZoneFacts> {
    let process = || fact((2..9_i32).prop_map(|pid| process(pid).known().copied().expect("known")));
    let disk = (
        fact(Just(RecordedConfig { digest: "d".into(), source: None })),
        fact(Just(InstalledFacts { at: Timestamp(1) })),
    );
    let processes = (process(), process(), process(), fact(0..3_u32), fact(0..3_u32));
    let namespaces = fact(Just([("net".to_owned(), 1_u64)].into()));
    let platform = (namespaces, fact(any_cgroup()), fact(any_links()), fact(0..2_u32));
    let told = (any::<bool>(), prop::option::weighted(0.3, any_journal()), prop::option::weighted(0.3, any_exit()));
    (disk, processes, platform, told)
        .prop_map(move |(disk, processes, platform, told)| {
            let mut facts = ZoneFacts::absent(name);
            (facts.configured, facts.installed) = disk;
            (facts.zoneadmd, facts.zsched, facts.init, facts.environment_processes, facts.login_processes) = processes;
            (facts.namespaces, facts.cgroup, facts.links, facts.mounts) = platform;
            (facts.halt_intent, facts.journal, facts.last_exit) = told;
            facts.zone_id = facts.zsched.is_known().then_some(1);
            facts
        })
        .boxed()
}

pub fn any_state() -> BoxedStrategy<ZoneState> {
    prop::sample::select(ZoneState::ALL.to_vec()).boxed()
}

/// Facts as they are in a state, with some of them gone wrong.
fn likely_facts(name: &'static str) -> BoxedStrategy<(ZoneFacts, Wanted)> {
    let wrong = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let told = (prop::option::weighted(0.2, any_journal()), prop::option::weighted(0.3, any_exit()));
    (spec(), any_state(), any_cgroup(), wrong, told)
        .prop_map(move |(spec, state, cgroup, wrong, told)| {
            let wanted = wants(name, spec);
            let mut facts = facts_in(&wanted, state);
            if wrong.0 && wrong.1 && facts.cgroup.is_known() {
                facts.cgroup = Fact::Known(cgroup);
            }
            if wrong.2 && wrong.3 {
                facts.zoneadmd = Fact::Absent;
            }
            if let (true, true, Fact::Known(links)) = (wrong.0, wrong.2, &mut facts.links) {
                links.iter_mut().for_each(|link| link.up = false);
            }
            if wrong.1 && wrong.3 && state == ZoneState::Running {
                facts.init = Fact::Absent;
            }
            (facts.journal, facts.last_exit) = told;
            (facts, wanted)
        })
        .boxed()
}

fn any_recorded(wanted: Wanted) -> BoxedStrategy<Option<Recorded>> {
    (any_state(), prop_oneof![4 => Just(BOOT), 1 => Just("another boot")])
        .prop_map(move |(state, boot)| {
            Some(Recorded {
                manifest: wanted.manifest.clone(),
                digest: wanted.digest.clone(),
                state,
                boot_id: boot.into(),
                zone_id: Some(1),
                at: Timestamp(990_000),
                platform: None,
            })
        })
        .boxed()
}

fn any_policy() -> BoxedStrategy<(RestartHistory, bool, bool)> {
    let history = (prop::option::weighted(0.4, any_exit()), 0..12_u32, prop::option::of(Just(Timestamp(980_000))));
    let history = history.prop_map(|(pending, short_ends, started_at)| RestartHistory {
        started_at,
        digest: None,
        short_ends,
        restarts: 0,
        pending,
        last_exit: pending,
    });
    (history, prop::bool::weighted(0.1), prop::bool::weighted(0.2)).boxed()
}

type ZoneSeed = (ZoneFacts, Option<Recorded>, Option<Wanted>, Wanted, (RestartHistory, bool, bool));

fn zone(name: &'static str) -> BoxedStrategy<ZoneSeed> {
    let seen = prop_oneof![
        3 => likely_facts(name),
        2 => (any_facts(name), spec()).prop_map(move |(facts, spec)| (facts, wants(name, spec))),
    ];
    (seen, spec(), 0..6_u8, any_policy())
        .prop_flat_map(move |((facts, made_from), spec, kind, policy)| {
            let other = wants(name, spec);
            // Of the zone: unchanged, changed, changed and without a secret, or without a manifest; with or without a record.
            let wanted = match kind {
                0 | 1 => Some(made_from.clone()),
                4 => Some(Wanted { unavailable: Some("init.env.A: /etc/a is not there".into()), ..other }),
                5 => None,
                _ => Some(other),
            };
            // The record is what zone.json holds: without the one there is not the other.
            let kept = facts.configured.is_known();
            let recorded = prop_oneof![
                1 => Just(None),
                5 => any_recorded(made_from.clone()).prop_map(move |recorded| recorded.filter(|_| kept)),
            ];
            (Just(facts), recorded, Just(wanted), Just(made_from), Just(policy))
        })
        .boxed()
}

fn suspension() -> Suspension {
    Suspension { reason: "looked at".into(), owner: "ada".into(), since: Timestamp(1), until: None }
}

/// Any world.
pub fn world() -> BoxedStrategy<World> {
    (zone(NAMES[0]), zone(NAMES[1]), zone(NAMES[2]), 1..=3_usize)
        .prop_map(|(a, b, c, many)| {
            let mut world = World::new();
            let mut taken = BTreeSet::new();
            for (name, (facts, recorded, wanted, _, (restarts, suspended, confirm))) in
                NAMES.into_iter().zip([a, b, c]).take(many)
            {
                world.facts.zones.insert(name.into(), facts);
                recorded.into_iter().for_each(|r| drop(world.recorded.insert(name.into(), r)));
                let confirmed = wanted.as_ref().filter(|_| confirm).map(|w| w.digest.clone());
                world.policies.insert(
                    name.into(),
                    ZonePolicy { restarts, suspended: suspended.then(suspension), confirmed, ..ZonePolicy::default() },
                );
                // A set in which two zones want the same address or overlapping paths never gets past validation.
                let wanted = wanted.filter(|w| {
                    let address = w.manifest["spec"]["net"][0]["address"].as_str().map(str::to_owned);
                    let path = w.manifest["spec"]["zonepath"]
                        .as_str()
                        .filter(|p| p.starts_with("/z/"))
                        .map(|_| "/z".to_owned());
                    let own: Vec<String> = address.into_iter().chain(path).collect();
                    let free = own.iter().all(|thing| !taken.contains(thing));
                    if free {
                        taken.extend(own);
                    }
                    free
                });
                wanted.into_iter().for_each(|w| drop(world.wanted.insert(name.into(), w)));
            }
            world
        })
        .boxed()
}

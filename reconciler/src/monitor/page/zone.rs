//! The page of one zone: what is wrong with it first, then where it is and where it goes, what differs, what was done.

use askama::Template;
use reeve_state::condition::{self, ConditionType};
use reeve_state::difference::{Difference, Price};
use reeve_state::halt::{Evidence, HaltStatus};
use reeve_state::lifecycle::state_name;
use reeve_state::metrics::Zone;
use reeve_state::status::{HistoryEntry, ZoneStatus};
use reeve_state::{Timestamp, Transition};

use super::list::doing;
use super::parts::{self, Happened, Moment};
use super::picture::{Picture, picture};
use super::{Frame, Urgency, View};
use crate::monitor::board::Walk;
use crate::{time, words};

/// How many events are shown.
const EVENTS: usize = 20;

/// A halt that cannot finish.
struct Blocked<'a> {
    halt: &'a HaltStatus,
    reason: String,
    meaning: &'static str,
    steps: String,
    since: Moment,
    next: String,
    held: Vec<Held<'a>>,
}

/// Something that is held.
struct Held<'a> {
    kind: String,
    object: &'a str,
    path: &'a str,
    holder: Option<&'a reeve_state::halt::Holder>,
}

/// A condition.
struct Condition<'a> {
    kind: &'static str,
    status: &'static str,
    reason: &'a str,
    since: Moment,
    message: &'a str,
    class: &'static str,
}

/// A field that differs.
struct Differs<'a> {
    field: &'a str,
    cause: &'static str,
    is_drift: bool,
    recorded: String,
    observed: String,
    desired: String,
    /// What putting it right costs, and what is done about it.
    price: &'static str,
    handling: &'a str,
    who: String,
}

/// A transition that was walked.
struct Walked<'a> {
    last: Moment,
    transition: &'static str,
    from: &'static str,
    to: &'static str,
    took: String,
    outcome: &'a str,
    failed: bool,
    /// How often, and since when, where it was more than once.
    again: Option<(u32, Moment)>,
}

/// See the module.
#[derive(Template)]
#[template(path = "zone.html")]
pub struct Detail<'a> {
    frame: Frame<'a>,
    name: &'a str,
    urgency: Urgency,
    state: &'static str,
    desired: &'static str,
    since: Option<Moment>,
    /// What is wanted next, or why nothing is.
    why: &'a str,
    doing: Option<String>,
    doing_since: Option<Moment>,
    path: String,
    blocked: Option<Blocked<'a>>,
    picture: Picture,
    conditions: Vec<Condition<'a>>,
    differences: Vec<Differs<'a>>,
    facts: Vec<(&'static str, String)>,
    history: Vec<Walked<'a>>,
    events: Vec<Happened<'a>>,
    moves: String,
}

/// The page.
pub fn page<'a>(view: &View<'a>, name: &'a str, zone: &'a Zone) -> Detail<'a> {
    let (status, now) = (&zone.status, view.now);
    let walk = view.told.walks.get(name);
    let (from, path): (_, &[Transition]) = match walk {
        Some(walk) => (walk.from, &walk.path),
        None => (status.state, &zone.path),
    };
    let converged = condition::find(&status.conditions, ConditionType::Converged);
    let names: Vec<&str> = path.iter().map(|transition| transition.as_str()).collect();
    let is_own = |event: &crate::store::HostEvent| event.zone.as_deref() == Some(name);
    Detail {
        frame: Frame::new(view.about, now),
        name,
        urgency: Urgency::of(zone, walk.is_some()),
        state: state_name(status.state),
        desired: state_name(status.desired),
        since: words::since(status).map(|since| Moment::new(since, now)),
        why: converged.map_or("", |converged| &converged.message),
        doing: walk.map(doing),
        doing_since: walk.and_then(|walk| walk.step.as_ref()).map(|step| Moment::new(step.since, now)),
        path: names.join(", "),
        blocked: status.halt.as_ref().map(|halt| blocked(halt, now)),
        picture: picture(status.state, from, path),
        conditions: status.conditions.iter().map(|one| self::condition(one, now)).collect(),
        differences: zone.differences.iter().map(differs).collect(),
        facts: facts(zone, walk, now),
        history: status.history.iter().rev().map(|entry| walked(entry, now)).collect(),
        events: parts::happened(view.events, is_own, EVENTS, now),
        moves: words::legal_moves(status.state),
    }
}

fn blocked(halt: &HaltStatus, now: Timestamp) -> Blocked<'_> {
    let held = |one: &'_ Evidence| -> String { format!("{:?}", one.kind) };
    Blocked {
        halt,
        reason: format!("{:?}", halt.reason),
        meaning: words::meaning(halt.reason),
        steps: words::halt_steps(halt),
        since: Moment::new(halt.since, now),
        next: words::next_try(halt, now),
        held: halt
            .evidence
            .iter()
            .map(|one| Held {
                kind: held(one),
                object: &one.object,
                path: one.path.as_deref().unwrap_or_default(),
                holder: one.holder.as_ref(),
            })
            .collect(),
    }
}

fn condition(one: &condition::Condition, now: Timestamp) -> Condition<'_> {
    use condition::ConditionStatus::{False, True};
    let is_good = matches!(
        (one.kind, one.status),
        (ConditionType::Converged | ConditionType::SourceVerified | ConditionType::SourceFresh, True)
            | (ConditionType::Reconciling, _)
    );
    Condition {
        kind: one.kind.as_str(),
        status: one.status.as_str(),
        reason: &one.reason,
        since: Moment::new(one.last_transition_time, now),
        message: &one.message,
        class: match one.status {
            _ if is_good => "fine",
            True if !one.kind.stalls() && one.kind != ConditionType::Stalled => "odd",
            True | False => "bad",
            condition::ConditionStatus::Unknown => "odd",
        },
    }
}

fn differs(one: &Difference) -> Differs<'_> {
    let value = |value: &Option<serde_json::Value>| parts::value(&one.field, value.as_ref());
    Differs {
        field: &one.field,
        cause: one.cause.as_str(),
        is_drift: one.is_drift(),
        recorded: value(&one.recorded),
        observed: value(&one.observed),
        desired: value(&one.desired),
        price: match one.price {
            Price::Live => "live",
            Price::Restart => "restart",
            Price::Rebuild => "rebuild",
            Price::Reinstall => "reinstall",
        },
        handling: match one.handled() {
            "returning" => "came back too often: not mended any more",
            "waiting" => "waits for approval or a window",
            "apply" => "",
            word => word,
        },
        who: one.who.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn walked(entry: &HistoryEntry, now: Timestamp) -> Walked<'_> {
    Walked {
        last: Moment::new(entry.last_at.unwrap_or(entry.at), now),
        transition: entry.transition.as_str(),
        from: state_name(entry.from),
        to: state_name(entry.to),
        took: time::span(entry.took_ms),
        outcome: &entry.outcome,
        failed: entry.failed(),
        again: (entry.count > 1).then(|| (entry.count, Moment::new(entry.at, now))),
    }
}

/// What there is to know beside.
fn facts(zone: &Zone, walk: Option<&Walk>, now: Timestamp) -> Vec<(&'static str, String)> {
    let status = &zone.status;
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let waits = status.pending.as_ref();
    let all: [(&'static str, Option<String>); 17] = [
        ("Suspended", status.suspended.as_ref().map(words::suspended)),
        ("Waiting", waits.map(words::pending)),
        ("Change", waits.map(|pending| pending.digest.clone())),
        ("Health", status.health.as_ref().map(|health| words::health(health, now))),
        ("Last exit", status.last_exit.as_ref().map(|exit| words::exit(exit, now))),
        ("Walks that failed in a row", (zone.failures > 0).then(|| zone.failures.to_string())),
        ("Walked by pass", walk.map(|walk| walk.pass.to_string())),
        ("Walked for commit", walk.and_then(|walk| walk.commit.clone())),
        ("Restarts of init", Some(status.restarts.to_string())),
        ("Zone ID", status.zone_id.map(|id| id.to_string())),
        ("zoneadmd", number(status.zoneadmd_pid)),
        ("zsched", number(status.zsched_pid)),
        ("init", number(status.init_pid)),
        ("Addresses", addresses(status)),
        ("Zonepath", status.zonepath.clone()),
        ("Manifest", status.source.clone()),
        ("Commit", status.commit.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn addresses(status: &ZoneStatus) -> Option<String> {
    (!status.addresses.is_empty()).then(|| status.addresses.join(", "))
}

//! The first page: every zone of the host, those in trouble first; how it is with the source and the controller; what
//! happened last. However many zones there are, a page shows a hundred of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use askama::Template;
use reeve_state::condition::{self, ConditionStatus, ConditionType};
use reeve_state::lifecycle::state_name;
use reeve_state::metrics::Zone;
use reeve_state::source::{SourceStatus, short as short_commit};
use reeve_state::{Timestamp, ZoneState};

use super::parts::{self, Happened, Moment};
use super::{Frame, Urgency, View};
use crate::monitor::board::Walk;
use crate::words;

/// How many zones a page has.
pub const ROWS: usize = 100;
/// How many events.
const EVENTS: usize = 30;
/// How many problems of a commit's manifests.
const PROBLEMS: usize = 10;
/// After this time without a pass, in milliseconds, something is wrong: one is due every minute.
const SILENT_MS: u64 = 180_000;

/// What of the list is asked for, from the query of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Only zones in this state; `none` is one.
    pub state: Option<String>,
    /// Only zones that somebody should look at.
    pub trouble: bool,
    /// Only zones whose names have this in them.
    pub name: Option<String>,
    /// Which page, from 1.
    pub page: usize,
}

impl Ask {
    /// What a query asks for. What is not known in it is passed over.
    pub fn parse(query: Option<&str>) -> Self {
        let mut ask = Self { page: 1, ..Self::default() };
        for part in query.unwrap_or_default().split('&') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            // What no name and no state has in it, no zone is found by.
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let word = (!value.is_empty() && value.chars().all(is_word)).then(|| value.to_owned());
            match key {
                "state" => ask.state = word,
                "name" => ask.name = word,
                "trouble" => ask.trouble = true,
                "page" => ask.page = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        ask
    }

    /// The address of the list that this asks for.
    fn address(&self) -> String {
        let mut out = String::from("/");
        let mut put = |key: &str, value: &str| {
            let _ = write!(out, "{}{key}={value}", if out.len() == 1 { '?' } else { '&' });
        };
        if self.trouble {
            put("trouble", "1");
        }
        if let Some(state) = &self.state {
            put("state", state);
        }
        if let Some(name) = &self.name {
            put("name", name);
        }
        if self.page > 1 {
            put("page", &self.page.to_string());
        }
        out
    }

    fn wants(&self, name: &str, zone: &Zone, urgency: Urgency) -> bool {
        (!self.trouble || urgency.is_trouble())
            && self.state.as_ref().is_none_or(|state| state_name(zone.status.state) == state)
            && self.name.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}

/// A number of zones, and the list of them.
struct Count {
    words: String,
    number: usize,
    address: String,
    is_asked: bool,
}

/// One zone.
struct Row<'a> {
    name: &'a str,
    address: String,
    urgency: Urgency,
    state: &'static str,
    desired: &'static str,
    since: Option<Moment>,
    /// What is done with it just now.
    doing: Option<String>,
    why: String,
}

/// How it is with the repository.
struct Source<'a> {
    url: &'a str,
    reference: &'a str,
    accepted: Option<(&'a str, &'a str, &'a str, Moment)>,
    conditions: Vec<(&'static str, &'static str, &'a str, &'a str)>,
    /// The commit that is not applied, the reason, in words, when; problems of its manifests.
    rejected: Option<(&'a str, String, &'a str, Moment)>,
    problems: Vec<String>,
    more_problems: usize,
    failing: Option<(String, Option<Moment>, u32)>,
}

/// The controller.
struct Controller<'a> {
    follows: &'a str,
    since: Moment,
    last_pass: Option<Moment>,
    is_silent: bool,
    working: u64,
    queued: u64,
}

/// See the module.
#[derive(Template)]
#[template(path = "list.html")]
pub struct List<'a> {
    frame: Frame<'a>,
    ask: &'a Ask,
    counts: Vec<Count>,
    rows: Vec<Row<'a>>,
    /// How many are asked for, and how many there are.
    found: usize,
    all: usize,
    first: usize,
    before: Option<String>,
    after: Option<String>,
    /// Why the manifests are not taken in, line by line.
    problem: Vec<&'a str>,
    source: Option<Source<'a>>,
    controller: Controller<'a>,
    events: Vec<Happened<'a>>,
}

/// The page.
pub fn page<'a>(view: &View<'a>, ask: &'a Ask) -> List<'a> {
    let told = view.told;
    let judged = |(name, zone): (&'a String, &'a std::sync::Arc<Zone>)| {
        let walk = told.walks.get(name);
        (Urgency::of(zone, walk.is_some()), name.as_str(), &**zone, walk)
    };
    let all: Vec<_> = told.zones.iter().map(judged).collect();
    let counts = counts(ask, all.iter().map(|(urgency, _, zone, _)| (*urgency, zone.status.state)));
    let mut found: Vec<_> = all.iter().filter(|(urgency, name, zone, _)| ask.wants(name, zone, *urgency)).collect();
    found.sort_by_key(|(urgency, name, ..)| (*urgency, *name));
    let pages = found.len().div_ceil(ROWS).max(1);
    let number = ask.page.min(pages);
    let other = |page: usize| Ask { page, ..ask.clone() }.address();
    let first = (number - 1) * ROWS;
    let shown = found.iter().skip(first).take(ROWS);
    List {
        frame: Frame::new(view.about, view.now),
        ask,
        counts,
        rows: shown.map(|(urgency, name, zone, walk)| row(*urgency, name, zone, *walk, view.now)).collect(),
        found: found.len(),
        all: all.len(),
        first,
        before: (number > 1).then(|| other(number - 1)),
        after: (number < pages).then(|| other(number + 1)),
        problem: told.problem.as_deref().map(without_excerpts).unwrap_or_default(),
        source: told.source.as_deref().map(|source| self::source(source, view.now)),
        controller: controller(view),
        events: parts::happened(view.events, |_| true, EVENTS, view.now),
    }
}

/// How many zones there are in trouble, and in each state.
fn counts(ask: &Ask, zones: impl Iterator<Item = (Urgency, Option<ZoneState>)>) -> Vec<Count> {
    let (mut trouble, mut states) = (0, BTreeMap::new());
    for (urgency, state) in zones {
        trouble += usize::from(urgency.is_trouble());
        *states.entry(state).or_insert(0_usize) += 1;
    }
    let count = |words: &str, number, asked: Ask| Count {
        words: words.to_owned(),
        number,
        is_asked: asked.trouble == ask.trouble && asked.state == ask.state,
        address: asked.address(),
    };
    let all = || Ask { page: 1, name: ask.name.clone(), ..Ask::default() };
    let mut out = vec![
        count("in all", states.values().sum(), all()),
        count("in trouble", trouble, Ask { trouble: true, ..all() }),
    ];
    out.extend(states.into_iter().map(|(state, number)| {
        let name = state_name(state);
        count(name, number, Ask { state: Some(name.to_owned()), ..all() })
    }));
    out
}

fn row<'a>(urgency: Urgency, name: &'a str, zone: &'a Zone, walk: Option<&Walk>, now: Timestamp) -> Row<'a> {
    let status = &zone.status;
    let why = match (&status.suspended, condition::find(&status.conditions, ConditionType::Converged)) {
        (Some(suspension), _) => suspension.words(),
        (None, Some(converged)) if converged.status != ConditionStatus::True => {
            format!("{}: {}", converged.reason, converged.message)
        }
        (None, _) => String::new(),
    };
    let degraded = condition::find(&status.conditions, ConditionType::Degraded);
    let why = degraded.map_or(why, |degraded| format!("{}: {}", degraded.reason, degraded.message));
    Row {
        name,
        address: parts::address(name),
        urgency,
        state: state_name(status.state),
        desired: state_name(status.desired),
        since: words::since(status).map(|since| Moment::new(since, now)),
        doing: walk.map(doing),
        why: parts::short(&why),
    }
}

/// What is done in a walk.
pub fn doing(walk: &Walk) -> String {
    let path: Vec<&str> = walk.path.iter().map(|transition| transition.as_str()).collect();
    let path = if path.is_empty() { "a change as it is".to_owned() } else { path.join(", ") };
    match &walk.step {
        Some(step) => format!("{path}: {}", step.step),
        None => path,
    }
}

fn source(status: &SourceStatus, now: Timestamp) -> Source<'_> {
    let conditions = status.conditions.iter();
    let rejected = status.rejected.as_ref();
    let problems = rejected.map(|rejected| rejected.problems.as_slice()).unwrap_or_default();
    let problem = |one: &reeve_schema::Problem| {
        format!("{}:{}:{}: {}: {} ({})", one.file, one.line, one.column, one.field, one.message, one.help)
    };
    Source {
        url: &status.url,
        reference: &status.reference,
        accepted: status.accepted.as_ref().map(|accepted| {
            let info = &accepted.info;
            (info.short(), info.subject.as_str(), info.author.as_str(), Moment::new(accepted.accepted_at, now))
        }),
        conditions: conditions.map(|c| (c.kind.as_str(), c.status.as_str(), &*c.reason, &*c.message)).collect(),
        rejected: rejected.map(|rejected| {
            let reason = format!("{:?}", rejected.reason);
            (short_commit(&rejected.info.commit), reason, rejected.message.as_str(), Moment::new(rejected.at, now))
        }),
        problems: problems.iter().take(PROBLEMS).map(problem).collect(),
        more_problems: problems.len().saturating_sub(PROBLEMS),
        failing: status.fetch.error.as_ref().map(|error| {
            let since = status.fetch.failing_since.map(|since| Moment::new(since, now));
            (parts::short(error), since, status.fetch.failures)
        }),
    }
}

fn controller<'a>(view: &View<'a>) -> Controller<'a> {
    let counters = &view.told.counters;
    let silent = |pass: Timestamp| view.now.since(pass) > SILENT_MS;
    Controller {
        follows: &view.about.follows,
        since: Moment::new(view.about.since, view.now),
        last_pass: counters.last_pass.map(|pass| Moment::new(pass, view.now)),
        is_silent: silent(counters.last_pass.unwrap_or(view.about.since)),
        working: counters.working,
        queued: counters.busy.saturating_sub(counters.working),
    }
}

/// What is wrong with the manifests, without the lines of theirs that are shown on a terminal: a page is read by more people
/// than manifests are.
fn without_excerpts(text: &str) -> Vec<&str> {
    let is_excerpt = |line: &str| {
        let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        rest.starts_with('|')
    };
    text.lines().filter(|line| !line.trim().is_empty() && !is_excerpt(line)).take(4 * PROBLEMS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_written() {
        for query in ["", "?trouble=1", "?state=shutting_down", "?trouble=1&state=none&name=web-1.x&page=3"] {
            let ask = Ask::parse(query.strip_prefix('?'));
            assert_eq!(ask.address(), format!("/{query}"));
        }
        let odd = Ask::parse(Some("state=<b>&name=%22&page=0&what=1&trouble"));
        assert_eq!(odd, Ask { trouble: true, page: 1, ..Ask::default() });
        assert_eq!(Ask::parse(Some("page=99999999999999999999")).page, 1);
    }

    #[test]
    fn lines_of_manifests_are_left_out() {
        let text =
            "error: no\n  --> a.yaml:12:3\n   |\n12 |   password: x\n   |   ^\n   = help: yes\n\n1 problem found";
        assert_eq!(without_excerpts(text), ["error: no", "  --> a.yaml:12:3", "   = help: yes", "1 problem found"]);
    }
}

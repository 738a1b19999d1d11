//! What the controller does as spans: a pass that found work, below it the walk of each zone that it found work for, below that the
//! walk's steps. A span is made when it is over, from what is told of it anyway; where nobody listens nothing is made.
//!
//! The numbers that tie spans together are made from the pass, the zone and a key of this controller, so that a step knows its walk,
//! and a walk its pass, without anybody having to hand that on.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reeve_state::Timestamp;
use reeve_state::lifecycle::state_name;

use super::board::Walk;
use crate::progress::{PassReport, StepPhase, StepProgress};

/// One thing that was done, in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The number of its trace, that of the pass.
    pub trace: u128,
    /// Its own number; not 0.
    pub id: u64,
    /// The number of the span that it belongs to; none for a pass.
    pub parent: Option<u64>,
    /// What it is: `pass`, `walk`, or the step as the plan names it.
    pub name: String,
    /// When it was begun.
    pub start: SystemTime,
    /// When it was over.
    pub end: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed; none where it did not.
    pub error: Option<String>,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// Who takes spans. Called from several threads; it must not wait.
pub type Sink = Arc<dyn Fn(Span) + Send + Sync>;

/// See the module.
#[derive(Default)]
pub struct Traces {
    sink: OnceLock<Sink>,
    key: RandomState,
    steps: AtomicU64,
}

impl Traces {
    /// From now on spans go there; only the first who is named gets any.
    pub fn go_to(&self, sink: Sink) {
        let _ = self.sink.set(sink);
    }

    /// A pass ended just now. `commit` is the one that is in force, where there is one.
    pub fn pass(&self, report: &PassReport, commit: Option<&str>) {
        let Some(sink) = self.sink.get().filter(|_| !report.working.is_empty()) else { return };
        let mut attributes = vec![
            ("reeve.pass", whole(report.number)),
            ("reeve.pass.why", Attribute::Text(report.why.clone())),
            ("reeve.pass.zones", whole(report.zones as u64)),
            ("reeve.pass.working", whole(report.working.len() as u64)),
        ];
        attributes.extend(text("reeve.commit", commit));
        let end = SystemTime::now();
        sink(Span {
            trace: self.trace(report.number),
            id: self.pass_id(report.number),
            parent: None,
            name: "pass".into(),
            start: before(end, report.took_us),
            end,
            attributes,
            error: None,
        });
    }

    /// The walk of a zone ended just now; `error` says why it failed.
    pub fn walk(&self, zone: &str, walk: &Walk, error: Option<&str>) {
        let Some(sink) = self.sink.get() else { return };
        let path: Vec<&str> = walk.path.iter().map(|transition| transition.as_str()).collect();
        let mut attributes = common(zone, walk.pass, walk.commit.as_deref());
        attributes.push(("reeve.from", Attribute::Text(state_name(walk.from).to_owned())));
        attributes.extend(text("reeve.path", Some(path.join(" "))).filter(|_| !path.is_empty()));
        sink(Span {
            trace: self.trace(walk.pass),
            id: self.walk_id(walk.pass, zone),
            parent: Some(self.pass_id(walk.pass)),
            name: "walk".into(),
            start: at(walk.since),
            end: SystemTime::now(),
            attributes,
            error: error.map(str::to_owned),
        });
    }

    /// A step of a walk ended just now; `begun` is when, where its time is not known otherwise. Steps that no pass planned are
    /// left out, as is that one begins.
    pub fn step(&self, step: &StepProgress, begun: Option<Timestamp>) {
        let (Some(sink), Some(pass)) = (self.sink.get(), step.pass) else { return };
        let error = match &step.phase {
            StepPhase::Begun => return,
            StepPhase::Done => None,
            StepPhase::Failed(why) => Some(why.clone()),
        };
        let end = SystemTime::now();
        let begun = begun.filter(|_| step.took_us == 0).map_or(before(end, step.took_us), at);
        let mut attributes = common(&step.zone, pass, step.commit.as_deref());
        attributes.push(("reeve.step", Attribute::Text(step.step.clone())));
        attributes.extend(text("reeve.transition", step.transition.map(|transition| transition.as_str())));
        let number = self.steps.fetch_add(1, Ordering::Relaxed);
        sink(Span {
            trace: self.trace(pass),
            id: self.number(("step", number, "")),
            parent: Some(self.walk_id(pass, &step.zone)),
            name: step.step.clone(),
            start: begun.min(end),
            end,
            attributes,
            error,
        });
    }

    fn trace(&self, pass: u64) -> u128 {
        u128::from(self.number(("trace", pass, "high"))) << 64 | u128::from(self.number(("trace", pass, "low")))
    }

    fn pass_id(&self, pass: u64) -> u64 {
        self.number(("pass", pass, ""))
    }

    fn walk_id(&self, pass: u64, zone: &str) -> u64 {
        self.number(("walk", pass, zone))
    }

    /// A number that looks random, the same for the same in one controller; never 0, which is no number of a span.
    fn number(&self, of: (&str, u64, &str)) -> u64 {
        self.key.hash_one(of).max(1)
    }
}

fn common(zone: &str, pass: u64, commit: Option<&str>) -> Vec<(&'static str, Attribute)> {
    let zone = ("reeve.zone", Attribute::Text(zone.to_owned()));
    [zone, ("reeve.pass", whole(pass))].into_iter().chain(text("reeve.commit", commit)).collect()
}

fn text(name: &'static str, value: Option<impl Into<String>>) -> Option<(&'static str, Attribute)> {
    value.map(|value| (name, Attribute::Text(value.into())))
}

fn whole(number: u64) -> Attribute {
    Attribute::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn at(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time.0)
}

fn before(end: SystemTime, micros: u64) -> SystemTime {
    end.checked_sub(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use reeve_state::{Transition, ZoneState};

    use super::*;

    fn step(phase: StepPhase, pass: Option<u64>) -> StepProgress {
        let (zone, commit) = ("web".into(), Some("c0ffee".into()));
        let (transition, step) = (Some(Transition::Boot), "startInit".into());
        StepProgress { zone, transition, step, phase, took_us: 1500, pass, commit }
    }

    fn listened() -> (Traces, Arc<Mutex<Vec<Span>>>) {
        let (traces, spans): (Traces, Arc<Mutex<Vec<Span>>>) = Default::default();
        let heard = Arc::clone(&spans);
        traces.go_to(Arc::new(move |span| heard.lock().expect("spans").push(span)));
        (traces, spans)
    }

    #[test]
    fn a_step_belongs_to_its_walk_and_the_walk_to_its_pass() {
        let (traces, spans) = listened();
        let since = crate::store::now();
        traces.step(&step(StepPhase::Begun, Some(7)), None);
        traces.step(&step(StepPhase::Done, Some(7)), None);
        traces.step(&step(StepPhase::Done, None), None);
        let walk = Walk {
            pass: 7,
            commit: Some("c0ffee".into()),
            from: Some(ZoneState::Ready),
            path: vec![Transition::Boot],
            since,
            step: None,
        };
        traces.walk("web", &walk, Some("it broke"));
        let report = PassReport { number: 7, why: "event".into(), zones: 3, working: vec!["web".into()], took_us: 9 };
        traces.pass(&report, Some("c0ffee"));
        traces.pass(&PassReport { working: Vec::new(), ..report }, None);
        let spans = spans.lock().expect("spans");
        let [step, walk, pass] = spans.as_slice() else { panic!("{spans:#?}") };
        assert_eq!((step.parent, walk.parent, pass.parent), (Some(walk.id), Some(pass.id), None));
        assert!(step.trace == walk.trace && walk.trace == pass.trace);
        assert!(step.id != walk.id && walk.id != pass.id);
        assert_eq!(step.end.duration_since(step.start).expect("in order"), Duration::from_micros(1500));
        let of =
            |span: &Span, name| span.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        for span in [step, walk, pass] {
            assert_eq!(of(span, "reeve.pass"), Some(Attribute::Number(7)));
            assert_eq!(of(span, "reeve.commit"), Some(Attribute::Text("c0ffee".into())));
        }
        assert_eq!(of(walk, "reeve.path"), Some(Attribute::Text("boot".into())));
        assert_eq!((walk.error.as_deref(), step.error.as_deref()), (Some("it broke"), None));
    }

    #[test]
    fn passes_and_controllers_have_traces_of_their_own() {
        let (traces, other) = (Traces::default(), Traces::default());
        assert_eq!(traces.trace(1), traces.trace(1));
        assert_ne!(traces.trace(1), traces.trace(2));
        assert_ne!(traces.trace(1), other.trace(1));
        assert_ne!(traces.walk_id(1, "a"), traces.walk_id(1, "b"));
    }
}

//! The plan for one zone: where it goes, how far down it must come on the way, and what it does as it is.

use std::sync::Arc;

use reeve_schema::Deletion;
use reeve_schema::manifest::Handling;
use serde_json::Value;

use super::steps::{Work, steps};
use super::way::{down, height, lower, up};
use super::words::{fields_in_words, reason};
use super::{Hold, ZonePlan, ZonePolicy, step_name};
use crate::approval::Approvals;
use crate::difference::{Difference, Price, Recorded, differences, source_changed};
use crate::lifecycle::{Transition, ZoneState};
use crate::limits::{self, Limits};
use crate::observed::{Fact, Platform, ZoneFacts, derive_state};
use crate::restart::{Decision, decide};
use crate::suspension::Suspension;
use crate::time::Timestamp;
use crate::wanted::{self, Wanted};

use ZoneState::{Configured, Installed, Ready, Running};

/// All that is known of one zone.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub name: &'a str,
    pub wanted: Option<&'a Wanted>,
    pub source: Option<&'a str>,
    pub facts: &'a ZoneFacts,
    pub recorded: Option<&'a Recorded>,
    pub policy: &'a ZonePolicy,
    pub approvals: &'a Approvals,
    pub boot_id: &'a str,
    pub now: Timestamp,
}

/// Where a zone goes.
struct Course {
    /// The lowest state that it passes through.
    bottom: Option<ZoneState>,
    /// Where it ends.
    target: Option<ZoneState>,
    hold: Option<Hold>,
}

/// The plan for one zone. `conflict` is a hold that the other zones' plans led to: nothing is brought up or changed then.
pub(super) fn plan(s: &Subject<'_>, conflict: Option<&Hold>) -> ZonePlan {
    let state = match derive_state(s.facts) {
        Fact::Unknown { why } => return s.unknown(why),
        Fact::Known(state) => Some(state),
        Fact::Absent => None,
    };
    if let Some(why) = s.facts.why_unknown() {
        // A halt that was begun goes on; nothing else is done on half a look.
        let hold = Hold::Unknown { why };
        return s.only_finish_halt(state, hold);
    }
    if let Some(suspension) = s.policy.suspended.as_ref().filter(|suspension| !suspension.is_over(s.now)) {
        return s.suspended(state, suspension);
    }
    match s.wanted {
        Some(Wanted { unavailable: Some(why), .. }) => s.without_secret(state, why),
        Some(wanted) => match s.gate() {
            Some(hold) => s.keep_back(state, hold, conflict),
            None => s.bring_to(state, wanted, conflict),
        },
        None => match s.other_source().filter(|_| state.is_some()) {
            Some(hold) => s.only_finish_halt(state, hold),
            None => match s.gate().filter(|_| state.is_some()) {
                Some(hold) => s.keep_back(state, hold, conflict),
                None => s.let_go(state),
            },
        },
    }
}

impl Subject<'_> {
    fn unknown(&self, why: String) -> ZonePlan {
        let mut plan = self.empty(Fact::unknown(why.as_str()), None);
        plan.reason = format!("left alone, what is there is not known: {why}");
        plan.hold = Some(Hold::Unknown { why });
        plan.goal = self.wanted.map(Wanted::goal);
        plan
    }

    fn empty(&self, from: Fact<ZoneState>, to: Option<ZoneState>) -> ZonePlan {
        ZonePlan {
            name: self.name.to_owned(),
            from,
            to,
            goal: to,
            path: Vec::new(),
            steps: Vec::new(),
            differences: Vec::new(),
            hold: None,
            manifest: None,
            digest: self.wanted.map(|w| w.digest.clone()),
            source: self.wanted.and_then(|w| w.source.clone()),
            after: Vec::new(),
            up_after: Vec::new(),
            down_after: Vec::new(),
            reason: String::new(),
        }
    }

    /// A zone that is to be left alone, except that a halt which was begun goes on.
    pub(super) fn only_finish_halt(&self, state: Option<ZoneState>, hold: Hold) -> ZonePlan {
        let halting = state.is_some_and(ZoneState::is_halting);
        let bottom = if halting { Some(Installed) } else { state };
        let work: Vec<Work> = if halting { self.downward(state, bottom) } else { Vec::new() };
        let mut plan = self.laid_out(state, &work);
        plan.goal = self.wanted.map_or(bottom, |w| Some(w.goal()));
        plan.reason = match &hold {
            Hold::Unknown { why } => format!("left alone, not everything could be read: {why}"),
            Hold::OtherSource { file } => self.not_followed(file.as_deref()),
            _ => String::new(),
        };
        if halting {
            plan.reason.push_str("; its unfinished halt goes on");
        }
        plan.hold = Some(hold);
        plan
    }

    /// A zone that somebody suspended: what differs is still told, so that whoever ends it knows what follows.
    fn suspended(&self, state: Option<ZoneState>, suspension: &Suspension) -> ZonePlan {
        let mut plan = self.only_finish_halt(state, Hold::Suspended { until: suspension.until });
        if let Some(wanted) = self.wanted.filter(|wanted| wanted.unavailable.is_none()) {
            plan.differences = differences(wanted, self.recorded, self.facts, self.boot_id);
        }
        let fields = fields_in_words(&plan.differences);
        let differs = if fields.is_empty() { String::new() } else { format!("; differs: {fields}") };
        plan.reason = format!("{}{}{differs}", suspension.words(), plan.reason);
        plan
    }

    /// A zone of which a secret could not be had: what runs goes on as it is, with the value that it was started with. It
    /// may go down, which takes no secret.
    fn without_secret(&self, state: Option<ZoneState>, why: &str) -> ZonePlan {
        let goal = self.wanted.map(Wanted::goal);
        let here = if state.is_some_and(ZoneState::is_halting) { Some(Installed) } else { state };
        let mut plan = self.laid_out(state, &self.downward(state, lower(here, goal)));
        plan.goal = goal;
        plan.reason = format!("left as it is: {why}");
        plan.hold = Some(Hold::SecretUnavailable { why: why.to_owned() });
        plan
    }

    /// The hold of a zone without a manifest that never had one where these are from.
    fn other_source(&self) -> Option<Hold> {
        let path = self.source?;
        let source = self.facts.configured.known().and_then(|configured| configured.source.as_deref());
        let elsewhere = !source.is_some_and(|source| wanted::is_from(source, path));
        elsewhere.then(|| Hold::OtherSource { file: source.map(wanted::source_file).map(String::from) })
    }

    fn not_followed(&self, file: Option<&str>) -> String {
        let from = file.map_or("where it came from is not recorded".into(), |file| format!("it came from {file}"));
        let path = self.source.unwrap_or_default();
        format!(
            "left alone, no manifest below {path} names it ({from}); put its manifest there, or take it down: reeve halt {}",
            self.name
        )
    }

    /// A zone without a manifest.
    fn let_go(&self, state: Option<ZoneState>) -> ZonePlan {
        let deletion = self.recorded.map_or(Deletion::Halt, |r| wanted::deletion(&r.manifest));
        let approved = deletion == Deletion::Halt && self.data_may_go();
        let deletion = if approved { Deletion::Delete } else { deletion };
        let halting = state.is_some_and(ZoneState::is_halting);
        let bottom = match deletion {
            Deletion::Delete => None,
            Deletion::Keep if !halting => state,
            Deletion::Keep | Deletion::Halt => lower(state, Some(Installed)),
        };
        let mut plan = self.laid_out(state, &self.downward(state, bottom));
        plan.goal = bottom;
        (plan.hold, plan.reason) = match (state, deletion) {
            (None, _) => (None, "nothing is wanted and nothing is there".into()),
            (_, Deletion::Delete) if approved => {
                (None, "its manifest is gone, and somebody said that its data may go".into())
            }
            (_, Deletion::Delete) => (None, "its manifest is gone, and its configuration says deletion: delete".into()),
            (_, Deletion::Keep) => (None, "its manifest is gone, and its configuration says deletion: keep".into()),
            (_, Deletion::Halt) => (
                Some(Hold::AwaitingConfirmation { fields: vec!["manifest".into()] }),
                "its manifest is gone: halted and kept until somebody says what becomes of it".into(),
            ),
        };
        plan
    }

    /// The way down, with a zoneadmd to go it where there is none.
    fn downward(&self, state: Option<ZoneState>, bottom: Option<ZoneState>) -> Vec<Work> {
        let active = state.is_some_and(ZoneState::is_active);
        let adopt = (active && self.facts.zoneadmd.is_absent()).then_some(Work::Live(step_name::ADOPT));
        adopt.into_iter().chain(down(state, bottom).into_iter().map(Work::Transition)).collect()
    }

    /// A plan with the steps of `work`.
    fn laid_out(&self, state: Option<ZoneState>, work: &[Work]) -> ZonePlan {
        if work.is_empty() {
            return self.empty(derive_state(self.facts), state);
        }
        let current = self.recorded.map(|r| &r.manifest).or(self.wanted.map(|w| &w.manifest));
        let halt_timeout = wanted::halt_timeout_ms(current.map_or(&Value::Null, Arc::as_ref));
        let (steps, to) = steps(state, work, halt_timeout);
        let mut plan = self.empty(derive_state(self.facts), to);
        plan.steps = steps;
        plan.path = work
            .iter()
            .filter_map(|w| match w {
                Work::Transition(transition) => Some(*transition),
                Work::Live(_) => None,
            })
            .collect();
        plan
    }

    /// A zone with a manifest.
    pub(super) fn bring_to(&self, state: Option<ZoneState>, wanted: &Wanted, conflict: Option<&Hold>) -> ZonePlan {
        let mut differences = self.differences(wanted);
        let gate = self.gate_drift(wanted, &mut differences);
        let waiting = self.waiting(state, wanted, &differences);
        let manifest = self.effective(wanted, &waiting);
        let mut course = self.course(state, wanted, &differences, &waiting);
        if let Some(hold) = conflict {
            // A zone that is up stays as it is rather than going down for something that it cannot have.
            let halting = state.is_some_and(ZoneState::is_halting);
            let here = if halting { Some(Installed) } else { state };
            let target = match hold {
                // What waits for another zone waits where it can come up at once.
                Hold::DependsOn { .. } if height(here) < height(Some(Installed)) => Some(Installed),
                _ => here,
            };
            course = Course { bottom: here, target, hold: Some(hold.clone()) };
        }
        let mut work = self.downward(state, course.bottom);
        if work == [Work::Live(step_name::ADOPT)]
            && differences.iter().any(|d| d.field == "zoneadmd" && !d.is_acted_on())
        {
            work.clear();
        }
        let record = conflict.is_none() && self.is_to_be_recorded(&course, wanted, &manifest);
        if conflict.is_none() {
            work.extend(self.live(state, &course, &manifest, &differences));
        }
        // What is made anew on the way up is recorded first, so that a walk which breaks off is not taken for a change that
        // is still to be made. Where nothing of that changed, the disk need not be waited for.
        let anew = |d: &Difference| d.price > Price::Live && d.recorded != d.desired && !waiting.contains(&d.field);
        let (first, last) = if differences.iter().any(anew) { (record, false) } else { (false, record) };
        work.extend(first.then_some(Work::Live(step_name::RECORD)));
        work.extend(up(course.bottom, course.target).into_iter().map(Work::Transition));
        work.extend(last.then_some(Work::Live(step_name::RECORD)));
        let mut plan = self.laid_out(state, &work);
        plan.goal = Some(wanted.goal());
        plan.hold = course.hold;
        if plan.hold.is_none() {
            plan.hold = gate;
        }
        if plan.hold.is_none() {
            let left = |d: &&Difference| d.is_told() && !d.is_acted_on();
            let fields: Vec<String> = differences.iter().filter(left).map(|d| d.field.clone()).collect();
            plan.hold = (!fields.is_empty()).then_some(Hold::Drifted { fields });
            if plan.hold.is_none() && left_in_state(&differences) {
                // Its state is nobody's business: where it is, it is as wanted.
                plan.goal = plan.to;
            }
        }
        plan.reason = reason(&plan, &differences);
        plan.differences = differences;
        plan.manifest = (!plan.steps.is_empty()).then_some(manifest);
        plan
    }

    /// What differs, and of that what came back too often.
    fn differences(&self, wanted: &Wanted) -> Vec<Difference> {
        let mut differences = differences(wanted, self.recorded, self.facts, self.boot_id);
        let healed = |d: &&mut Difference| d.handling == Some(Handling::Heal);
        let mut healed = differences.iter_mut().filter(healed).peekable();
        if healed.peek().is_some() {
            let max = wanted::drift(&wanted.manifest).max_per_hour;
            healed.for_each(|d| d.returning = self.policy.drift.returns(&d.field, max, &wanted.digest, self.now));
        }
        differences
    }

    /// Whether the files of the zone have gone without an uninstall: perhaps the disk is not mounted. Installing anew
    /// over that is nothing to be done unasked. A record of an earlier boot of the host does not count: the state in it
    /// may be what was wanted rather than what was seen.
    fn files_gone(&self, state: Option<ZoneState>) -> bool {
        let recorded = self.recorded.filter(|r| r.boot_id == self.boot_id);
        let installed = recorded.is_some_and(|r| height(Some(r.state)) >= 2);
        let was_about_to = |t: Transition| matches!(t, Transition::Install | Transition::Uninstall);
        let unfinished = self.facts.unfinished().and_then(|entry| entry.transition).is_some_and(was_about_to);
        let up = state.is_some_and(ZoneState::is_active);
        let down = state == Some(Configured) && (self.facts.root_missing || installed) && !unfinished;
        self.facts.installed.is_absent() && (up || down)
    }

    /// Fields whose change would lose data, and for which nobody has said that it may.
    fn waiting(&self, state: Option<ZoneState>, wanted: &Wanted, differences: &[Difference]) -> Vec<String> {
        if height(state) < 2 {
            return Vec::new();
        }
        let lost = differences.iter().filter(|d| d.price == Price::Reinstall).map(|d| d.field.clone());
        let lost: Vec<String> = lost.collect();
        if lost.is_empty() || self.is_confirmed(wanted) { Vec::new() } else { lost }
    }

    /// The wanted manifest, with the fields that wait as they are recorded.
    fn effective(&self, wanted: &Wanted, waiting: &[String]) -> Arc<Value> {
        let recorded = match self.recorded {
            Some(recorded) if !waiting.is_empty() => recorded,
            _ => return Arc::clone(&wanted.manifest),
        };
        let mut manifest = Value::clone(&wanted.manifest);
        if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
            for field in waiting {
                match recorded.manifest["spec"].get(field) {
                    Some(value) => drop(spec.insert(field.clone(), value.clone())),
                    None => drop(spec.remove(field)),
                }
            }
        }
        Arc::new(manifest)
    }

    /// How far down and how far up.
    fn course(
        &self,
        state: Option<ZoneState>,
        wanted: &Wanted,
        differences: &[Difference],
        waiting: &[String],
    ) -> Course {
        let price =
            differences.iter().filter(|d| !waiting.contains(&d.field) && d.is_acted_on()).map(|d| d.price).max();
        let by_price = match price {
            Some(Price::Reinstall) => lower(state, Some(Configured)),
            Some(Price::Rebuild) => lower(state, Some(Installed)),
            Some(Price::Restart) => lower(state, Some(Ready)),
            Some(Price::Live) | None => state,
        };
        let goal = match left_in_state(differences) {
            true if state.is_some_and(ZoneState::is_halting) => Some(Installed),
            true => state,
            false => Some(wanted.goal()),
        };
        let mut course = Course { bottom: by_price, target: goal, hold: None };
        if !waiting.is_empty() {
            course.hold = Some(Hold::AwaitingConfirmation { fields: waiting.to_vec() });
        }
        if state.is_some_and(ZoneState::is_halting) {
            course.bottom = lower(course.bottom, Some(Installed));
        }
        if state == Some(Running) && self.facts.init.is_absent() {
            // Init is gone and something of its environment still lives: that must end before the next one starts.
            course.bottom = lower(course.bottom, Some(Ready));
        }
        self.answer_exit(state, wanted, &mut course);
        course.bottom = lower(course.bottom, course.target);
        if self.files_gone(state) && height(course.bottom) <= 2 && (height(state) > 2 || !self.is_confirmed(wanted)) {
            // A zone that is up may stay up; once it is down there is nothing to bring up.
            course.bottom = lower(state, Some(Installed));
            course.target = course.bottom;
            course.hold = Some(Hold::FilesGone);
        }
        course
    }

    /// What the restart policy says, where init ended and the zone is wanted running from the same manifest.
    fn answer_exit(&self, state: Option<ZoneState>, wanted: &Wanted, course: &mut Course) {
        if wanted.goal() != Running || (self.facts.last_exit.is_none() && self.policy.restarts.pending.is_none()) {
            return;
        }
        let limits = wanted::crash_loop(&wanted.manifest);
        let history = match self.facts.last_exit {
            Some(exit) => self.policy.restarts.noted(exit, limits),
            None => self.policy.restarts.clone(),
        };
        let alive = state == Some(Running) && self.facts.init.is_known();
        let Some(exit) = history.pending else { return };
        if alive || height(state) < 2 || !history.is_about(&wanted.digest) {
            return;
        }
        let policy = wanted::restart_policy(&wanted.manifest);
        let halting = state.is_some_and(ZoneState::is_halting);
        let here = lower(state, Some(if halting { Installed } else { Ready }));
        let halted = lower(state, Some(Installed));
        let wait = |after_ms: u64| (after_ms > 0).then(|| Hold::Backoff { until: self.now.plus(after_ms) });
        let (bottom, rest, hold) = match decide(policy, limits, &history, exit, self.now) {
            Decision::Restart { after_ms } => (here, here, wait(after_ms)),
            // It waits as it is and is halted when its time has come.
            Decision::Reboot { after_ms: 0 } => (halted, halted, None),
            Decision::Reboot { after_ms } => (here, here, wait(after_ms)),
            Decision::HaltThenRestart { after_ms } => (halted, halted, wait(after_ms)),
            Decision::Stay { reason, halted: true } => (halted, halted, Some(Hold::Stay { why: reason })),
            Decision::Stay { reason, halted: false } => (here, here, Some(Hold::Stay { why: reason })),
        };
        course.bottom = lower(course.bottom, bottom);
        if hold.is_some() {
            course.target = rest;
            course.hold = hold;
        }
    }

    /// What is done on the zone as it is, between the way down and the way up.
    fn live(
        &self,
        state: Option<ZoneState>,
        course: &Course,
        manifest: &Value,
        differences: &[Difference],
    ) -> Vec<Work> {
        let mut out = Vec::new();
        let up = matches!(state, Some(Ready | Running)) && height(course.bottom) >= 4;
        let any = |of: &dyn Fn(&Difference) -> bool| differences.iter().any(|d| d.is_acted_on() && of(d));
        if up {
            let limits = || Limits::of(manifest);
            let is_limit = |d: &Difference| limits::FIELDS.iter().any(|(field, _)| *field == d.field);
            let held = || self.facts.cgroup.known().is_none_or(|cgroup| limits().hold_in(cgroup));
            if any(&is_limit) && !held() {
                out.push(Work::Live(step_name::APPLY_LIMITS));
            }
            if any(&|d| d.field == "net" && d.price == Price::Live) {
                out.push(Work::Live(step_name::REPAIR_LINKS));
            }
        }
        let on_disk = |d: &Difference| Platform::group(&d.field) == "files";
        let mendable = |d: &Difference| d.is_of_platform() && d.price == Price::Live && (up || on_disk(d));
        if height(course.bottom) >= 2 && any(&mendable) {
            out.push(Work::Live(step_name::MEND));
        }
        out
    }

    /// Whether the record does not say what the plan makes of the zone. Without a zone there is no record yet: configure
    /// writes it. Where files have gone, the record is what tells that there were some.
    fn is_to_be_recorded(&self, course: &Course, wanted: &Wanted, manifest: &Value) -> bool {
        let recorded = self.recorded.is_some_and(|r| r.digest == wanted.digest && *r.manifest == *manifest)
            && source_changed(wanted, self.facts).is_none();
        !recorded && height(course.bottom) > 0 && course.hold != Some(Hold::FilesGone)
    }
}

/// Whether somebody took the zone to another state, and it is left there.
fn left_in_state(differences: &[Difference]) -> bool {
    differences.iter().any(|d| d.field == "state" && !d.is_acted_on())
}

//! What differs, field by field: R recorded (seen after the last finished step), D desired now, O observed. O≠R is
//! drift, D≠R is change.

mod link;
mod platform;
mod price;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use price::{PRICES, price_of};
use reeve_schema::manifest::Handling;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lifecycle::ZoneState;
use crate::limits::{self, Limits};
use crate::observed::{Fact, Platform, Who, ZoneFacts, derive_state};
use crate::plan::step_name;
use crate::time::Timestamp;
use crate::wanted::{self, Wanted};

/// What a zone was, seen after its last finished step. Kept in the state folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The manifest that the zone was made from, as [`crate::plan::ZonePlan::manifest`] had it.
    pub manifest: Arc<Value>,
    /// Digest of the manifest.
    pub digest: String,
    /// The state that the last finished step ended in.
    pub state: ZoneState,
    /// The host's boot in which that was.
    pub boot_id: String,
    /// The ID then.
    pub zone_id: Option<u32>,
    /// When.
    pub at: Timestamp,
    /// What the platform was like when it had come up; none where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Arc<Platform>>,
}

impl Recorded {
    /// What the platform was like, where that can be compared with a zone in `state`: not where it was up then and is down now, or the
    /// other way round, as after a walk whose end nobody could record.
    pub fn platform_in(&self, state: ZoneState) -> Option<&Platform> {
        let up = |state| matches!(state, ZoneState::Ready | ZoneState::Running);
        self.platform.as_deref().filter(|_| up(self.state) == up(state))
    }
}

/// Where a difference comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// D≠R: somebody changed the manifest.
    Change,
    /// O≠R: something changed on the host.
    Drift,
    /// D≠R and O≠R.
    Both,
    /// R is from an earlier boot of the host.
    HostBoot,
    /// There is no R: new or lost state.
    Adopted,
    /// A walk that did not finish owns the field.
    Unfinished,
}

impl Cause {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Change => "change",
            Cause::Drift => "drift",
            Cause::Both => "both",
            Cause::HostBoot => "hostBoot",
            Cause::Adopted => "adopted",
            Cause::Unfinished => "unfinished",
        }
    }
}

/// What putting a difference right costs, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Price {
    /// Done on the running zone.
    Live,
    /// stop and boot.
    Restart,
    /// halt and up again, with a new ID.
    Rebuild,
    /// uninstall and install: data is lost. Never without a person's word.
    Reinstall,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Path in the spec with dots, e.g. `init.command` or `init.env.LANG`; `labels` and `annotations` of the metadata; `state`; or one of
    /// Reeve's own: `digest` (the manifest as a whole), `source` (the file that it is in), `record` (there is none), `platform` (not
    /// whole), `zoneadmd` (gone).
    pub field: String,
    /// R.
    pub recorded: Option<Value>,
    /// D.
    pub desired: Option<Value>,
    /// O; `None` where this field is not observed.
    pub observed: Option<Value>,
    /// Where it comes from.
    pub cause: Cause,
    /// What it costs.
    pub price: Price,
    /// What is done about it, where it is drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling: Option<Handling>,
    /// It came back too often and is not mended any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returning: bool,
    /// It waits at the gate of drift (`approval.drift`) and is not mended yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waiting: bool,
    /// Who did it, where the kernel can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Difference {
    /// A difference that nobody is known to have made.
    pub fn new(
        field: impl Into<String>,
        [recorded, desired, observed]: [Option<Value>; 3],
        cause: Cause,
        price: Price,
    ) -> Self {
        let field = field.into();
        Self {
            field,
            recorded,
            desired,
            observed,
            cause,
            price,
            handling: None,
            returning: false,
            waiting: false,
            who: None,
        }
    }

    /// Whether somebody changed something on the host.
    pub fn is_drift(&self) -> bool {
        matches!(self.cause, Cause::Drift | Cause::Both)
    }

    /// Whether it is put right; drift that is only told of, ignored, came back too often or waits is not.
    pub fn is_acted_on(&self) -> bool {
        !self.returning && !self.waiting && self.handling.is_none_or(|handling| handling == Handling::Heal)
    }

    /// What is done about it, in a word: `apply` of what was committed; of drift `heal`, `warn` and `ignore` as the manifest says,
    /// `returning` where it came back too often, `waiting` where it waits for approval or a window.
    pub fn handled(&self) -> &'static str {
        match self.handling {
            _ if self.returning => "returning",
            _ if self.waiting => "waiting",
            Some(handling) => handling.as_str(),
            None => "apply",
        }
    }

    /// Whether it is drift that somebody is to be told of.
    pub fn is_told(&self) -> bool {
        self.is_drift() && (self.returning || self.handling != Some(Handling::Ignore))
    }

    /// Whether it is of the platform as it was recorded, so that the step `mend` puts it right.
    pub fn is_of_platform(&self) -> bool {
        self.field != "net" && self.is_drift() && Platform::GROUPS.contains(&Platform::group(&self.field))
    }
}

/// The fields whose value is observed, by name.
const OBSERVED: [&str; 5] = ["cappedCpu", "cappedMemory", "cpuShares", "maxProcesses", "net"];

/// The fields of a manifest that are compared: those of the spec but `state`, those of `init` and the variables in `init.env`
/// each for itself, and the metadata's labels and annotations.
pub fn fields(manifest: &Value) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (key, value) in object(&manifest["spec"]) {
        match key.as_str() {
            "state" => {}
            "init" => {
                for (key, value) in object(&value) {
                    match key.as_str() {
                        "env" => out.extend(object(&value).into_iter().map(|(k, v)| (format!("init.env.{k}"), v))),
                        _ => drop(out.insert(format!("init.{key}"), value)),
                    }
                }
            }
            _ => drop(out.insert(key, value)),
        }
    }
    for key in ["labels", "annotations"] {
        if let Some(value) = manifest.pointer(&format!("/metadata/{key}")) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    out
}

/// Every field that differs for a zone that is wanted, in the order of their names, `state` first.
///
/// A zone whose manifest is gone has no D and so no differences: what becomes of it is a matter of `deletion`. Nothing
/// is compared with facts that could not be read.
pub fn differences(wanted: &Wanted, recorded: Option<&Recorded>, facts: &ZoneFacts, boot_id: &str) -> Vec<Difference> {
    let Fact::Known(state) = derive_state(facts) else {
        // No zone yet: all that differs is that it is not there.
        let none = derive_state(facts).is_absent();
        return if none { vec![absent(wanted, recorded, boot_id)] } else { Vec::new() };
    };
    let compare = Compare { wanted, recorded, facts, boot_id, state };
    let mut out = Vec::new();
    out.extend(compare.state());
    out.extend(compare.own());
    out.extend(compare.manifest());
    compare.platform(&mut out);
    handled(&mut out, wanted);
    out
}

fn absent(wanted: &Wanted, recorded: Option<&Recorded>, boot_id: &str) -> Difference {
    let cause = match recorded {
        None => Cause::Adopted,
        Some(r) if r.boot_id != boot_id => Cause::HostBoot,
        Some(_) => Cause::Drift,
    };
    let values = [recorded.map(|r| json!(r.state)), Some(json!(wanted.goal())), Some(json!("none"))];
    Difference::new("state", values, cause, Price::Live)
}

/// Says of each drift what is done about it. What was changed in the manifest as well is a change.
fn handled(differences: &mut [Difference], wanted: &Wanted) {
    let mut drifts = differences.iter_mut().filter(|d| d.cause == Cause::Drift).peekable();
    if drifts.peek().is_none() {
        return;
    }
    let drift = wanted::drift(&wanted.manifest);
    drifts.for_each(|d| d.handling = Some(drift.handling(&d.field)));
}

/// The file that is recorded and the one that the manifest is in, where they are not the same. Another line of the same
/// file is no change: there it moves with every edit above it.
pub fn source_changed<'a>(wanted: &'a Wanted, facts: &'a ZoneFacts) -> Option<(Option<&'a str>, &'a str)> {
    let desired = wanted::source_file(wanted.source.as_deref()?);
    let recorded = facts.configured.known()?.source.as_deref().map(wanted::source_file);
    (recorded != Some(desired)).then_some((recorded, desired))
}

/// One comparison.
struct Compare<'a> {
    wanted: &'a Wanted,
    recorded: Option<&'a Recorded>,
    facts: &'a ZoneFacts,
    boot_id: &'a str,
    state: ZoneState,
}

impl Compare<'_> {
    /// The cause, from what differs from R.
    fn cause(&self, field: &str, changed: bool, drifted: bool) -> Cause {
        match self.recorded {
            None => Cause::Adopted,
            Some(r) if r.boot_id != self.boot_id => Cause::HostBoot,
            Some(_) if self.owned_by_unfinished(field) => Cause::Unfinished,
            Some(_) if changed && drifted => Cause::Both,
            Some(_) if drifted => Cause::Drift,
            Some(_) => Cause::Change,
        }
    }

    /// Whether a walk that did not finish was about to set this field.
    fn owned_by_unfinished(&self, field: &str) -> bool {
        let Some(entry) = self.facts.unfinished() else { return false };
        let step = entry.step.as_str();
        match field {
            "state" | "platform" => entry.transition.is_some(),
            "net" => step_name::READY.contains(&step) || step == step_name::REPAIR_LINKS,
            _ if limits::FIELDS.iter().any(|(name, _)| *name == field) => {
                step_name::READY.contains(&step) || step == step_name::APPLY_LIMITS
            }
            _ => false,
        }
    }

    fn state(&self) -> Option<Difference> {
        let goal = self.wanted.goal();
        let recorded = self.recorded.map(|r| match r.state {
            // The end of init is an event that leads to Ready (and the policy may halt then): no drift. How it ended may not be
            // known yet; nothing else leads there.
            ZoneState::Running
                if !self.facts.init.is_known()
                    && (self.facts.last_exit.is_some() || self.state == ZoneState::Ready) =>
            {
                ZoneState::Ready
            }
            state => state,
        });
        (self.state != goal).then(|| {
            let cause = self.cause("state", recorded != Some(goal), recorded != Some(self.state));
            let values = [recorded.map(|state| json!(state)), Some(json!(goal)), Some(json!(self.state))];
            Difference::new("state", values, cause, Price::Live)
        })
    }

    /// The fields that are not in a manifest.
    fn own(&self) -> Vec<Difference> {
        let mut out = Vec::new();
        let mut own = |field: &str, recorded: Option<Value>, desired: Option<Value>, cause: Cause| {
            let price = price_of(field);
            out.push(Difference::new(field, [recorded, desired, None], cause, price));
        };
        let digest = json!(self.wanted.digest);
        match self.recorded {
            None => own("record", None, Some(digest), Cause::Adopted),
            Some(r) if r.digest != self.wanted.digest => {
                own("digest", Some(json!(r.digest)), Some(digest), self.cause("digest", true, false));
            }
            Some(_) => {}
        }
        if let (Some(_), Some((recorded, desired))) = (self.recorded, source_changed(self.wanted, self.facts)) {
            own("source", recorded.map(|file| json!(file)), Some(json!(desired)), self.cause("source", true, false));
        }
        if self.state.is_active() && self.facts.zoneadmd.is_absent() {
            own("zoneadmd", None, None, self.cause("zoneadmd", false, true));
        }
        if matches!(self.state, ZoneState::Ready | ZoneState::Running) && self.platform_unfinished() {
            own("platform", None, None, Cause::Unfinished);
        }
        out
    }

    /// Whether the platform that is there was never seen to be whole.
    fn platform_unfinished(&self) -> bool {
        self.facts.unfinished().is_some_and(|entry| step_name::READY.contains(&entry.step.as_str()))
    }

    fn manifest(&self) -> Vec<Difference> {
        if self.recorded.is_some_and(|r| r.manifest == self.wanted.manifest) {
            // The quiet case, for every zone in every pass: only what is observed can differ.
            return self.observed_fields();
        }
        let desired = fields(&self.wanted.manifest);
        let recorded = self.recorded.map(|r| fields(&r.manifest));
        let mut names: BTreeSet<&String> = desired.keys().collect();
        names.extend(recorded.iter().flat_map(|r| r.keys()));
        // What is observed is compared also where neither manifest has it: then the default is meant.
        let observed = OBSERVED.map(String::from);
        names.extend(&observed);
        names.into_iter().filter_map(|name| self.field(name, &desired, recorded.as_ref())).collect()
    }

    fn observed_fields(&self) -> Vec<Difference> {
        let limits_hold = self.facts.cgroup.known().is_none_or(|c| Limits::of(&self.wanted.manifest).hold_in(c));
        if limits_hold && self.drift("net", &self.wanted.manifest).is_none() {
            return Vec::new();
        }
        let spec = &self.wanted.manifest["spec"];
        let of = |name: &str| spec.get(name).map(|value| (name.to_owned(), value.clone())).into_iter().collect();
        OBSERVED.into_iter().filter_map(|name| self.field(name, &of(name), Some(&of(name)))).collect()
    }

    fn field(
        &self,
        name: &str,
        desired: &BTreeMap<String, Value>,
        recorded: Option<&BTreeMap<String, Value>>,
    ) -> Option<Difference> {
        let (d, r) = (desired.get(name), recorded.and_then(|r| r.get(name)));
        let changed = recorded.is_some() && d != r;
        // Without R the observed values are compared with D: the zone is adopted as its manifest says.
        let reference = self.recorded.map_or(&self.wanted.manifest, |r| &r.manifest);
        let drift = self.drift(name, reference);
        if !changed && drift.is_none() {
            return None;
        }
        // A secret that is somewhere else, or encrypted anew, with the value that it had: init need not hear of that.
        let value = |field: Option<&Value>| field.and_then(wanted::secret_value).map(str::to_owned);
        let same_secret = value(r).is_some() && value(r) == value(d);
        let price = match (changed, drift) {
            (true, _) if same_secret => Price::Live,
            (true, _) => price_of(name),
            (false, drift) => drift.unwrap_or(Price::Live),
        };
        let cause = self.cause(name, changed, drift.is_some());
        Some(Difference::new(name, [r.cloned(), d.cloned(), self.observed(name)], cause, price))
    }

    /// What is otherwise on the platform than when it had come up. Where a walk did not finish, that is not known.
    fn platform(&self, out: &mut Vec<Difference>) {
        let Some(recorded) = self.recorded.filter(|r| r.boot_id == self.boot_id) else { return };
        let (Some(before), Some(now)) = (recorded.platform_in(self.state), &self.facts.platform) else { return };
        if before.fields == now.fields && now.strangers.is_empty() || self.facts.unfinished().is_some() {
            return;
        }
        let up = matches!(self.state, ZoneState::Ready | ZoneState::Running);
        if !up && self.state != ZoneState::Installed {
            return;
        }
        for one in platform::otherwise(before, now, up) {
            match out.iter_mut().find(|d| d.field == one.field) {
                // The manifest has this field and was changed there, too.
                Some(both) => (both.cause, both.observed) = (Cause::Both, one.observed.map(Value::from)),
                None => {
                    let recorded = one.recorded.map(Value::from);
                    let values = [recorded.clone(), recorded, one.observed.map(Value::from)];
                    let new = Difference::new(one.field, values, Cause::Drift, one.price);
                    out.push(Difference { who: one.who, ..new });
                }
            }
        }
    }

    /// What putting the observed value of a field right costs, where it is not what `reference` says.
    fn drift(&self, name: &str, reference: &Value) -> Option<Price> {
        if !matches!(self.state, ZoneState::Ready | ZoneState::Running) {
            return None;
        }
        match (name, &self.facts.links, &self.facts.cgroup) {
            ("net", Fact::Known(links), _) => link::mismatch(&wanted::net(reference), links),
            ("net", Fact::Absent, _) => link::mismatch(&wanted::net(reference), &[]),
            ("net", Fact::Unknown { .. }, _) => None,
            (_, _, Fact::Known(cgroup)) => (!Limits::of(reference).holds(name, cgroup)).then_some(Price::Live),
            _ => None,
        }
    }

    fn observed(&self, name: &str) -> Option<Value> {
        match name {
            "net" => self.facts.links.known().map(|links| link::shown(links)),
            _ => self.facts.cgroup.known().and_then(|cgroup| limits::observed(name, cgroup)).map(Value::from),
        }
    }
}

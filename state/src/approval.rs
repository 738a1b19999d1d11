//! Which changes wait, and for what: the gates of `spec.approval`, and what people said yes to. An approval is of one change
//! of one zone, from what is recorded to what is wanted, by its digest: whatever else is changed meanwhile waits anew.

use std::collections::{BTreeMap, BTreeSet};

use reeve_schema::Deletion;
use reeve_schema::manifest::{Approval, Gate, GatePrice, WaitFor};
use reeve_schema::schedule::opening;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::difference::{Cause, Difference, Price, Recorded, fields, price_of};
use crate::lifecycle::ZoneState;
use crate::time::Timestamp;
use crate::wanted::{self, Wanted};

/// What people approved: digests of changes, each with whether data may be lost by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals(BTreeMap<String, bool>);

impl Approvals {
    /// Adds a digest.
    pub fn add(&mut self, digest: impl Into<String>, data_loss: bool) {
        *self.0.entry(digest.into()).or_default() |= data_loss;
    }

    /// Adds all of them.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(digest, data_loss)| self.add(digest, *data_loss));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the change is approved.
    pub fn has(&self, digest: &str) -> bool {
        self.0.contains_key(digest)
    }

    /// Whether data may be lost by the change from what is recorded to what is wanted (none: no manifest any more).
    pub fn data_may_go(&self, zone: &str, recorded: Option<&Recorded>, wanted: Option<&Wanted>) -> bool {
        self.0.values().any(|data_loss| *data_loss) && self.0.get(&digest(zone, recorded, wanted)) == Some(&true)
    }
}

impl FromIterator<(String, bool)> for Approvals {
    fn from_iter<T: IntoIterator<Item = (String, bool)>>(all: T) -> Self {
        let mut approvals = Self::default();
        all.into_iter().for_each(|(digest, data_loss)| approvals.add(digest, data_loss));
        approvals
    }
}

/// A change of a zone's manifest against what is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its digest, `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The highest price of its fields. That of `state` is what the way down to the new one costs.
    pub price: Price,
    /// The fields that change; `manifest` where that is gone.
    pub fields: Vec<String>,
    /// Whether it is no change of the manifest, but drift that is to be put right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drift: bool,
}

/// What a gate says to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gated {
    /// Nothing is in its way.
    Open,
    /// A person must approve it.
    Approval,
    /// It waits for a window.
    Window {
        /// When one opens; none where none does within a year.
        opens: Option<Timestamp>,
    },
}

/// The digest of the change from what is recorded to what is wanted. Both are named by the digests of their manifests, so
/// that it can be had from the manifests alone; a secret of which only the value changed by the digest of that.
pub fn digest(zone: &str, recorded: Option<&Recorded>, wanted: Option<&Wanted>) -> String {
    let recorded = recorded.map_or("none", |recorded| recorded.digest.as_str());
    let wanted = wanted.map_or("none", |wanted| wanted.digest.as_str());
    digest_of(["reeve.dev/v1alpha1 change", zone, recorded, wanted].into_iter())
}

fn digest_of<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let mut sha = Sha256::new();
    for line in lines {
        sha.update(line.as_bytes());
        sha.update(b"\n");
    }
    let hex: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The change of a zone that is recorded; none where its manifest says what it was made from.
pub fn change(zone: &str, recorded: &Recorded, wanted: Option<&Wanted>) -> Option<Change> {
    let (fields, price) = match wanted {
        Some(wanted) => changed(recorded, wanted)?,
        None => (vec!["manifest".to_owned()], price_of_going(recorded)),
    };
    Some(Change { digest: digest(zone, Some(recorded), wanted), price, fields, drift: false })
}

fn changed(recorded: &Recorded, wanted: &Wanted) -> Option<(Vec<String>, Price)> {
    if recorded.manifest == wanted.manifest {
        return None;
    }
    let (old, new) = (fields(&recorded.manifest), fields(&wanted.manifest));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut out = Vec::new();
    let mut price = Price::Live;
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        price = price.max(price_of_field(name, old.get(name), new.get(name)));
        out.push(name.clone());
    }
    let (from, to) = (wanted::goal(&recorded.manifest), wanted.goal());
    if from != to {
        price = price.max(price_of_state(from, to));
        out.insert(0, "state".into());
    }
    (!out.is_empty()).then_some((out, price))
}

/// A secret that is somewhere else, or encrypted anew, with the value that it had costs nothing.
fn price_of_field(name: &str, old: Option<&Value>, new: Option<&Value>) -> Price {
    let value = |field: Option<&Value>| field.and_then(wanted::secret_value).map(str::to_owned);
    if value(old).is_some() && value(old) == value(new) { Price::Live } else { price_of(name) }
}

/// What it costs to go from one desired state to another.
pub fn price_of_state(from: ZoneState, to: ZoneState) -> Price {
    match (from, to) {
        (ZoneState::Running, ZoneState::Ready) => Price::Restart,
        (ZoneState::Running | ZoneState::Ready, ZoneState::Installed) => Price::Rebuild,
        _ => Price::Live,
    }
}

/// What it costs that a manifest is gone.
fn price_of_going(recorded: &Recorded) -> Price {
    match wanted::deletion(&recorded.manifest) {
        Deletion::Keep => Price::Live,
        Deletion::Halt => price_of_state(recorded.state, ZoneState::Installed),
        Deletion::Delete => Price::Reinstall,
    }
}

/// Whether a difference comes to this gate of drift: drift that would be healed, of its price or more. A zone without its supervisor
/// can neither be kept nor be asked, so that one is always brought back.
fn is_at_gate(one: &Difference, gate: Gate) -> bool {
    one.cause == Cause::Drift
        && one.is_acted_on()
        && one.field != "zoneadmd"
        && price_of_mending(one) >= from(gate.from)
}

/// What putting a drift right costs. That of `state` is what the way down to where it was costs.
fn price_of_mending(one: &Difference) -> Price {
    let state = |value: &Option<Value>| serde_json::from_value::<ZoneState>(value.clone()?).ok();
    match (one.field.as_str(), state(&one.observed), state(&one.desired)) {
        ("state", Some(from), Some(to)) => price_of_state(from, to),
        _ => one.price,
    }
}

/// What the gate of drift says to what would be healed, where there is a gate and something comes to it. What waits is marked as
/// waiting.
pub fn gate_of_drift(
    zone: &str,
    recorded: Option<&Recorded>,
    wanted: &Wanted,
    approvals: &Approvals,
    now: Timestamp,
    differences: &mut [Difference],
) -> Option<(Change, Gated)> {
    let approval = wanted::approval(&wanted.manifest)?;
    let gate = approval.drift?;
    let change = drift_at_gate(zone, recorded, gate, differences)?;
    let gated = ask(&approval, gate, change.price, approvals.has(&change.digest), now);
    if gated != Gated::Open {
        differences.iter_mut().filter(|one| is_at_gate(one, gate)).for_each(|one| one.waiting = true);
    }
    Some((change, gated))
}

/// What is approved where the drift that comes to this gate is to be put right: each field from what is seen to what is recorded, and
/// no other. None where nothing comes to it.
pub fn drift_at_gate(
    zone: &str,
    recorded: Option<&Recorded>,
    gate: Gate,
    differences: &[Difference],
) -> Option<Change> {
    let drifts: Vec<&Difference> = differences.iter().filter(|one| is_at_gate(one, gate)).collect();
    let price = drifts.iter().map(|one| price_of_mending(one)).max()?;
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "none".to_owned(), Value::to_string);
    let mut lines = vec!["reeve.dev/v1alpha1 drift".to_owned(), zone.to_owned()];
    lines.push(recorded.map_or("none", |recorded| &recorded.digest).to_owned());
    for one in &drifts {
        lines.extend([one.field.clone(), shown(&one.observed), shown(&one.recorded)]);
    }
    let digest = digest_of(lines.iter().map(String::as_str));
    Some(Change { digest, price, fields: drifts.iter().map(|one| one.field.clone()).collect(), drift: true })
}

/// What the gates of changes say: that of the manifest that the zone was made from and that of the new one, so that a change
/// cannot open its own gate.
pub fn gate_of_change(
    change: &Change,
    recorded: &Recorded,
    wanted: Option<&Wanted>,
    approvals: &Approvals,
    now: Timestamp,
) -> Gated {
    let manifests = [Some(&recorded.manifest), wanted.map(|wanted| &wanted.manifest)];
    let said = manifests.into_iter().flatten().filter_map(|manifest| {
        let approval = wanted::approval(manifest)?;
        Some(ask(&approval, approval.changes?, change.price, approvals.has(&change.digest), now))
    });
    said.reduce(strictest).unwrap_or(Gated::Open)
}

/// What a gate says to something of this price, `approved` or not.
pub fn ask(approval: &Approval, gate: Gate, price: Price, approved: bool, now: Timestamp) -> Gated {
    if price < from(gate.from) {
        return Gated::Open;
    }
    let window = || {
        let opening = opening(&approval.windows, now.0);
        if opening.open { Gated::Open } else { Gated::Window { opens: opening.until.map(Timestamp) } }
    };
    match (gate.wait, approved) {
        (WaitFor::Approval | WaitFor::Window, true) => Gated::Open,
        (WaitFor::Approval | WaitFor::Both, false) => Gated::Approval,
        (WaitFor::Window, false) | (WaitFor::Both, true) => window(),
    }
}

fn from(price: GatePrice) -> Price {
    match price {
        GatePrice::Live => Price::Live,
        GatePrice::Restart => Price::Restart,
        GatePrice::Rebuild => Price::Rebuild,
        GatePrice::Reinstall => Price::Reinstall,
    }
}

/// A person's word comes first; of two windows the later one, and one that never comes is the latest.
fn strictest(a: Gated, b: Gated) -> Gated {
    match (a, b) {
        (Gated::Approval, _) | (_, Gated::Approval) => Gated::Approval,
        (Gated::Window { opens: a }, Gated::Window { opens: b }) => {
            Gated::Window { opens: a.zip(b).map(|(a, b)| a.max(b)) }
        }
        (Gated::Open, other) | (other, Gated::Open) => other,
    }
}

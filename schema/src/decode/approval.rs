//! Decodes `approval` of a zone, and the manifest that approves changes.

use super::{Document, at_most};
use crate::manifest::{
    ApiVersion, Approval, ApprovalDocument, ApprovalKind, ApprovalMetadata, ApprovalSpec, Gate, GatePrice, WaitFor,
    Window, WindowKind,
};
use crate::node::Node;
use crate::reader::Reader;
use crate::shape::{Shape, may, must};
use crate::source::Report;

pub(super) const APPROVAL: Shape = Shape {
    name: "Approval",
    what: "`approval`",
    fields: &[
        may("changes", "{from: restart, wait: approval}"),
        may("drift", "{from: rebuild, wait: window}"),
        may("windows", "[{schedule: 0 2 * * 6, duration: 3h, timeZone: Europe/Berlin}]"),
    ],
    later: &[],
    foreign: &[("change", "`changes:`"), ("heal", "`drift:`"), ("upgrade", "`changes:`"), ("window", "`windows:`")],
};

pub(super) const GATE: Shape = Shape {
    name: "Gate",
    what: "a gate",
    fields: &[may("from", "restart"), may("wait", "approval")],
    later: &[],
    foreign: &[("price", "`from:`"), ("for", "`wait:`")],
};

pub(super) const WINDOW: Shape = Shape {
    name: "Window",
    what: "a window",
    fields: &[
        may("kind", "allow"),
        must("schedule", "0 2 * * 6"),
        must("duration", "3h"),
        may("timeZone", "Europe/Berlin"),
    ],
    later: &[],
    foreign: &[
        ("cron", "`schedule:`"),
        ("timezone", "`timeZone:`"),
        ("start", "`schedule:`"),
        ("length", "`duration:`"),
    ],
};

pub(super) const DOCUMENT: Shape = Shape {
    name: "ApprovalDocument",
    what: "an approval",
    fields: &[
        must("apiVersion", "reeve.dev/v1alpha1"),
        must("kind", "Approval"),
        must("metadata", "{name: web-to-2}"),
        must("spec", "{changes: [sha256:...]}"),
    ],
    later: &[],
    foreign: &[],
};

pub(super) const METADATA: Shape = Shape {
    name: "ApprovalMetadata",
    what: "an approval's metadata",
    fields: &[must("name", "web-to-2")],
    later: &[],
    foreign: &[],
};

pub(super) const SPEC: Shape = Shape {
    name: "ApprovalSpec",
    what: "an approval's spec",
    fields: &[must("changes", "[sha256:...]"), may("dataLoss", "true")],
    later: &[],
    foreign: &[("digests", "`changes:`"), ("zones", "nothing: each digest is of one zone")],
};

/// The prices that wait.
pub(super) const PRICES: [(&str, GatePrice); 4] = [
    ("live", GatePrice::Live),
    ("restart", GatePrice::Restart),
    ("rebuild", GatePrice::Rebuild),
    ("reinstall", GatePrice::Reinstall),
];

/// What opens a gate.
pub(super) const WAITS: [(&str, WaitFor); 3] =
    [("approval", WaitFor::Approval), ("window", WaitFor::Window), ("both", WaitFor::Both)];

/// What windows do.
pub(super) const KINDS: [(&str, WindowKind); 2] = [("allow", WindowKind::Allow), ("deny", WindowKind::Deny)];

/// The most changes that one manifest approves.
const CHANGES_MAX: usize = 10_000;

/// Decodes `approval`: windows without a gate that waits for them, and the other way round, contradict themselves.
pub(super) fn approval(r: &mut Reader, node: &Node) -> Option<Approval> {
    let map = r.object(node, &APPROVAL)?;
    let changes = map.optional(r, "changes", gate);
    let drift = map.optional(r, "drift", gate);
    let windows = map.or_default(r, "windows", |r, node| {
        at_most(r, node, Approval::WINDOWS_MAX)?;
        r.list(node, window)
    });
    let approval = Approval { changes: changes?, drift: drift?, windows: windows? };
    let waits = [approval.changes, approval.drift].iter().flatten().any(|gate| gate.wait != WaitFor::Approval);
    match (waits, approval.windows.is_empty()) {
        (true, true) => {
            let help = "`windows: [{schedule: 0 2 * * 6, duration: 3h}]`, or `wait: approval`";
            r.problem(node.place, "a gate waits for a window, and there is none", help);
            None
        }
        (false, false) => {
            let help = "`wait: window` or `wait: both` in `changes` or `drift`, or no `windows`";
            r.problem(node.place, "there are windows, and no gate waits for one", help);
            None
        }
        _ => Some(approval),
    }
}

fn gate(r: &mut Reader, node: &Node) -> Option<Gate> {
    let map = r.object(node, &GATE)?;
    let from = map.or_default(r, "from", |r, node| r.choice(node, "price", &PRICES));
    let wait = map.or_default(r, "wait", |r, node| r.choice(node, "thing to wait for", &WAITS));
    Some(Gate { from: from?, wait: wait? })
}

fn window(r: &mut Reader, node: &Node) -> Option<Window> {
    let map = r.object(node, &WINDOW)?;
    let kind = map.or_default(r, "kind", |r, node| r.choice(node, "kind of window", &KINDS));
    let schedule = map.required(r, "schedule", |r, node| r.parsed(node));
    let duration = map.required(r, "duration", |r, node| r.parsed(node));
    let time_zone = map.or_default(r, "timeZone", |r, node| r.parsed(node));
    Some(Window { kind: kind?, schedule: schedule?, duration: duration?, time_zone: time_zone? })
}

/// Reads the document that approves changes. `None` if it has a problem.
pub(crate) fn document(node: &Node, report: &mut Report) -> Option<ApprovalDocument> {
    let mut r = Reader::new(report, Document::Approval.as_str());
    let map = r.object(node, &DOCUMENT)?;
    let metadata = map.required(&mut r, "metadata", |r, node| {
        let map = r.object(node, &METADATA)?;
        let name = map.required(r, "name", |r, node| r.parsed(node));
        Some(ApprovalMetadata { name: name? })
    });
    let spec = map.required(&mut r, "spec", |r, node| {
        let map = r.object(node, &SPEC)?;
        let changes = map.required(r, "changes", |r, node| {
            at_most(r, node, CHANGES_MAX)?;
            r.list(node, |r, node| r.parsed(node))
        });
        let data_loss = map.or_default(r, "dataLoss", |r, node| r.truth(node));
        Some(ApprovalSpec { changes: changes?, data_loss: data_loss? })
    });
    let whole = map.key("apiVersion").is_some() && map.key("kind").is_some();
    let (metadata, spec) = (metadata?, spec?);
    let (api_version, kind) = (ApiVersion::V1Alpha1, ApprovalKind::Approval);
    whole.then_some(ApprovalDocument { api_version, kind, metadata, spec })
}

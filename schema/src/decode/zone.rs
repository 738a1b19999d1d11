//! Decodes the document, its metadata and the fields of `spec` that belong to no resource.

use super::{
    Document, Facts, On, absolute, approval, dependency, drift, health, init, network, note_key, resource, selector,
    storage,
};
use crate::manifest::{ApiVersion, Deletion, DesiredState, HostSelector, Kind, Metadata, Root, Zone, ZoneSpec};
use crate::name::ZoneName;
use crate::node::Node;
use crate::path;
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may, must};
use crate::source::{Report, Spot};

pub(super) const ZONE: Shape = Shape {
    name: "Zone",
    what: "a manifest",
    fields: &[
        must("apiVersion", "reeve.dev/v1alpha1"),
        must("kind", "Zone"),
        must("metadata", "{name: web}"),
        must("spec", "{root: {hostUsr: {}}}"),
    ],
    later: &[],
    foreign: &[("status", "nothing: what a zone is, is never written in its manifest")],
};

pub(super) const METADATA: Shape = Shape {
    name: "Metadata",
    what: "metadata",
    fields: &[must("name", "web"), may("labels", "{app: shop}"), may("annotations", "{owner: the web team}")],
    later: &[],
    foreign: &[("namespace", "nothing: a host has one set of zones")],
};

pub(super) const SPEC: Shape = Shape {
    name: "ZoneSpec",
    what: "a zone's spec",
    fields: &[
        must("root", "{hostUsr: {}}"),
        may("state", "running"),
        may("hosts", "{names: [web1, web2]}"),
        may("zonepath", "/zones/web"),
        may("fs", "[{dir: /data, type: tmpfs}]"),
        may("net", "[{physical: reeve0, address: 10.77.0.10/24}]"),
        may("cappedMemory", "{physical: 512Mi}"),
        may("cappedCpu", "{ncpus: 1.5}"),
        may("cpuShares", "20"),
        may("maxProcesses", "500"),
        may("hostname", "web.example.org"),
        may("init", "{command: [/usr/bin/sleep, infinity]}"),
        may("approval", "{changes: {from: restart, wait: approval}}"),
        may("health", "{tcp: {port: 80}}"),
        may("dependsOn", "[{zone: db}]"),
        may("deletion", "halt"),
        may("drift", "{default: warn}"),
    ],
    later: &["admin", "attr", "dedicatedCpu", "device", "pool", "rctl", "security"],
    foreign: &[
        ("after", "`dependsOn: [{zone: db}]`"),
        ("autoboot", "`state: running`, or `state: installed`"),
        ("brand", "`root:` alone says what the zone is made of"),
        ("ip-type", "nothing: every zone has a network stack of its own"),
        ("image", "`root:`"),
        ("name", "`metadata.name`"),
        ("command", "`init: {command: [...]}`"),
    ],
};

/// The states that a manifest may ask for.
pub(super) const STATES: [(&str, DesiredState); 3] =
    [("installed", DesiredState::Installed), ("ready", DesiredState::Ready), ("running", DesiredState::Running)];

/// What may become of a zone without manifest.
pub(super) const DELETIONS: [(&str, Deletion); 3] =
    [("halt", Deletion::Halt), ("keep", Deletion::Keep), ("delete", Deletion::Delete)];

/// Reads a zone's document. `None` if it has a problem; `facts` gets what could be read either way.
pub(crate) fn zone(node: &Node, report: &mut Report, facts: &mut Facts) -> Option<Zone> {
    let mut r = Reader::new(report, Document::Zone.as_str());
    let map = r.object(node, &ZONE)?;
    let metadata = map.required(&mut r, "metadata", |r, node| metadata(r, node, facts));
    let spec = map.required(&mut r, "spec", |r, node| spec(r, node, facts));
    let (api_version, kind) = (ApiVersion::V1Alpha1, Kind::Zone);
    let whole = map.key("apiVersion").is_some() && map.key("kind").is_some();
    let zone = Zone { api_version, kind, metadata: metadata?, spec: spec? };
    whole.then_some(zone)
}

/// Decodes `metadata`; the name goes into `facts` also if something beside it is wrong.
fn metadata(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<Metadata> {
    let map = r.object(node, &METADATA)?;
    let name: Option<ZoneName> = map.required(r, "name", |r, node| {
        let name = r.parsed::<ZoneName>(node)?;
        facts.name = Some((name.clone(), r.spot(node.place)));
        Some(name)
    });
    let labels = map.or_default(r, "labels", |r, node| r.text_map(node, note_key));
    let annotations = map.or_default(r, "annotations", |r, node| r.text_map(node, note_key));
    Some(Metadata { name: name?, labels: labels?, annotations: annotations? })
}

/// Decodes `spec`.
fn spec(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<ZoneSpec> {
    let map = r.object(node, &SPEC)?;
    let state = map.or_default(r, "state", |r, node| r.choice(node, "state to ask for", &STATES));
    let hosts = hosts(r, &map, facts);
    let zonepath = zonepath(r, &map, facts);
    let root = map.required(r, "root", |r, node| storage::root(r, node, facts));
    let host_usr = map.node("root").is_some_and(storage::is_host_usr);
    let fs = map.or_default(r, "fs", |r, node| storage::file_systems(r, node, host_usr, facts));
    let net = map.or_default(r, "net", |r, node| network::interfaces(r, node, facts));
    let capped_memory = map.optional(r, "cappedMemory", resource::capped_memory);
    let capped_cpu = map.optional(r, "cappedCpu", resource::capped_cpu);
    let cpu_shares = map.optional(r, "cpuShares", |r, node| r.integer(node, 1, 65535));
    let max_processes = map.optional(r, "maxProcesses", resource::max_processes);
    let hostname = map.optional(r, "hostname", |r, node| r.parsed(node));
    let init = map.or_default(r, "init", |r, node| init::init(r, node, &mut facts.age_files));
    let approval = map.optional(r, "approval", approval::approval);
    facts.health = map.key("health").is_some();
    let health = map.optional(r, "health", health::health);
    let depends_on = map.or_default(r, "dependsOn", |r, node| dependency::dependencies(r, node, facts));
    let deletion = map.or_default(r, "deletion", |r, node| r.choice(node, "way to go", &DELETIONS));
    let drift = map.optional(r, "drift", drift::drift);
    let root: Root = root?;
    Some(ZoneSpec {
        state: state?,
        hosts: hosts?,
        zonepath: zonepath?,
        root,
        fs: fs?,
        net: net?,
        capped_memory: capped_memory?,
        capped_cpu: capped_cpu?,
        cpu_shares: cpu_shares?,
        max_processes: max_processes?,
        hostname: hostname?,
        init: init?,
        approval: approval?,
        health: health?,
        depends_on: depends_on?,
        deletion: deletion?,
        drift: drift?,
    })
}

/// Decodes `hosts` and notes it for the selection.
#[allow(clippy::option_option, reason = "as Object::optional")]
fn hosts(r: &mut Reader, map: &Object, facts: &mut Facts) -> Option<Option<HostSelector>> {
    const EVERY: &str = "`names: [web1]` or `matchLabels: {site: berlin}`; for every host, no `hosts`";
    facts.hosts = On::Broken;
    let hosts = map.optional(r, "hosts", |r, node| selector::hosts(r, node, EVERY))?;
    facts.hosts = hosts.clone().map_or(On::Every, On::Those);
    Some(hosts)
}

/// Places of the host that are nobody's zonepath.
const NO_ZONEPATH: [&str; 17] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/sys",
    "/tmp", "/usr", "/var",
];

/// Decodes `zonepath` and notes it, or that there is none, for the comparison between zones.
#[allow(clippy::option_option, reason = "as Object::optional")]
fn zonepath(r: &mut Reader, map: &Object, facts: &mut Facts) -> Option<Option<String>> {
    facts.default_zonepath = map.key("zonepath").is_none();
    map.optional(r, "zonepath", |r, node| {
        let zonepath = absolute(r, node)?;
        let virtual_place = ["/dev", "/proc", "/sys"].iter().find(|place| path::within(&zonepath, place));
        if let Some(place) = virtual_place.or_else(|| NO_ZONEPATH.iter().find(|place| zonepath == **place)) {
            let what = if *place == zonepath { "is" } else { "lies in" };
            let message = format!("the zonepath {what} `{place}`, which belongs to the host");
            r.problem(node.place, message, "a folder of the zone's own, such as `/zones/web`");
            return None;
        }
        let spot: Spot = r.spot(node.place);
        facts.zonepath = Some((zonepath.clone(), spot));
        Some(zonepath)
    })
}

//! A set of manifests for many hosts: each document is read by itself, once; then what one host gets is selected, patched,
//! decoded again where it was patched, and checked for that host alone. So a change for one host costs the others nothing.

mod patch;
mod render;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patch::Patches;
pub use render::{FieldOrigin, Rendered};

use crate::check;
use crate::decode::{self, Document, Facts, HOST_LABEL, On, OverlayEntry};
use crate::digest::digest;
use crate::load::{Limits, LoadedZone, ManifestSet, Origin, SourceFile, age_file, small_enough};
use crate::manifest::Zone;
use crate::node::{Node, documents};
use crate::problem::Problem;
use crate::reader::Reader;
use crate::schedule::ChangeDigest;
use crate::source::{Place, Report, Spot};
use crate::suggest;

/// The most hosts that a set may declare.
const HOSTS_MAX: usize = 10_000;
/// The most overlays of a set: each is compared with every zone.
const OVERLAYS_MAX: usize = 1000;
/// The most comparisons of zones with what overlays name. (1000 overlays with 10 names each, and 20000 zones.)
const COMPARISONS_MAX: usize = 200_000_000;

/// Who a host is, for selectors: its name, and the labels that its own configuration gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSelf {
    /// The name; empty for a host that nobody names.
    pub name: String,
    /// The labels, which stand before those of the Host manifest of this name.
    pub labels: BTreeMap<String, String>,
}

impl HostSelf {
    /// A host of a name, without labels of its own.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), labels: BTreeMap::new() }
    }
}

/// What a check of all hosts looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Zones in the set.
    pub zones: usize,
    /// Hosts that the set declares.
    pub hosts: usize,
    /// Overlays in the set.
    pub overlays: usize,
    /// Files that have a document.
    pub files: usize,
}

/// A set of manifests, each document read by itself. What is wrong in it is kept, and told with what is wrong for a host.
#[derive(Debug)]
pub struct Catalog<'f> {
    files: Arc<[&'f SourceFile]>,
    limits: Limits,
    report: Report<'f>,
    zones: Vec<ZoneEntry>,
    /// Labels by name.
    hosts: BTreeMap<String, (BTreeMap<String, String>, Spot)>,
    overlays: Vec<OverlayEntry>,
    /// Changes that somebody approved, each with whether data may be lost by it.
    approvals: BTreeMap<ChangeDigest, bool>,
    /// Trees of the zones that overlays patch somewhere, by index.
    trees: BTreeMap<usize, Node>,
    /// Where documents begin, with the index of the overlay that each is.
    starts: BTreeMap<Place, Option<usize>>,
}

/// A zone of a set.
#[derive(Debug)]
struct ZoneEntry {
    /// The manifest; `None` if it has a problem.
    zone: Option<Box<Zone>>,
    facts: Box<Facts>,
    /// Where its document begins.
    place: Place,
    /// Which document of its file it is.
    nth: usize,
}

/// A zone as a host gets it.
struct Member<'c> {
    index: usize,
    zone: Option<Cow<'c, Zone>>,
    facts: Cow<'c, Facts>,
    /// The tree and the patch that it came from, where it was patched and they are kept.
    patched: Option<(Node, Node)>,
}

impl<'f> Catalog<'f> {
    /// Reads a set of files, in the order of their names. Empty documents and files are fine.
    #[must_use]
    pub fn read(files: &'f [SourceFile], limits: &Limits) -> Self {
        let mut sorted: Vec<&SourceFile> = files.iter().collect();
        sorted.sort_by_key(|file| &file.path);
        let files: Arc<[&SourceFile]> = sorted.into();
        let mut catalog = Self {
            report: Report::new(files.clone(), limits.problems),
            files,
            limits: limits.clone(),
            zones: Vec::new(),
            hosts: BTreeMap::new(),
            overlays: Vec::new(),
            approvals: BTreeMap::new(),
            trees: BTreeMap::new(),
            starts: BTreeMap::new(),
        };
        let mut bytes = 0;
        for (index, file) in catalog.files.clone().iter().enumerate() {
            bytes += file.text.len();
            if small_enough(index, file, bytes, limits, &mut catalog.report) {
                let documents = documents(index, file, limits, &mut catalog.report);
                documents.iter().enumerate().for_each(|(nth, node)| catalog.take(nth, node));
            }
        }
        catalog.between_overlays();
        catalog.keep_trees();
        catalog
    }

    /// The names of the hosts that the set declares.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// The names of declared hosts that somebody may have meant by another name, the nearest first, at most 5.
    #[must_use]
    pub fn near_hosts(&self, name: &str) -> Vec<&str> {
        suggest::near(name, self.hosts(), 5)
    }

    /// What a host gets: its zones, patched as its overlays say. `zonepaths` is the folder of the zonepaths that no
    /// manifest names.
    ///
    /// # Errors
    /// Every problem of the set and of this host's part of it, sorted by place. Nothing of a set that has one may be applied.
    pub fn for_host(&self, host: &HostSelf, zonepaths: &str) -> Result<ManifestSet, Vec<Problem>> {
        let mut report = self.report.clone();
        let members = self.members(host, zonepaths, false, &mut report, |_| true);
        if !report.is_empty() {
            return Err(report.finish());
        }
        let loaded = members.into_iter().filter_map(|member| {
            let origin = self.origin(self.zones[member.index].place);
            let used = member.facts.age_files.iter().cloned();
            let age_files = used.map(|used| age_file(&self.report, used)).collect();
            let zone = without_hosts(member.zone?.into_owned());
            let digest = digest(&zone);
            Some((zone.metadata.name.clone(), LoadedZone { zone, origin, digest, age_files }))
        });
        Ok(ManifestSet { zones: loaded.collect(), approvals: self.approvals.clone() })
    }

    /// Checks the set for every host that it declares, and the zones without selector for a host that it does not.
    ///
    /// # Errors
    /// Every problem, sorted by place; where it is one of some hosts alone, the first of them is named.
    pub fn check(&self, zonepaths: &str) -> Result<Checked, Vec<Problem>> {
        let mut report = self.report.clone();
        let mut seen = BTreeSet::new();
        let mut one = self.report.emptied();
        self.members(&HostSelf::default(), zonepaths, false, &mut one, |facts| matches!(facts.hosts, On::Every));
        report.absorb(one, None, &mut seen);
        for name in self.hosts.keys() {
            if report.is_full() {
                break;
            }
            let mut one = self.report.emptied();
            self.members(&HostSelf::named(name), zonepaths, false, &mut one, |_| true);
            report.absorb(one, Some(name), &mut seen);
        }
        if !report.is_empty() {
            return Err(report.finish());
        }
        let files: BTreeSet<u32> = self.starts.keys().map(|place| place.file).collect();
        let (zones, hosts, overlays) = (self.zones.len(), self.hosts.len(), self.overlays.len());
        Ok(Checked { zones, hosts, overlays, files: files.len() })
    }

    /// Takes a document in.
    fn take(&mut self, nth: usize, node: &Node) {
        let place = node.place;
        let mut reader = Reader::new(&mut self.report, Document::Zone.as_str());
        let mut overlay = None;
        match decode::head(&mut reader, node, &Document::MANIFESTS) {
            Some(Document::Zone) => {
                let mut facts = Facts::default();
                let zone = decode::zone(node, &mut self.report, &mut facts).map(Box::new);
                // Of what is not even named nothing can be said beside its problems.
                if facts.name.is_some() {
                    self.zones.push(ZoneEntry { zone, facts: Box::new(facts), place, nth });
                }
            }
            Some(Document::Host) => self.take_host(node),
            Some(Document::Overlay) => {
                if let Some(entry) = decode::overlay(node, &mut self.report) {
                    overlay = Some(self.overlays.len());
                    self.overlays.push(entry);
                }
            }
            Some(Document::Approval) => {
                if let Some(document) = decode::approval_document(node, &mut self.report) {
                    for change in document.spec.changes {
                        *self.approvals.entry(change).or_default() |= document.spec.data_loss;
                    }
                }
            }
            Some(Document::Configuration) | None => {}
        }
        self.starts.insert(place, overlay);
    }

    fn take_host(&mut self, node: &Node) {
        let Some((host, spot)) = decode::host(node, &mut self.report) else { return };
        let name = host.metadata.name.as_str().to_owned();
        if self.hosts.len() >= HOSTS_MAX {
            self.report.add(spot, format!("the set has more than {HOSTS_MAX} hosts"), "fewer hosts in one set");
        } else if let Some((_, first)) = self.hosts.get(&name) {
            let message = format!("there is a host `{name}` already: {}", check::place(&self.report, first));
            self.report.add(spot, message, "another name, or one of the two manifests");
        } else {
            self.hosts.insert(name, (host.metadata.labels, spot));
        }
    }

    /// The rules between overlays, and that each can patch something.
    fn between_overlays(&mut self) {
        if let Some(entry) = self.overlays.get(OVERLAYS_MAX) {
            let message = format!("the set has more than {OVERLAYS_MAX} overlays");
            self.report.add(entry.name_spot.clone(), message, "fewer overlays, each for more zones or hosts");
            self.overlays.truncate(OVERLAYS_MAX);
        }
        let comparisons: usize = self.overlays.iter().map(|entry| entry.zones.comparisons()).sum();
        if let (true, Some(entry)) =
            (comparisons.saturating_mul(self.zones.len()) > COMPARISONS_MAX, self.overlays.first())
        {
            let zones = self.zones.len();
            let message = format!("the overlays name {comparisons} things that {zones} zones are compared with");
            let help = "labels instead of names, or fewer zones in one set";
            self.report.add(entry.zones_spot.clone(), message, help);
            self.overlays.clear();
            return;
        }
        let mut first: BTreeMap<&str, &Spot> = BTreeMap::new();
        // A zone that is there and has a problem may be the one that is meant.
        let all_read = self.report.is_empty();
        for entry in &self.overlays {
            if let Some(earlier) = first.get(entry.name.as_str()) {
                let message =
                    format!("there is an overlay `{}` already: {}", entry.name, check::place(&self.report, earlier));
                self.report.add(entry.name_spot.clone(), message, "another name, or one of the two manifests");
            } else {
                first.insert(entry.name.as_str(), &entry.name_spot);
            }
            let patches = |zone: &Zone| entry.zones.matches(zone.name(), &zone.metadata.labels);
            if all_read && !self.zones.iter().filter_map(|entry| entry.zone.as_deref()).any(patches) {
                let names =
                    self.zones.iter().filter_map(|entry| entry.zone.as_deref()).map(|zone| zone.name().as_str());
                let near = entry.zones.names.first().and_then(|name| suggest::nearest(name.as_str(), names));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "the name or a label of a zone that is in the set".to_owned(),
                };
                let message = format!("the overlay `{}` matches no zone of the set", entry.name);
                self.report.add(entry.zones_spot.clone(), message, help);
            }
        }
    }

    /// Keeps the trees of the zones that some overlay patches. They are read again for it: of most zones nobody needs one.
    fn keep_trees(&mut self) {
        let patched =
            |zone: &Zone| self.overlays.iter().any(|overlay| overlay.zones.matches(zone.name(), &zone.metadata.labels));
        let zones = self.zones.iter().enumerate();
        let wanted: Vec<usize> =
            zones.filter(|(_, entry)| entry.zone.as_deref().is_some_and(patched)).map(|(index, _)| index).collect();
        self.trees = self.read_trees(&wanted);
    }

    /// The trees of zones, by index. `zones` is in order, so that each file is read once.
    fn read_trees(&self, zones: &[usize]) -> BTreeMap<usize, Node> {
        let mut trees = BTreeMap::new();
        for group in zones.chunk_by(|a, b| self.zones[*a].place.file == self.zones[*b].place.file) {
            let Some(first) = group.first() else { continue };
            let file = self.zones[*first].place.file as usize;
            let mut documents: Vec<Option<Node>> =
                documents(file, self.files[file], &self.limits, &mut self.report.emptied())
                    .into_iter()
                    .map(Some)
                    .collect();
            for index in group {
                if let Some(tree) = documents.get_mut(self.zones[*index].nth).and_then(Option::take) {
                    trees.insert(*index, tree);
                }
            }
        }
        trees
    }

    /// The labels that selectors see of a host: its own, those of its Host manifest, and `reeve.dev/host`.
    #[must_use]
    pub fn labels(&self, host: &HostSelf) -> BTreeMap<String, String> {
        let mut labels = self.hosts.get(&host.name).map(|(labels, _)| labels.clone()).unwrap_or_default();
        labels.extend(host.labels.clone());
        labels.insert(HOST_LABEL.to_owned(), host.name.clone());
        labels
    }

    /// The zones of a host that `which` lets through, patched and checked with each other; with `keep` those that were
    /// patched keep the tree and the patch.
    fn members(
        &self,
        host: &HostSelf,
        zonepaths: &str,
        keep: bool,
        report: &mut Report<'f>,
        which: impl Fn(&Facts) -> bool,
    ) -> Vec<Member<'_>> {
        let labels = self.labels(host);
        let overlays = self.overlays.iter().enumerate();
        let here = overlays.filter(|(_, overlay)| overlay.hosts.matches(&host.name, &labels));
        let overlays: Vec<usize> = here.map(|(index, _)| index).collect();
        let mut patches = Patches::new(keep);
        let zones = self.zones.iter().enumerate();
        let here = zones.filter(|(_, entry)| which(&entry.facts) && entry.facts.hosts.has(&host.name, &labels));
        let members: Vec<Member> =
            here.map(|(index, entry)| self.member(index, entry, &overlays, &mut patches, report)).collect();
        let facts: Vec<&Facts> = members.iter().map(|member| member.facts.as_ref()).collect();
        check::between_zones(&facts, zonepaths, report);
        check::dependencies(&facts, report);
        members
    }

    /// Where a document begins.
    fn origin(&self, place: Place) -> Origin {
        Origin { file: self.files[place.file as usize].path.clone(), line: place.line as usize }
    }

    /// The name of the overlay in which a place is.
    fn overlay_at(&self, place: Place) -> Option<&str> {
        let (start, overlay) = self.starts.range(..=place).next_back()?;
        let overlay = (*overlay).filter(|_| start.file == place.file)?;
        self.overlays.get(overlay).map(|overlay| overlay.name.as_str())
    }
}

/// A zone without what has done its work: on which hosts it is is no part of what a host is told, so that a selector that
/// still matches can change without a change of the zone.
fn without_hosts(mut zone: Zone) -> Zone {
    zone.spec.hosts = None;
    zone
}

//! Overlays on the zones of one host: their patches as one, strictly, and what that makes of a zone.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Catalog, Member, ZoneEntry};
use crate::check;
use crate::decode::{self, Facts};
use crate::manifest::Zone;
use crate::merge;
use crate::node::{Key, Node, Value};
use crate::source::{Place, Report, Spot};

/// The patches of one host's zones.
#[derive(Default)]
pub(super) struct Patches {
    /// By the overlays that they are of.
    combined: BTreeMap<Vec<usize>, Combined>,
    /// How much was put into zones so far, as [`merge::weight`] counts.
    weight: usize,
    /// Whether patched trees are kept.
    keep: bool,
}

impl Patches {
    /// None yet. With `keep` patched trees are kept.
    pub(super) fn new(keep: bool) -> Self {
        Self { keep, ..Self::default() }
    }
}

/// What several overlays set together.
struct Combined {
    /// How much it puts into a zone.
    weight: usize,
    /// The patch, from the top of a zone's document on. Where they contradict each other, what the first sets.
    document: Node,
    /// Fields that two set to different values, with both places.
    conflicts: Vec<(String, Place, Place)>,
}

impl<'f> Catalog<'f> {
    /// A zone with what the overlays of its host make of it.
    pub(super) fn member<'c>(
        &self,
        index: usize,
        entry: &'c ZoneEntry,
        overlays: &[usize],
        patches: &mut Patches,
        report: &mut Report<'f>,
    ) -> Member<'c> {
        let plain = |zone| Member { index, zone, facts: Cow::Borrowed(&*entry.facts), patched: None };
        let Some(zone) = entry.zone.as_deref() else { return plain(None) };
        let of_zone = |overlay: &&usize| self.overlays[**overlay].zones.matches(zone.name(), &zone.metadata.labels);
        let mine: Vec<usize> = overlays.iter().filter(of_zone).copied().collect();
        let (Some(tree), [first, others @ ..]) = (self.trees.get(&index), mine.as_slice()) else {
            return plain(Some(Cow::Borrowed(zone)));
        };
        // Most zones have the overlays of others.
        if !patches.combined.contains_key(&mine) {
            patches.combined.insert(mine.clone(), self.combine(*first, others));
        }
        let patch = &patches.combined[&mine];
        // A long text in an overlay would come as often as there are zones.
        let before = patches.weight;
        patches.weight = before.saturating_add(patch.weight);
        if patches.weight > self.limits.set_bytes {
            if before <= self.limits.set_bytes {
                let most = self.limits.set_bytes;
                let message = format!("what overlays put into the zones of one host is more than {most} bytes");
                let spot = self.overlays[*first].zones_spot.clone();
                report.add(spot, message, "shorter values, or overlays for fewer zones");
            }
            return plain(None);
        }
        if !self.fits(entry, zone, tree, patch, report) {
            return plain(None);
        }
        let merged = merge::patched(Some(tree), &patch.document);
        let mut facts = Facts::default();
        let zone = decode::zone(&merged, report, &mut facts);
        let patched = patches.keep.then(|| (merged, patch.document.clone()));
        Member { index, zone: zone.map(Cow::Owned), facts: Cow::Owned(facts), patched }
    }

    /// Several patches as one.
    fn combine(&self, first: usize, others: &[usize]) -> Combined {
        let mut spec = self.overlays[first].patch.clone();
        let mut conflicts = Vec::new();
        for overlay in others {
            let tell = &mut |field, earlier, later| conflicts.push((field, earlier, later));
            merge::combine(&mut spec, &self.overlays[*overlay].patch, "spec", tell);
        }
        let weight = merge::weight(&spec);
        let key = Key { place: spec.place, text: "spec".to_owned() };
        Combined { weight, document: Node { place: spec.place, value: Value::Map(vec![(key, spec)]) }, conflicts }
    }

    /// Whether a patch can be a zone's: it does not contradict itself, and sets only what is there. Notes why not.
    fn fits(&self, entry: &ZoneEntry, zone: &Zone, tree: &Node, patch: &Combined, report: &mut Report<'f>) -> bool {
        let name = zone.name();
        let mut fits = patch.conflicts.is_empty();
        for (field, earlier, later) in &patch.conflicts {
            let other = self.overlay_at(*earlier).unwrap_or_default();
            let place = check::place(report, &Spot { place: *earlier, field: String::new() });
            let message = format!("the overlay `{other}` sets `{field}` of zone `{name}` to another value: {place}");
            let help = "one of the two, or selectors by which no host has both";
            report.add(Spot { place: *later, field: format!("spec.patch.{field}") }, message, help);
        }
        let defaults = serde_json::json!({ "spec": zone.spec });
        merge::missing(&patch.document, Some(tree), Some(&defaults), "", &mut |place, field| {
            let origin = self.origin(entry.place);
            let message = format!("zone `{name}` has no `{field}` that the overlay could change");
            let help = format!("write it in the zone's manifest first: {}:{}", origin.file, origin.line);
            report.add(Spot { place, field: format!("spec.patch.{field}") }, message, help);
            fits = false;
        });
        fits
    }
}

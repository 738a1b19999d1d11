//! What is wanted: a checked set of manifests as the planner takes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use reeve_schema::{LoadedZone, ManifestSet, Zone};
use reeve_state::approval::Approvals;
use reeve_state::wanted::{self, Wanted};

use crate::host::Host;
use crate::places::Places;
use crate::secrets;
use crate::store::files::Content;
use crate::store::{ZoneFiles, zone_names};

/// The zones that a set wants, by name, as far as files say it: no secret is opened.
pub fn wanted(set: &ManifestSet, places: &Places) -> BTreeMap<String, Wanted> {
    each(set, places, |loaded| (secrets::fill_in(loaded), None))
}

/// The zones that a set wants on this host, by name. Secrets are read, and what is wanted has digests of their values.
pub fn wanted_here(set: &ManifestSet, host: &Host) -> BTreeMap<String, Wanted> {
    each(set, host.places(), |loaded| host.secrets().resolve(loaded))
}

/// The changes that the manifests of a set approve.
pub fn approvals(set: &ManifestSet) -> Approvals {
    set.approvals.iter().map(|(digest, data_loss)| (digest.to_string(), *data_loss)).collect()
}

/// What is configured on this host from a source: what was wanted of it when it could be read. A zone that was seen in this
/// boot without a manifest is none of it.
pub fn configured(host: &Host, source: &Path) -> BTreeMap<String, Wanted> {
    let names = zone_names(host.places().state()).unwrap_or_default();
    let one = |name: String| {
        let Ok(Content::Value(configured)) = ZoneFiles::new(host.places(), &name).configured() else { return None };
        let files = ZoneFiles::new(host.places(), &name);
        let let_go = files.status().is_some_and(|status| status.desired.is_none());
        let here = !let_go
            && configured.source.as_deref().is_some_and(|from| wanted::is_from(from, &source.to_string_lossy()));
        let manifest = Arc::new(configured.manifest);
        let wanted = Wanted {
            name: name.clone(),
            manifest,
            digest: configured.digest,
            source: configured.source,
            unavailable: None,
        };
        here.then_some((name, wanted))
    };
    names.into_iter().filter_map(one).collect()
}

fn each(
    set: &ManifestSet,
    places: &Places,
    fill_in: impl Fn(&LoadedZone) -> (Zone, Option<String>),
) -> BTreeMap<String, Wanted> {
    let zonepaths = places.zonepaths();
    let wanted = set.zones.iter().map(|(name, loaded)| {
        let source = Some(format!("{}:{}", loaded.origin.file, loaded.origin.line));
        if !secrets::has_secrets(&loaded.zone.spec.init) {
            return (name.to_string(), Wanted::new(&loaded.zone, &loaded.digest, source, &zonepaths));
        }
        let (zone, unavailable) = fill_in(loaded);
        // Another value is another manifest: what the zone did with the old one counts no longer.
        let wanted = Wanted::new(&zone, &reeve_schema::digest(&zone), source, &zonepaths);
        (name.to_string(), Wanted { unavailable, ..wanted })
    });
    wanted.collect()
}

//! What is wanted: a checked set of manifests as the planner takes it.

use std::collections::BTreeMap;

use reeve_schema::ManifestSet;
use reeve_state::wanted::Wanted;

use crate::places::Places;

/// The zones that a set wants, by name.
pub fn wanted(set: &ManifestSet, places: &Places) -> BTreeMap<String, Wanted> {
    let zonepaths = places.zonepaths();
    let wanted = set.zones.iter().map(|(name, loaded)| {
        let source = format!("{}:{}", loaded.origin.file, loaded.origin.line);
        (name.to_string(), Wanted::new(&loaded.zone, &loaded.digest, Some(source), &zonepaths))
    });
    wanted.collect()
}

//! Whether a folder of manifests may be taken in that has far fewer zones than came from it before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reeve_state::removal::{Removal, too_many};
use reeve_state::wanted::Wanted;

use crate::desired;
use crate::host::Host;
use crate::store::approvals;

/// The zones that would lose their manifests, where they are too many and nobody on this host approved it. `before` is what
/// was wanted so far; where nothing was, what is configured from `source`.
pub fn refused(
    host: &Host,
    source: &Path,
    before: &BTreeMap<String, Wanted>,
    now: &BTreeMap<String, Wanted>,
) -> Option<Removal> {
    let configured = if before.is_empty() { desired::configured(host, source) } else { BTreeMap::new() };
    let before = before.keys().chain(configured.keys()).map(String::as_str);
    let now: BTreeSet<&str> = now.keys().map(String::as_str).collect();
    let removal = too_many(before, &now)?;
    (!approvals::all(host.places()).has(&removal.digest)).then_some(removal)
}

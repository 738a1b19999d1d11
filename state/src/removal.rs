//! Manifests that go all at once: a folder that is not mounted, a wrong branch, a selector with a slip in it. A set without
//! any zone, or with far fewer than before, is not taken in before somebody says that it is meant.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// So many zones may always go together, as long as others stay.
const FEW: usize = 2;
/// Names that a message has.
const NAMED: usize = 5;

/// Zones that would lose their manifests, too many to be let go unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// Which, in order.
    pub zones: Vec<String>,
    /// How many there were.
    pub of: usize,
    /// What an approval names: `sha256:` and 64 hexadecimal digits, of exactly these zones.
    pub digest: String,
}

/// The zones that go, if they are too many: all that there are, or more than [`FEW`] and more than half.
pub fn too_many<'a>(before: impl Iterator<Item = &'a str>, now: &BTreeSet<&str>) -> Option<Removal> {
    let before: BTreeSet<&str> = before.collect();
    let zones: Vec<String> = before.iter().filter(|name| !now.contains(*name)).map(|name| (*name).to_owned()).collect();
    let all = now.is_empty() && !before.is_empty();
    let most = zones.len() > FEW && zones.len() * 2 > before.len();
    (all || most).then(|| Removal { of: before.len(), digest: digest(&zones), zones })
}

impl Removal {
    /// What would happen, without what to do.
    pub fn message(&self) -> String {
        let named = self.zones.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if self.zones.len() > NAMED { ", ..." } else { "" };
        format!("{} of {} zones would lose their manifests ({named}{more})", self.zones.len(), self.of)
    }
}

fn digest(zones: &[String]) -> String {
    let mut sha = Sha256::new();
    sha.update(b"reeve.dev/v1alpha1 removal\n");
    for zone in zones {
        sha.update(zone.as_bytes());
        sha.update(b"\n");
    }
    let hex: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(before: &[&str], now: &[&str]) -> Option<usize> {
        too_many(before.iter().copied(), &now.iter().copied().collect()).map(|removal| removal.zones.len())
    }

    #[test]
    fn all_or_most_is_too_many() {
        assert_eq!(goes(&[], &[]), None);
        assert_eq!(goes(&[], &["a"]), None);
        assert_eq!(goes(&["a"], &[]), Some(1));
        assert_eq!(goes(&["a", "b", "c"], &["a"]), None, "a few");
        assert_eq!(goes(&["a", "b", "c", "d"], &["a"]), Some(3));
        assert_eq!(goes(&["a", "b", "c", "d", "e", "f"], &["a", "b", "c"]), None, "half");
        assert_eq!(goes(&["a", "b", "c", "d", "e"], &["x", "y"]), Some(5), "others in their place");
    }

    #[test]
    fn an_approval_is_of_these_zones() {
        let of = |now: &[&str]| {
            too_many(["a", "b", "c", "d", "e"].into_iter(), &now.iter().copied().collect())
                .map(|removal| removal.digest)
        };
        assert_eq!(of(&["a"]), of(&["a", "new"]));
        assert_ne!(of(&["a"]), of(&["b"]));
    }
}

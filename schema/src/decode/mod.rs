//! From the tree to the types of [`crate::manifest`]: one function per type, with the rules inside one zone. What is
//! to be compared between zones is gathered in [`Facts`] on the way, from broken zones as well, so that the rules
//! between zones need not wait until every zone is right.

mod init;
mod network;
mod resource;
mod secret;
mod storage;
mod zone;

use crate::address::Mac;
use crate::name::{LinkName, ZoneName};
use crate::node::{Node, Value};
use crate::path;
use crate::reader::Reader;
#[cfg(test)]
use crate::shape::Shape;
use crate::source::Spot;

pub(crate) use secret::AgeUse;
pub(crate) use zone::document;

/// What the zones of a set must not have in common, each with its place.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Every name.
    pub names: Vec<(ZoneName, Spot)>,
    /// Zonepaths that a manifest names, with the index of the zone's name in `names`.
    pub zonepaths: Vec<(String, Option<usize>, Spot)>,
    /// Which of `names` have no zonepath of their own.
    pub default_zonepaths: Vec<usize>,
    /// Every address, with the bridge it is on.
    pub addresses: Vec<(LinkName, std::net::IpAddr, Spot)>,
    /// Every hardware address, with the bridge it is on.
    pub macs: Vec<(LinkName, Mac, Spot)>,
    /// Directories of the host that zones share or copy.
    pub host_directories: Vec<(String, Spot)>,
    /// Files beside the manifests that are to be read for the zone that is being decoded.
    pub age_files: Vec<AgeUse>,
}

/// Every map that the decoder reads.
#[cfg(test)]
pub(crate) const SHAPES: [&Shape; 13] = [
    &zone::ZONE,
    &zone::METADATA,
    &zone::SPEC,
    &storage::ROOT,
    &storage::HOST_USR,
    &storage::DIRECTORY,
    &storage::FS,
    &network::NET,
    &resource::CAPPED_MEMORY,
    &resource::CAPPED_CPU,
    &init::INIT,
    &secret::FILE_SECRET,
    &secret::AGE_SECRET,
];

/// A type that is one of a few words, with those that the decoder takes; [`WORDS`] has every one.
#[cfg(test)]
type Words = (&'static str, fn() -> Vec<&'static str>);
/// See [`Words`].
#[cfg(test)]
pub(crate) const WORDS: [Words; 4] = [
    ("DesiredState", || zone::STATES.iter().map(|(word, _)| *word).collect()),
    ("Deletion", || zone::DELETIONS.iter().map(|(word, _)| *word).collect()),
    ("FsType", || storage::TYPES.iter().map(|(word, _)| *word).collect()),
    ("Restart", || init::RESTARTS.iter().map(|(word, _)| *word).collect()),
];

/// An absolute path.
fn absolute(r: &mut Reader, node: &Node) -> Option<String> {
    let text = r.text(node)?;
    match path::check(text, r.example()) {
        Ok(()) => Some(text.to_owned()),
        Err(error) => {
            r.problem(node.place, error.message, error.help);
            None
        }
    }
}

/// How many items a list has that stands where one should; notes one that is too long.
fn at_most(r: &mut Reader, node: &Node, most: usize) -> Option<()> {
    if let Value::List(items) = &node.value
        && items.len() > most
    {
        r.problem(node.place, format!("the list has {} items", items.len()), format!("at most {most}"));
        return None;
    }
    Some(())
}

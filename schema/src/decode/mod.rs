//! From the tree to the types of [`crate::manifest`]: one function per type, with the rules inside one zone. What is
//! to be compared between zones is gathered in [`Facts`] on the way, from broken zones as well, so that the rules
//! between zones need not wait until every zone is right.

mod approval;
mod configuration;
mod dependency;
mod drift;
mod health;
mod host;
mod init;
mod monitoring;
mod network;
mod overlay;
mod resource;
mod secret;
mod selector;
mod storage;
mod zone;

use std::collections::BTreeMap;

use crate::address::Mac;
use crate::manifest::HostSelector;
use crate::name::{LinkName, ZoneName};
use crate::node::{Node, Value};
use crate::path;
use crate::reader::Reader;
#[cfg(test)]
use crate::shape::Shape;
use crate::source::{Spot, shown};
use crate::text::TextError;

pub(crate) use approval::document as approval_document;
pub(crate) use configuration::configuration;
pub(crate) use host::host;
pub(crate) use overlay::{OverlayEntry, overlay};
pub(crate) use secret::AgeUse;
pub(crate) use zone::zone;

/// What a zone must not have in common with the others of its host, each with its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The name.
    pub name: Option<(ZoneName, Spot)>,
    /// On which hosts the zone is.
    pub hosts: On,
    /// The zonepath, if the manifest names one.
    pub zonepath: Option<(String, Spot)>,
    /// Whether the manifest names none.
    pub default_zonepath: bool,
    /// Every address, with the bridge it is on.
    pub addresses: Vec<(LinkName, std::net::IpAddr, Spot)>,
    /// Every hardware address, with the bridge it is on.
    pub macs: Vec<(LinkName, Mac, Spot)>,
    /// Directories of the host that the zone shares or copies.
    pub host_directories: Vec<(String, Spot)>,
    /// Zones that it depends on, and whether it waits until they are healthy.
    pub dependencies: Vec<(ZoneName, Spot, bool)>,
    /// Whether it has a health check.
    pub health: bool,
    /// Files beside the manifests that are to be read for the zone.
    pub age_files: Vec<AgeUse>,
}

/// On which hosts a zone is.
#[derive(Clone, Debug, Default)]
pub(crate) enum On {
    /// On every one.
    #[default]
    Every,
    /// On these.
    Those(HostSelector),
    /// What is written has a problem.
    Broken,
}

impl On {
    /// Whether a host with these labels has the zone.
    pub(crate) fn has(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Every => true,
            Self::Those(selector) => selector.matches(name, labels),
            Self::Broken => false,
        }
    }
}

/// What a document can be, by its `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// A zone.
    Zone,
    /// A host that the set knows.
    Host,
    /// An overlay.
    Overlay,
    /// A word for changes that wait.
    Approval,
    /// A host's configuration, which is no manifest.
    Configuration,
}

impl Document {
    /// Those that a set of manifests has.
    pub(crate) const MANIFESTS: [Self; 4] = [Self::Zone, Self::Host, Self::Overlay, Self::Approval];
    /// Every one.
    const ALL: [Self; 5] = [Self::Zone, Self::Host, Self::Overlay, Self::Approval, Self::Configuration];

    /// As `kind` has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Zone => "Zone",
            Self::Host => "Host",
            Self::Overlay => "Overlay",
            Self::Approval => "Approval",
            Self::Configuration => "Configuration",
        }
    }
}

/// Which of the kinds that may stand here a document is; the first where it does not say. `None` where `apiVersion` or
/// `kind` is another one: a document of another kind has other fields, so that it is another is then the one thing to say.
pub(crate) fn head(r: &mut Reader, node: &Node, kinds: &[Document]) -> Option<Document> {
    let Value::Map(entries) = &node.value else { return kinds.first().copied() };
    let find = |key: &str| entries.iter().find(|(k, _)| k.text == key).map(|(_, value)| value);
    let version = find("apiVersion").is_none_or(|value| is_version(r, value));
    let kind = match find("kind") {
        None => kinds.first().copied(),
        Some(value) => kind(r, value, kinds),
    };
    kind.filter(|_| version)
}

/// Whether this is the version of Reeve's documents. Notes another one.
fn is_version(r: &mut Reader, value: &Node) -> bool {
    const VERSION: &str = "reeve.dev/v1alpha1";
    if value.value == Value::Text(VERSION.to_owned()) {
        return true;
    }
    if let Some(found) = found(value) {
        let message = format!("{found} is no version of manifests that this version of Reeve knows");
        r.at("apiVersion", |r| r.problem(value.place, message, format!("`apiVersion: {VERSION}`")));
        return false;
    }
    true
}

/// The kind that this is. Notes one that is unknown or does not belong here.
fn kind(r: &mut Reader, value: &Node, kinds: &[Document]) -> Option<Document> {
    let is = |kind: &&Document| value.value == Value::Text(kind.as_str().to_owned());
    if let Some(kind) = kinds.iter().find(is) {
        return Some(*kind);
    }
    let Some(found) = found(value) else { return kinds.first().copied() };
    let elsewhere = Document::ALL.iter().any(|kind| is(&kind));
    let message = match elsewhere {
        true => format!("{found} does not belong here"),
        false => format!("{found} is no kind that this version of Reeve knows"),
    };
    let words: Vec<String> = kinds.iter().map(|kind| format!("`kind: {}`", kind.as_str())).collect();
    let help = match (elsewhere, words.as_slice()) {
        (true, _) if is(&&Document::Configuration) => {
            "a host's configuration is a file of its own, outside the manifests: /etc/reeve/config.yaml".to_owned()
        }
        (true, _) => "manifests are files of their own, outside the configuration".to_owned(),
        (false, [one]) => one.clone(),
        (false, _) => format!("one of {}", words.join(", ")),
    };
    r.at("kind", |r| r.problem(value.place, message, help));
    None
}

/// A value as a message names it; `None` for one whose problem was noted.
fn found(value: &Node) -> Option<String> {
    match &value.value {
        Value::Text(text) | Value::Number(text) => Some(format!("`{}`", shown(text))),
        Value::Broken => None,
        _ => Some("this".to_owned()),
    }
}

/// The label that every host has, with its name as the value.
pub(crate) const HOST_LABEL: &str = "reeve.dev/host";

/// Decodes the labels of a host. What begins with `reeve.dev/` is Reeve's own to give.
fn labels(r: &mut Reader, node: &Node) -> Option<BTreeMap<String, String>> {
    r.text_map(node, |key| {
        note_key(key)?;
        match key {
            HOST_LABEL => Err(TextError::new(
                format!("`{HOST_LABEL}` is the host's own name, which it has already"),
                "leave it out, or another key",
            )),
            _ if key.starts_with("reeve.dev/") => {
                Err(TextError::new("labels that begin with `reeve.dev/` are Reeve's own", "another key"))
            }
            _ => Ok(()),
        }
    })
}

/// The rule for keys of labels and annotations.
fn note_key(key: &str) -> Result<(), TextError> {
    let good = (1..=253).contains(&key.len()) && !key.chars().any(|c| c.is_control() || c.is_whitespace());
    if good { Ok(()) } else { Err(TextError::new("this key cannot name a note", "1 to 253 bytes without white space")) }
}

/// Every map that the decoder reads, by the document that it is in.
#[cfg(test)]
pub(crate) const SHAPES: [(Document, &[&Shape]); 5] = [
    (
        Document::Zone,
        &[
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
            &init::CRASH_LOOP,
            &approval::APPROVAL,
            &approval::GATE,
            &approval::WINDOW,
            &dependency::DEPENDENCY,
            &health::HEALTH,
            &health::EXEC,
            &health::TCP,
            &health::HTTP,
            &drift::DRIFT,
            &secret::FILE_SECRET,
            &secret::AGE_SECRET,
            &selector::HOSTS,
            &selector::REQUIREMENT,
        ],
    ),
    (Document::Host, &[&host::HOST, &host::METADATA]),
    (Document::Approval, &[&approval::DOCUMENT, &approval::METADATA, &approval::SPEC]),
    (
        Document::Overlay,
        &[
            &overlay::OVERLAY,
            &overlay::METADATA,
            &overlay::SPEC,
            &overlay::PATCH,
            &selector::HOSTS,
            &selector::ZONES,
            &selector::REQUIREMENT,
        ],
    ),
    (
        Document::Configuration,
        &[
            &configuration::DOCUMENT,
            &configuration::SPEC,
            &configuration::HOST,
            &configuration::SOURCE,
            &configuration::SSH,
            &configuration::HTTPS,
            &configuration::HOOK,
            &configuration::TRUST,
            &configuration::OWNER,
            &monitoring::MONITORING,
            &monitoring::RECEIVER,
            &configuration::SECRETS,
            &configuration::PUBLISH,
        ],
    ),
];

/// A type that is one of a few words, with those that the decoder takes; [`WORDS`] has every one.
#[cfg(test)]
type Words = (Document, &'static str, fn() -> Vec<&'static str>);
/// See [`Words`].
#[cfg(test)]
pub(crate) const WORDS: [Words; 11] = [
    (Document::Zone, "Until", || dependency::UNTIL.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "DesiredState", || zone::STATES.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "Deletion", || zone::DELETIONS.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "Handling", || drift::HANDLINGS.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "FsType", || storage::TYPES.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "Restart", || init::RESTARTS.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "GatePrice", || approval::PRICES.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "WaitFor", || approval::WAITS.iter().map(|(word, _)| *word).collect()),
    (Document::Zone, "WindowKind", || approval::KINDS.iter().map(|(word, _)| *word).collect()),
    (Document::Overlay, "Operator", || selector::OPERATORS.iter().map(|(word, _)| *word).collect()),
    (Document::Configuration, "VerifyMode", || configuration::VERIFY_MODES.iter().map(|(word, _)| *word).collect()),
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

//! What is WANTED: zone manifests, their validation and their JSON Schema. Pure: no I/O, no clock, no kernel.
//!
//! [`load`] takes the text of manifest files and gives either what one host gets, a [`ManifestSet`] in which every rule
//! holds, or every [`Problem`] at once. [`Catalog`] is the set for all hosts.
#![forbid(unsafe_code)]

pub mod address;
mod catalog;
mod check;
pub mod configuration;
mod decode;
mod digest;
mod json_schema;
mod load;
pub mod manifest;
mod merge;
pub mod name;
mod node;
mod path;
mod problem;
pub mod quantity;
mod reader;
pub mod schedule;
mod shape;
pub mod signal;
mod source;
pub mod subjects;
mod suggest;
mod text;

pub use catalog::{Catalog, Checked, FieldOrigin, HostSelf, Rendered};
pub use digest::{digest, digest_of};
pub use json_schema::{Described, json_schema};
pub use load::{AgeFile, Limits, LoadedZone, ManifestSet, Origin, SourceFile, load};
pub use manifest::{Deletion, DesiredState, Zone};
pub use name::ZoneName;
pub use problem::{Problem, Problems};
pub use text::TextError;

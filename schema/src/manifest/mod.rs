//! The manifest as types: what an administrator may write about a zone. serde reads and writes them, schemars makes
//! the JSON Schema from them, and the decoder (`decode`) builds them from YAML with every problem named.
//!
//! A value of these types that came out of [`crate::load`] has passed every check. One that was read back with serde
//! (a recorded configuration) has the field types checked, not the rules between fields.

mod init;
mod network;
mod resource;
mod secret;
mod storage;
mod zone;

pub use init::{Init, Restart};
pub use network::Net;
pub use resource::{CappedCpu, CappedMemory};
pub use secret::{AgeSecret, EnvValue, FileSecret};
pub use storage::{DirectoryRoot, Fs, FsOption, FsType, HostUsrRoot, Root};
pub use zone::{ApiVersion, Deletion, DesiredState, Kind, Metadata, Zone, ZoneSpec};

//! The manifests as types: what an administrator may write about zones, hosts and what differs between them. serde reads and writes them, schemars makes
//! the JSON Schema from them, and the decoder (`decode`) builds them from YAML with every problem named.
//!
//! A value of these types that came out of [`crate::load`] has passed every check. One that was read back with serde
//! (a recorded configuration) has the field types checked, not the rules between fields.

mod approval;
mod dependency;
mod drift;
mod health;
mod host;
mod init;
mod network;
mod overlay;
mod resource;
mod secret;
mod selector;
mod storage;
mod zone;

pub use approval::{
    Approval, ApprovalDocument, ApprovalKind, ApprovalMetadata, ApprovalSpec, Gate, GatePrice, WaitFor, Window,
    WindowKind,
};
pub use dependency::{Dependency, Until};
pub use drift::{Drift, Handling};
pub use health::{ExecCheck, Health, HttpCheck, TcpCheck};
pub use host::{Host, HostKind, HostMetadata};
pub use init::{CrashLoop, Init, Restart};
pub use network::Net;
pub use overlay::{Overlay, OverlayKind, OverlayMetadata, OverlaySpec, Patch};
pub use resource::{CappedCpu, CappedMemory};
pub use secret::{AgeSecret, EnvValue, FileSecret};
pub use selector::{HostSelector, Operator, Requirement, ZoneSelector};
pub use storage::{DirectoryRoot, Fs, FsOption, FsType, HostUsrRoot, Root};
pub use zone::{ApiVersion, Deletion, DesiredState, Kind, Metadata, Zone, ZoneSpec};

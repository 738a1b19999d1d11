//! What a zone sees on disk: its root and its further file systems.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::{FileMode, Quantity};
use crate::text::{TextError, text_type};

/// What install puts into the zone's root: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Root {
    /// The host's own /usr, shared read-only; /etc and /var are the zone's own. Nothing is downloaded or copied but
    /// a small /etc.
    HostUsr(HostUsrRoot),
    /// A directory tree of the host, copied at install; later changes in it do not reach the zone.
    Directory(DirectoryRoot),
}

/// `hostUsr: {}`; it has no settings yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostUsrRoot {}

/// `directory: {path: ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryRoot {
    /// The tree on the host, an absolute path.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
}

/// One file system of the zone besides its root.
///
/// A `loopback` shares a directory of the host. It is read-only unless `options` has `rw`, and a writable one is always
/// `nosuid` and `nodev`, written or not: zone root could otherwise leave a setuid file or a device for users of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fs {
    /// Where in the zone, an absolute path; not `/`, nor below `/proc`, `/sys`, `/dev`, `/run` (nor `/usr` with `root.hostUsr`).
    #[schemars(regex(pattern = r"^/"))]
    pub dir: String,
    /// What is mounted there.
    #[serde(rename = "type")]
    pub fs_type: FsType,
    /// The directory of the host that a `loopback` shares, an absolute path. Only and always with `loopback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub special: Option<String>,
    /// `ro`, `rw`, `nosuid`, `nodev`, `noexec`; for tmpfs also `size=64Mi` and `mode=1777`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<FsOption>,
}

impl Fs {
    /// The most that a zone may have.
    pub const MAX: usize = 256;

    /// Whether the zone may write: a loopback only if `rw` is written, a tmpfs unless `ro` is.
    #[must_use]
    pub fn writable(&self) -> bool {
        match self.fs_type {
            FsType::Loopback => self.options.contains(&FsOption::Rw),
            FsType::Tmpfs => !self.options.contains(&FsOption::Ro),
        }
    }

    /// Whether setuid bits are ignored there: always for a writable share.
    #[must_use]
    pub fn nosuid(&self) -> bool {
        self.forced() || self.options.contains(&FsOption::Nosuid)
    }

    /// Whether devices do not open there: always for a writable share and for a tmpfs (a zone makes no devices).
    #[must_use]
    pub fn nodev(&self) -> bool {
        self.forced() || self.fs_type == FsType::Tmpfs || self.options.contains(&FsOption::Nodev)
    }

    /// Whether nothing can be executed there.
    #[must_use]
    pub fn noexec(&self) -> bool {
        self.options.contains(&FsOption::Noexec)
    }

    /// The size limit of a tmpfs in bytes; none: the kernel's default, half of the memory.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.options.iter().find_map(|option| match option {
            FsOption::Size(size) => Some(size.bytes()),
            _ => None,
        })
    }

    /// The permission bits of a tmpfs's top directory; none: the kernel's default, 1777.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        self.options.iter().find_map(|option| match option {
            FsOption::Mode(mode) => Some(mode.bits()),
            _ => None,
        })
    }

    /// A host directory that the zone may write to.
    fn forced(&self) -> bool {
        self.fs_type == FsType::Loopback && self.writable()
    }
}

/// The kind of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FsType {
    /// A directory of the host (zonecfg's `lofs`).
    Loopback,
    /// Memory that goes with the platform.
    Tmpfs,
}

/// One mount option.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FsOption {
    /// Read-only.
    Ro,
    /// Writable.
    Rw,
    /// Setuid bits are ignored.
    Nosuid,
    /// Devices do not open.
    Nodev,
    /// Nothing can be executed.
    Noexec,
    /// The most a tmpfs may hold.
    Size(Quantity),
    /// The permission bits of a tmpfs's top directory.
    Mode(FileMode),
}

impl FsOption {
    /// The option's name, without its value.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Nosuid => "nosuid",
            Self::Nodev => "nodev",
            Self::Noexec => "noexec",
            Self::Size(_) => "size",
            Self::Mode(_) => "mode",
        }
    }
}

impl FromStr for FsOption {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Ok(match text {
            "ro" => Self::Ro,
            "rw" => Self::Rw,
            "nosuid" => Self::Nosuid,
            "nodev" => Self::Nodev,
            "noexec" => Self::Noexec,
            _ => match text.split_once('=') {
                Some(("size", size)) => Self::Size(size.parse()?),
                Some(("mode", mode)) => Self::Mode(mode.parse()?),
                _ => {
                    let help = "one of `ro`, `rw`, `nosuid`, `nodev`, `noexec`, and for tmpfs `size=64Mi`, `mode=1777`";
                    return Err(TextError::new(format!("`{text}` is no mount option"), help));
                }
            },
        })
    }
}

impl fmt::Display for FsOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "size={size}"),
            Self::Mode(mode) => write!(f, "mode={mode}"),
            _ => f.write_str(self.key()),
        }
    }
}

text_type!(
    FsOption,
    "FsOption",
    "^(ro|rw|nosuid|nodev|noexec|size=[0-9]+(Ki|Mi|Gi|Ti|k|m|g|t)?|mode=[0-7]{1,4})$",
    "A mount option."
);

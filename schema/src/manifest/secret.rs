//! Values of the environment, and those that are not in the manifest: secrets, of which it says where they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of a variable: text, or a secret from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// The value itself.
    Text(String),
    /// A secret in a file of the host.
    FromFile(FileSecret),
    /// A secret in an encrypted file beside the manifest.
    FromAge(AgeSecret),
}

impl EnvValue {
    /// The value, where the manifest has it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::FromFile(_) | Self::FromAge(_) => None,
        }
    }
}

/// A secret in a file of the host. Read where the zone is; its value is never written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSecret {
    /// The file, an absolute path on the host: of root, for nobody else to write, no symbolic link, at most 64 KiB. One line
    /// end at its end is not part of the value.
    #[schemars(regex(pattern = r"^/"))]
    pub from_file: String,
    /// Filled in on the host: a digest of the value with a key that only the host has. None: it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub value: Option<String>,
}

/// A secret in a file that age(1) encrypted. Opened on the host alone; its value is never written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgeSecret {
    /// The file, a path from the folder of the manifest on, whose name ends in `.age`: at most 64 KiB. One line end at the
    /// end of what is in it is not part of the value.
    #[schemars(regex(pattern = r"^[^/].*\.age$"))]
    pub from_age: String,
    /// Filled in by whoever reads the file: the SHA-256 of it as it is, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub ciphertext: Option<String>,
    /// Filled in on the host: a digest of the value with a key that only the host has. None: it could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub value: Option<String>,
}

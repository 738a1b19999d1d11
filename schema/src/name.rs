//! Names that a manifest gives: the zone's own name and the network interface it plumbs on. Parsed once, here; whoever
//! holds a value of these types need not look at it again before using it in a path or handing it to the kernel.

use std::fmt;
use std::str::FromStr;

use crate::text::{TextError, text_type};

/// The name of a zone, by the rule of zones(7) and zonecfg(8): `[A-Za-z0-9][-_.A-Za-z0-9]{0,62}`, not `global`, and
/// not beginning with `SUNW`, both reserved. Such a name is always one harmless path component (never `.` or `..`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName(String);

impl ZoneName {
    /// Longest name, in bytes.
    pub const MAX: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ZoneName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        plain_name(text, "a zone name")?;
        if text == "global" {
            return Err(TextError::new("`global` is the host itself", "any other name"));
        }
        if text.starts_with("SUNW") {
            return Err(TextError::new("names that begin with `SUNW` are reserved", "any other name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Notes what a name of 1 to 63 letters, digits, `-`, `_` and `.` has that it should not have.
fn plain_name(text: &str, what: &str) -> Result<(), TextError> {
    const RULE: &str = "1 to 63 letters, digits, `-`, `_` and `.`, the first a letter or digit";
    let error = |what: String| Err(TextError::new(what, RULE));
    let Some(first) = text.chars().next() else {
        return error("the name is empty".into());
    };
    if text.len() > ZoneName::MAX {
        return error(format!("the name has {} bytes, {} is the most", text.len(), ZoneName::MAX));
    }
    if !first.is_ascii_alphanumeric() {
        return error(format!("{what} cannot begin with {first:?}"));
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        return error(format!("{what} cannot contain {bad:?}"));
    }
    Ok(())
}

/// The name of a manifest that is no zone's, such as an overlay's: as a zone name, and nothing is reserved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestName(String);

impl ManifestName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ManifestName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        plain_name(text, "a name").map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for ManifestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(
    ManifestName,
    "ManifestName",
    "^[A-Za-z0-9][-_.A-Za-z0-9]{0,62}$",
    "A name: letters, digits, `-`, `_`, `.`, the first a letter or digit."
);

text_type!(
    ZoneName,
    "ZoneName",
    "^[A-Za-z0-9][-_.A-Za-z0-9]{0,62}$",
    "The name of a zone: not `global`, not beginning with `SUNW`."
);

/// The name of a network interface of the host, by the kernel's own rule (`dev_valid_name`): 1 to 15 bytes, no
/// white space, no `/`, no `:`, not `.` or `..`. `%` is refused too, because the kernel reads it as a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// Longest name, in bytes (`IFNAMSIZ` less the ending zero).
    pub const MAX: usize = 15;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "the name of a bridge, such as `reeve0`: 1 to 15 bytes without spaces, `/`, `:` and `%`";
        if text.is_empty() {
            return Err(TextError::new("the name is empty", RULE));
        }
        if text.len() > Self::MAX {
            return Err(TextError::new(format!("the name has {} bytes, {} is the most", text.len(), Self::MAX), RULE));
        }
        if text == "." || text == ".." {
            return Err(TextError::new(format!("`{text}` cannot be an interface"), RULE));
        }
        let bad = |c: &char| !c.is_ascii_graphic() || matches!(c, '/' | ':' | '%');
        if let Some(bad) = text.chars().find(bad) {
            return Err(TextError::new(format!("an interface name cannot contain {bad:?}"), RULE));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(
    LinkName,
    "LinkName",
    "^[!-$&-.0-9;-~]{1,15}$",
    "The name of a network interface of the host, such as `reeve0`."
);

/// A host name that a zone gets: labels of letters, digits and `-` (RFC 1123), joined by dots, at most 64 bytes in
/// all (`__NEW_UTS_LEN`, sethostname(2)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

impl Hostname {
    /// Longest host name, in bytes.
    pub const MAX: usize = 64;

    /// The host name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hostname {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str =
            "labels of letters, digits and inner `-`, joined by dots, at most 64 bytes in all (RFC 1123)";
        if text.len() > Self::MAX {
            return Err(TextError::new(
                format!("the host name has {} bytes, {} is the most", text.len(), Self::MAX),
                RULE,
            ));
        }
        for label in text.split('.') {
            if label.is_empty() {
                return Err(TextError::new("a label of the host name is empty", RULE));
            }
            if label.len() > 63 {
                return Err(TextError::new(format!("the label `{label}` is longer than 63 bytes"), RULE));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(TextError::new(format!("the label `{label}` begins or ends with `-`"), RULE));
            }
            if let Some(bad) = label.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-')) {
                return Err(TextError::new(format!("a host name cannot contain {bad:?}"), RULE));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_type!(
    Hostname,
    "Hostname",
    r"^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*$",
    "A host name (RFC 1123), at most 64 bytes."
);

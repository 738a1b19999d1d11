//! Which addresses of git repositories are followed. Only those over which nobody but the repository's own host, and root
//! here, can decide what arrives: a path, `file://`, `https://` and ssh. git knows more, one of which runs any command.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How a repository is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder of this host.
    Local(PathBuf),
    /// `https://`.
    Https(String),
    /// `ssh://`, or `USER@HOST:PATH`.
    Ssh(String),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Refused`] for a protocol that is not followed, for one with a password in it, and for what could be taken
    /// for something else; each says why, and what would be right.
    pub fn parse(url: &str) -> Result<Self> {
        let refused = |why: &str| Err(Error::refused(format!("the source {:?} is refused: {why}", shown(url))));
        if url.is_empty() || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refused("an address has no white space or control characters, and is not empty");
        }
        if url.starts_with('-') {
            return refused("it would be taken for an option");
        }
        if let Some(rest) = url.strip_prefix("file://") {
            return Self::local(url, rest);
        }
        if let Some((scheme, rest)) = url.split_once("://") {
            return match scheme {
                "https" => Self::https(url, rest),
                "ssh" => Self::ssh(url, rest),
                "http" | "git" => refused(
                    "whoever is between the two hosts could change what arrives; use https:// or ssh://, which prove who answers",
                ),
                _ => refused("the protocol is not followed; use https://, ssh:// or a path"),
            };
        }
        if url.contains("::") {
            return refused("NAME::ADDRESS makes git run the program git-remote-NAME; use https://, ssh:// or a path");
        }
        if url.starts_with('/') {
            return Self::local(url, url);
        }
        match url.split_once(':') {
            Some((host, path)) if !host.contains('/') && !path.is_empty() => Self::ssh(url, &format!("{host}/{path}")),
            _ => refused("a path must be absolute; other addresses are https://HOST/PATH and ssh://USER@HOST/PATH"),
        }
    }

    fn local(url: &str, path: &str) -> Result<Self> {
        let path = Path::new(path);
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            let why = "a path must be absolute and without `..`";
            return Err(Error::refused(format!("the source {:?} is refused: {why}", shown(url))));
        }
        Ok(Self::Local(path.to_owned()))
    }

    fn https(url: &str, rest: &str) -> Result<Self> {
        let host = authority(url, rest)?;
        if host.contains('@') {
            let why = "a name or password in an address ends up in lists and logs; write `https: {username, tokenFile}` instead";
            return Err(Error::refused(format!("the source at {:?} is refused: {why}", without_user(host))));
        }
        Ok(Self::Https(url.to_owned()))
    }

    fn ssh(url: &str, rest: &str) -> Result<Self> {
        let host = authority(url, rest)?;
        let (user, name) = host.rsplit_once('@').unwrap_or(("", host));
        // ssh would take either for an option.
        if user.starts_with('-')
            || name.starts_with('-')
            || rest.split_once('/').is_some_and(|(_, p)| p.starts_with('-'))
        {
            let why = "a user, host or path that begins with `-` would be taken for an option";
            return Err(Error::refused(format!("the source {:?} is refused: {why}", shown(url))));
        }
        if user.contains(':') {
            let why = "a password in an address ends up in lists and logs; use a key (`ssh: {identityFile}`)";
            return Err(Error::refused(format!("the source at {:?} is refused: {why}", without_user(host))));
        }
        Ok(Self::Ssh(url.to_owned()))
    }

    /// The protocol, as GIT_ALLOW_PROTOCOL (git(1)) names it: git may use no other, also where it is sent elsewhere.
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Local(_) => "file",
            Self::Https(_) => "https",
            Self::Ssh(_) => "ssh",
        }
    }

    /// The address as git takes it.
    pub fn url(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Https(url) | Self::Ssh(url) => url.trim_end_matches('/').to_owned(),
        }
    }
}

/// The part with user, host and port.
fn authority<'u>(url: &str, rest: &'u str) -> Result<&'u str> {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.ends_with('@') {
        return Err(Error::refused(format!("the source {:?} is refused: it names no host", shown(url))));
    }
    Ok(host)
}

/// An address without what may be a password.
fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.split_once('/') {
            Some((host, path)) => format!("{scheme}://{}/{path}", without_user(host)),
            None => format!("{scheme}://{}", without_user(rest)),
        },
        None => url.to_owned(),
    }
}

fn without_user(host: &str) -> &str {
    match host.rsplit_once('@') {
        Some((user, name)) if user.contains(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followed() {
        for (url, protocol) in [
            ("/srv/zones.git", "file"),
            ("file:///srv/zones.git", "file"),
            ("https://git.example.org/zones.git", "https"),
            ("https://git.example.org:8443/a/zones.git/", "https"),
            ("ssh://git@git.example.org:2222/zones.git", "ssh"),
            ("git@git.example.org:zones.git", "ssh"),
            ("git.example.org:zones.git", "ssh"),
        ] {
            assert_eq!(Address::parse(url).expect(url).protocol(), protocol, "{url}");
        }
    }

    #[test]
    fn refused() {
        for (url, why) in [
            ("", "empty"),
            ("-oProxyCommand=x", "option"),
            ("--upload-pack=x", "option"),
            ("ext::sh -c x", "white space"),
            ("ext::sh%20-c", "git-remote"),
            ("http://git.example.org/x", "https://"),
            ("git://git.example.org/x", "https://"),
            ("ftp://git.example.org/x", "not followed"),
            ("zones", "absolute"),
            ("../zones", "absolute"),
            ("file://host/../x", "absolute"),
            ("/srv/../etc", "without"),
            ("https://", "no host"),
            ("https://root:geheim@git.example.org/x", "tokenFile"),
            ("https://geheim@git.example.org/x", "tokenFile"),
            ("ssh://-oProxyCommand=x/y", "option"),
            ("ssh://a@-oProxyCommand=x/y", "option"),
            ("-x@host:y", "option"),
            ("host:-x", "option"),
            ("ssh://git:geheim@git.example.org/x", "identityFile"),
            ("/srv/a\nb", "control"),
        ] {
            let said = Address::parse(url).expect_err(url).to_string();
            assert!(said.contains(why), "{url:?}: {said}");
            assert!(!said.contains("geheim") || url.starts_with("https://geheim@"), "{said}");
        }
    }
}

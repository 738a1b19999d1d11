//! Decodes a host's configuration.

use std::net::SocketAddr;

use super::monitoring::monitoring;
use super::{Document, absolute, at_most, head, labels};
use crate::configuration::{
    Configuration, Hook, HostIdentity, Https, Owner, Publish, SecretsConfiguration, SourceConfiguration, Ssh, Trust,
    VerifyMode,
};
use crate::name::Hostname;
use crate::node::{Node, Value};
use crate::path;
use crate::quantity::{Quantity, TimeSpan};
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may, must};
use crate::source::Report;
use crate::text::TextError;

pub(super) const DOCUMENT: Shape = Shape {
    name: "ConfigurationDocument",
    what: "a configuration",
    fields: &[
        must("apiVersion", "reeve.dev/v1alpha1"),
        must("kind", "Configuration"),
        must("spec", "{host: {name: web1}}"),
    ],
    later: &[],
    foreign: &[("metadata", "nothing: a host has one configuration")],
};

pub(super) const SPEC: Shape = Shape {
    name: "Configuration",
    what: "a configuration's spec",
    fields: &[
        may("host", "{name: web1}"),
        may("source", "{url: \"https://git.example.org/zones.git\"}"),
        may("trust", "{allowedSigners: /etc/reeve/allowed-signers}"),
        may("secrets", "{ageIdentity: /etc/reeve/age.key}"),
        may("monitoring", "{listen: [\"127.0.0.1:9680\"]}"),
        may("publish", "{path: /srv/reeve/web1.json, keyFile: /etc/reeve/publish.key}"),
    ],
    later: &[],
    foreign: &[("metrics", "`monitoring:`"), ("notifications", "`monitoring: {receivers: [...]}`")],
};

pub(super) const PUBLISH: Shape = Shape {
    name: "Publish",
    what: "`publish`",
    fields: &[must("path", "/srv/reeve/web1.json"), must("keyFile", "/etc/reeve/publish.key"), may("every", "5m")],
    later: &[],
    foreign: &[("interval", "`every:`"), ("key", "`keyFile:` with a file that has it")],
};

pub(super) const HOST: Shape = Shape {
    name: "HostIdentity",
    what: "`host`",
    fields: &[may("name", "web1"), may("labels", "{site: berlin}")],
    later: &[],
    foreign: &[],
};

pub(super) const SOURCE: Shape = Shape {
    name: "SourceConfiguration",
    what: "a source",
    fields: &[
        must("url", "\"https://git.example.org/zones.git\""),
        may("branch", "main"),
        may("tag", "v1.0"),
        may("commit", "\"4b825dc642cb6eb9a060e54bf8d69288fbee4904\""),
        may("path", "zones"),
        may("poll", "60s"),
        may("timeout", "60s"),
        may("maxSize", "512Mi"),
        may("allowEmpty", "true"),
        may("ssh", "{identityFile: /etc/reeve/ssh/id_ed25519}"),
        may("https", "{tokenFile: /etc/reeve/token}"),
        may("hook", "{listen: \"0.0.0.0:8420\", secretFile: /etc/reeve/hook-secret}"),
    ],
    later: &[],
    foreign: &[
        ("ref", "`branch:`, `tag:` or `commit:`"),
        ("revision", "`branch:`, `tag:` or `commit:`"),
        ("interval", "`poll:`"),
        ("webhook", "`hook:`"),
    ],
};

pub(super) const SSH: Shape = Shape {
    name: "Ssh",
    what: "`ssh`",
    fields: &[may("identityFile", "/etc/reeve/ssh/id_ed25519"), may("knownHostsFile", "/etc/reeve/ssh/known_hosts")],
    later: &[],
    foreign: &[],
};

pub(super) const HTTPS: Shape = Shape {
    name: "Https",
    what: "`https`",
    fields: &[may("caFile", "/etc/reeve/ca.pem"), may("username", "reeve"), may("tokenFile", "/etc/reeve/token")],
    later: &[],
    foreign: &[("password", "`tokenFile:` with a file that has it"), ("token", "`tokenFile:` with a file that has it")],
};

pub(super) const HOOK: Shape = Shape {
    name: "Hook",
    what: "`hook`",
    fields: &[must("listen", "\"0.0.0.0:8420\""), must("secretFile", "/etc/reeve/hook-secret")],
    later: &[],
    foreign: &[("secret", "`secretFile:` with a file that has it")],
};

pub(super) const TRUST: Shape = Shape {
    name: "Trust",
    what: "`trust`",
    fields: &[
        may("allowedSigners", "/etc/reeve/allowed-signers"),
        may("revokedKeys", "/etc/reeve/revoked-keys"),
        may("gpgKeyring", "/etc/reeve/keys.gpg"),
        may("verify", "all"),
        may("from", "\"4b825dc642cb6eb9a060e54bf8d69288fbee4904\""),
        may("owners", "[{signers: [ann@example.org], paths: [\"zones/**\"]}]"),
    ],
    later: &[],
    foreign: &[],
};

pub(super) const OWNER: Shape = Shape {
    name: "Owner",
    what: "an owner",
    fields: &[must("signers", "[ann@example.org]"), must("paths", "[\"zones/**\"]"), may("zones", "[\"web-*\"]")],
    later: &[],
    foreign: &[],
};

pub(super) const SECRETS: Shape = Shape {
    name: "SecretsConfiguration",
    what: "`secrets`",
    fields: &[may("ageIdentity", "/etc/reeve/age.key")],
    later: &[],
    foreign: &[],
};

/// Which commits must be signed.
pub(super) const VERIFY_MODES: [(&str, VerifyMode); 3] =
    [("all", VerifyMode::All), ("first-parent", VerifyMode::FirstParent), ("head", VerifyMode::Head)];

/// Fewer bytes than this, for a fetch, are a forgotten unit.
const LEAST_SIZE: u64 = 1 << 20;
/// The most rules of ownership, and the most items of one.
const OWNERS_MAX: usize = 1000;

/// Reads a configuration's document. `None` if it has a problem.
pub(crate) fn configuration(node: &Node, report: &mut Report) -> Option<Configuration> {
    let mut r = Reader::new(report, Document::Configuration.as_str());
    head(&mut r, node, &[Document::Configuration])?;
    let map = r.object(node, &DOCUMENT)?;
    map.required(&mut r, "spec", spec)
}

/// Decodes `spec`.
fn spec(r: &mut Reader, node: &Node) -> Option<Configuration> {
    let map = r.object(node, &SPEC)?;
    let host = map.or_default(r, "host", host);
    let source = map.optional(r, "source", source);
    let trust = map.or_default(r, "trust", trust);
    let secrets = map.or_default(r, "secrets", |r, node| {
        let map = r.object(node, &SECRETS)?;
        Some(SecretsConfiguration { age_identity: map.optional(r, "ageIdentity", absolute)? })
    });
    let monitoring = map.or_default(r, "monitoring", monitoring);
    let publish = map.optional(r, "publish", publish);
    Some(Configuration {
        host: host?,
        source: source?,
        trust: trust?,
        secrets: secrets?,
        monitoring: monitoring?,
        publish: publish?,
    })
}

/// Decodes `host`.
fn host(r: &mut Reader, node: &Node) -> Option<HostIdentity> {
    let map = r.object(node, &HOST)?;
    let name = map.optional(r, "name", |r, node| r.parsed::<Hostname>(node));
    let labels = map.or_default(r, "labels", labels);
    Some(HostIdentity { name: name?.map(|name| name.as_str().to_owned()), labels: labels? })
}

/// Decodes `source`.
fn source(r: &mut Reader, node: &Node) -> Option<SourceConfiguration> {
    let map = r.object(node, &SOURCE)?;
    let url = map.required(r, "url", |r, node| r.parsed_by(node, url));
    let branch = map.optional(r, "branch", |r, node| r.parsed_by(node, reference));
    let tag = map.optional(r, "tag", |r, node| r.parsed_by(node, reference));
    let commit = map.optional(r, "commit", |r, node| r.parsed_by(node, object));
    let one = one_reference(r, &map);
    let path = map.optional(r, "path", |r, node| {
        let example = r.example().to_owned();
        r.parsed_by(node, |text| path::check_relative(text, &example).map(|()| text.to_owned()))
    });
    let poll = map.optional(r, "poll", |r, node| r.parsed(node));
    let timeout = map.optional(r, "timeout", |r, node| r.parsed_by(node, timeout));
    let max_size = map.optional(r, "maxSize", |r, node| r.parsed_by(node, max_size));
    let allow_empty = map.or_default(r, "allowEmpty", |r, node| r.truth(node));
    let ssh = map.or_default(r, "ssh", ssh);
    let https = map.or_default(r, "https", https);
    let hook = map.optional(r, "hook", hook);
    one?;
    Some(SourceConfiguration {
        url: url?,
        branch: branch?,
        tag: tag?,
        commit: commit?,
        path: path?,
        poll: poll?.unwrap_or_else(SourceConfiguration::default_poll),
        timeout: timeout?.unwrap_or_else(SourceConfiguration::default_timeout),
        max_size: max_size?.unwrap_or_else(SourceConfiguration::default_max_size),
        allow_empty: allow_empty?,
        ssh: ssh?,
        https: https?,
        hook: hook?,
    })
}

/// At most one of `branch`, `tag` and `commit` is there.
fn one_reference(r: &mut Reader, map: &Object) -> Option<()> {
    let given: Vec<&str> = ["branch", "tag", "commit"].into_iter().filter(|key| map.key(key).is_some()).collect();
    let [first, second, ..] = given.as_slice() else { return Some(()) };
    let place = map.key(second)?;
    let message = format!("`{first}` and `{second}` contradict each other");
    r.at(second, |r| r.problem(place, message, "at most one of `branch`, `tag` and `commit`"));
    None
}

/// What is followed. Which protocols are taken is the reconciler's to say.
fn url(text: &str) -> Result<String, TextError> {
    const RULE: &str =
        "an absolute path, `https://HOST/PATH`, `ssh://USER@HOST/PATH`, `USER@HOST:PATH` or `file:///PATH`";
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        return Err(TextError::new(format!("`{text}` is no place of a repository"), RULE));
    }
    Ok(text.to_owned())
}

/// A name of a branch or tag that git would take (git-check-ref-format(1)).
fn reference(text: &str) -> Result<String, TextError> {
    const RULE: &str = "a name as git takes it, such as `main` or `release/1.2`";
    let bad_character = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let what = if text.is_empty() {
        "the name is empty".to_owned()
    } else if text.starts_with('-') {
        format!("`{text}` begins with `-`")
    } else if let Some(bad) = text.chars().find(|c| bad_character(*c)) {
        format!("the name of a branch or tag cannot contain {bad:?}")
    } else if let Some(bad) = ["..", "//", "@{", "/."].into_iter().find(|bad| text.contains(bad)) {
        format!("the name of a branch or tag cannot contain `{bad}`")
    } else if text == "@" || text.starts_with(['/', '.']) || text.ends_with(['/', '.']) {
        format!("`{text}` is no name of a branch or tag")
    } else if text.split('/').any(|part| part.ends_with(".lock")) {
        "the name of a branch or tag cannot end in `.lock`".to_owned()
    } else if text.starts_with("refs/") {
        let short = text.rsplit('/').next().unwrap_or_default();
        return Err(TextError::new(
            format!("`{text}` is written in full"),
            format!("the name alone, such as `{short}`"),
        ));
    } else {
        return Ok(text.to_owned());
    };
    Err(TextError::new(what, RULE))
}

/// The name of a commit.
fn object(text: &str) -> Result<String, TextError> {
    if matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(text.to_owned());
    }
    let help = "all 40 (or 64) lower-case hexadecimal digits of a commit, as `git rev-parse` prints them";
    Err(TextError::new(format!("`{text}` is no commit's whole name"), help))
}

/// How long a fetch may take.
fn timeout(text: &str) -> Result<TimeSpan, TextError> {
    let span: TimeSpan = text.parse()?;
    if span.millis() < 1000 {
        return Err(TextError::new(format!("`{text}` is shorter than 1s"), "from `1s` to `1h`"));
    }
    Ok(span)
}

/// How much a fetch may bring.
fn max_size(text: &str) -> Result<Quantity, TextError> {
    let size: Quantity = text.parse()?;
    if size.bytes() < LEAST_SIZE {
        let message = format!("hardly a repository comes in {} bytes", size.bytes());
        return Err(TextError::new(message, "at least `1Mi`; is the unit missing?"));
    }
    Ok(size)
}

/// Decodes `publish`.
fn publish(r: &mut Reader, node: &Node) -> Option<Publish> {
    let map = r.object(node, &PUBLISH)?;
    let path = map.required(r, "path", absolute);
    let key_file = map.required(r, "keyFile", absolute);
    let every = map.optional(r, "every", |r, node| r.parsed(node));
    Some(Publish { path: path?, key_file: key_file?, every: every?.unwrap_or_else(Publish::default_every) })
}

/// Decodes `source.ssh`.
fn ssh(r: &mut Reader, node: &Node) -> Option<Ssh> {
    let map = r.object(node, &SSH)?;
    let identity_file = map.optional(r, "identityFile", absolute);
    let known_hosts_file = map.optional(r, "knownHostsFile", absolute);
    Some(Ssh { identity_file: identity_file?, known_hosts_file: known_hosts_file? })
}

/// Decodes `source.https`.
fn https(r: &mut Reader, node: &Node) -> Option<Https> {
    let map = r.object(node, &HTTPS)?;
    let ca_file = map.optional(r, "caFile", absolute);
    let username = map.optional(r, "username", |r, node| r.parsed_by(node, word));
    let token_file = map.optional(r, "tokenFile", absolute);
    Some(Https { ca_file: ca_file?, username: username?, token_file: token_file? })
}

/// Decodes `source.hook`.
fn hook(r: &mut Reader, node: &Node) -> Option<Hook> {
    let map = r.object(node, &HOOK)?;
    let listen = map.required(r, "listen", |r, node| r.parsed_by(node, listen));
    let secret_file = map.required(r, "secretFile", absolute);
    Some(Hook { listen: listen?, secret_file: secret_file? })
}

/// An address and port to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, TextError> {
    let help = "an IP address and a port, such as `0.0.0.0:8420` or `[::1]:8420`";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(TextError::new(format!("`{text}` is no address to listen on"), help)),
    }
}

/// Decodes `trust`: what is verified needs keys to verify it with.
fn trust(r: &mut Reader, node: &Node) -> Option<Trust> {
    let map = r.object(node, &TRUST)?;
    let allowed_signers = map.optional(r, "allowedSigners", absolute);
    let revoked_keys = map.optional(r, "revokedKeys", absolute);
    let gpg_keyring = map.optional(r, "gpgKeyring", absolute);
    let verify = map.or_default(r, "verify", |r, node| r.choice(node, "way to verify", &VERIFY_MODES));
    let from = map.optional(r, "from", |r, node| r.parsed_by(node, object));
    let owners = map.or_default(r, "owners", owners);
    needs_signers(r, &map)?;
    Some(Trust {
        allowed_signers: allowed_signers?,
        revoked_keys: revoked_keys?,
        gpg_keyring: gpg_keyring?,
        verify: verify?,
        from: from?,
        owners: owners?,
    })
}

/// Notes fields that mean nothing, because nobody's signature is asked for: who wrote them believes himself protected.
fn needs_signers(r: &mut Reader, map: &Object) -> Option<()> {
    let (ssh, any) = (map.key("allowedSigners").is_some(), map.key("gpgKeyring").is_some());
    let help = "`allowedSigners:` or `gpgKeyring:` too, with the keys of those who may sign";
    let ssh_help = "`allowedSigners:` too; keys of OpenPGP are revoked in the keyring";
    let needs = [
        ("revokedKeys", ssh, "no SSH key may sign", ssh_help),
        ("verify", ssh || any, "no signer is configured", help),
        ("from", ssh || any, "no signer is configured", help),
        ("owners", ssh || any, "no signer is configured", help),
    ];
    let mut whole = Some(());
    for (key, fulfilled, why, help) in needs {
        let Some(place) = map.key(key).filter(|_| !fulfilled) else { continue };
        // Written out, the default says nothing more than its absence.
        if key == "verify" && map.node(key).is_some_and(|node| node.value == Value::Text("all".into())) {
            continue;
        }
        r.at(key, |r| r.problem(place, format!("`{key}` has no effect: {why}"), help));
        whole = None;
    }
    whole
}

/// Decodes `trust.owners`.
fn owners(r: &mut Reader, node: &Node) -> Option<Vec<Owner>> {
    at_most(r, node, OWNERS_MAX)?;
    r.list(node, |r, node| {
        let map = r.object(node, &OWNER)?;
        let signers = map.required(r, "signers", |r, node| filled(r, node, word));
        let paths = map.required(r, "paths", |r, node| filled(r, node, path_pattern));
        let zones = map.optional(r, "zones", |r, node| filled(r, node, zone_pattern));
        Some(Owner { signers: signers?, paths: paths?, zones: zones?.unwrap_or_default() })
    })
}

/// A list of texts that has one at least.
fn filled(
    r: &mut Reader,
    node: &Node,
    parse: impl Fn(&str) -> Result<String, TextError> + Copy,
) -> Option<Vec<String>> {
    at_most(r, node, OWNERS_MAX)?;
    if node.value == Value::List(Vec::new()) {
        let help = format!("such as {}", r.example());
        r.problem(node.place, "the list is empty", help);
        return None;
    }
    r.list(node, |r, node| r.parsed_by(node, parse))
}

/// A name of somebody: one line that is not empty.
fn word(text: &str) -> Result<String, TextError> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(TextError::new("this is no name", "one line of text, such as `ann@example.org`"));
    }
    Ok(text.to_owned())
}

/// A pattern of files in the repository.
fn path_pattern(text: &str) -> Result<String, TextError> {
    path::check_relative(text, "`zones/**`")?;
    if path::parts(text).any(|part| part.contains("**") && part != "**") {
        let message = format!("`{text}` has `**` within a name");
        return Err(TextError::new(message, "`**` between slashes, for any folders; `*` for a part of a name"));
    }
    Ok(text.to_owned())
}

/// A pattern of zones' names.
fn zone_pattern(text: &str) -> Result<String, TextError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
    if text.is_empty() || !text.chars().all(good) {
        return Err(TextError::new(format!("`{text}` fits no zone's name"), "a name or pattern, such as `web-*`"));
    }
    Ok(text.to_owned())
}

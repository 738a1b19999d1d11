//! What a host is told about itself, in a file of its own that is never in the repository of manifests: its name and
//! labels, which git repository it follows, whom it trusts, and what opens its secrets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode;
use crate::load::{Limits, SourceFile, small_enough};
use crate::manifest::ApiVersion;
use crate::name::Hostname;
use crate::node::documents;
use crate::problem::Problem;
use crate::quantity::{Interval, Quantity, TimeSpan};
use crate::source::{Place, Report, Spot};

/// Reads a host's configuration: a file with exactly one document of `kind: Configuration`.
///
/// # Errors
/// Every problem of the file, sorted by place.
pub fn load(file: &SourceFile, limits: &Limits) -> Result<Configuration, Vec<Problem>> {
    let mut report = Report::new([file].into(), limits.problems);
    let mut configuration = None;
    if small_enough(0, file, file.text.len(), limits, &mut report) {
        let documents = documents(0, file, limits, &mut report);
        if let Some(second) = documents.get(1) {
            let spot = Spot { place: second.place, field: String::new() };
            report.add(spot, "a configuration is one document, this is another", "one file with one document");
        }
        match documents.first() {
            Some(node) => configuration = decode::configuration(node, &mut report),
            None if report.is_empty() => {
                let help = "`apiVersion: reeve.dev/v1alpha1`, `kind: Configuration`, `spec: {...}`";
                let spot = Spot { place: Place::start(0), field: String::new() };
                report.add(spot, "the file has no configuration in it", help);
            }
            None => {}
        }
    }
    match configuration {
        Some(configuration) if report.is_empty() => Ok(configuration),
        _ => Err(report.finish()),
    }
}

/// The file: one YAML document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigurationDocument {
    /// Always `reeve.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// Always `Configuration`.
    pub kind: ConfigurationKind,
    /// What the host is told.
    pub spec: Configuration,
}

/// The kind of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConfigurationKind {
    /// A host's configuration.
    #[default]
    Configuration,
}

/// The spec of a `kind: Configuration` document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Configuration {
    /// Who this host is.
    pub host: HostIdentity,
    /// The git repository that is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceConfiguration>,
    /// Whose commits are applied.
    pub trust: Trust,
    /// What opens secrets.
    pub secrets: SecretsConfiguration,
    /// Whom the controller tells how it is.
    pub monitoring: Monitoring,
    /// Where the controller publishes what it observes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<Publish>,
}

/// What the controller publishes of the host, for plans that are made elsewhere (`reeve plan --observed`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publish {
    /// The file that is written, an absolute path.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
    /// The private SSH key that signs it, an absolute path; one without a passphrase.
    #[schemars(regex(pattern = r"^/"))]
    pub key_file: String,
    /// How often it is written when nothing changed, so that its age tells whether the host is there: 1s to 24h, default 5m.
    #[serde(default = "Publish::default_every")]
    pub every: Interval,
}

impl Publish {
    /// The `every` of a configuration that has none.
    #[must_use]
    pub fn default_every() -> Interval {
        Interval::from_millis(300_000)
    }
}

/// Who a host is: what `hosts` selectors and overlays are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostIdentity {
    /// Its name, as a host name is written (RFC 1123); none: the kernel's (uname(2), `nodename`).
    #[schemars(with = "Option<Hostname>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels; they stand before those of a `kind: Host` manifest of this name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A git repository that is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceConfiguration {
    /// Where it is: an absolute path, `file://`, `https://`, `ssh://` or `USER@HOST:PATH`.
    pub url: String,
    /// The branch to follow; at most one of `branch`, `tag` and `commit`. With none, the one that the repository's HEAD names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The tag to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The one commit to apply, 40 or 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit: Option<String>,
    /// The folder of manifests in it; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How often it is asked whether something changed: 1s to 24h, default 60s, each time up to a tenth more or less.
    #[serde(default = "SourceConfiguration::default_poll")]
    pub poll: Interval,
    /// How long a fetch may take: 1s to 1h, default 60s.
    #[serde(default = "SourceConfiguration::default_timeout")]
    pub timeout: TimeSpan,
    /// The most bytes that one fetch may bring: from 1Mi, default 512Mi.
    #[serde(default = "SourceConfiguration::default_max_size")]
    pub max_size: Quantity,
    /// Whether a commit without any manifest may follow one that has some: default false, so that an emptied folder
    /// halts nothing.
    #[serde(default)]
    pub allow_empty: bool,
    /// How it is reached over ssh.
    #[serde(default)]
    pub ssh: Ssh,
    /// How it is reached over https.
    #[serde(default)]
    pub https: Https,
    /// An HTTP endpoint that makes the next look come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
}

impl SourceConfiguration {
    /// The `poll` of a configuration that has none.
    #[must_use]
    pub fn default_poll() -> Interval {
        Interval::from_millis(60_000)
    }

    /// The `timeout` of a configuration that has none.
    #[must_use]
    pub fn default_timeout() -> TimeSpan {
        TimeSpan::from_millis(60_000)
    }

    /// The `maxSize` of a configuration that has none.
    #[must_use]
    pub fn default_max_size() -> Quantity {
        Quantity::from_bytes(512 << 20).expect("a good amount")
    }

    /// A source of which only the place is said.
    #[must_use]
    pub fn at(url: String) -> Self {
        Self {
            url,
            branch: None,
            tag: None,
            commit: None,
            path: None,
            poll: Self::default_poll(),
            timeout: Self::default_timeout(),
            max_size: Self::default_max_size(),
            allow_empty: false,
            ssh: Ssh::default(),
            https: Https::default(),
            hook: None,
        }
    }
}

/// How a repository is reached over ssh. Host keys are always checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ssh {
    /// The private key, an absolute path; none: ssh's own choice for root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub identity_file: Option<String>,
    /// The keys of hosts (sshd(8), `SSH_KNOWN_HOSTS FILE FORMAT`), an absolute path; none: ssh's own files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub known_hosts_file: Option<String>,
}

/// How a repository is reached over https. Certificates are always checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Https {
    /// Certificates of authorities (PEM) instead of the system's, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub ca_file: Option<String>,
    /// The name that goes with the token; none: `git`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file with the token or password, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub token_file: Option<String>,
}

/// An HTTP endpoint, `POST /hooks/source`, signed as GitHub, Gitea and Forgejo sign (`X-Hub-Signature-256`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// A file with the secret of the signatures, an absolute path.
    #[schemars(regex(pattern = r"^/"))]
    pub secret_file: String,
}

/// Whose commits are applied. With neither `allowedSigners` nor `gpgKeyring` anybody's are, and the other fields may
/// not be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Trust {
    /// Who may sign with which SSH key, and when (ssh-keygen(1), `ALLOWED SIGNERS`), an absolute path outside the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub allowed_signers: Option<String>,
    /// SSH keys that may not (any more): a key revocation list or public keys (ssh-keygen(1), `-r`), an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub revoked_keys: Option<String>,
    /// Public keys of OpenPGP signers, as `gpg --export` writes them, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub gpg_keyring: Option<String>,
    /// Which commits must be signed.
    pub verify: VerifyMode,
    /// A commit that is trusted as it is, from which on everything is verified; 40 or 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub from: Option<String>,
    /// Who may change what; none: every signer everything. A change that no rule allows is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
}

/// Which commits between the accepted one and a new one must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyMode {
    /// Every one that can be reached from the new one and not from the accepted one.
    #[default]
    All,
    /// Those of the branch itself: of a merge only the merge.
    FirstParent,
    /// The newest alone.
    Head,
}

/// A rule of who may change what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// Principals as `allowedSigners` names them, or fingerprints of OpenPGP keys.
    pub signers: Vec<String>,
    /// Files from the top of the repository on, as patterns: `*` within a name, `**` over folders.
    pub paths: Vec<String>,
    /// Names of zones, as patterns (`web-*`): of the files only manifests of these zones may be changed. None: everything in
    /// the files, Host and Overlay manifests included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
}

/// What opens secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SecretsConfiguration {
    /// The host's age identities (age-keygen(1)), an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub age_identity: Option<String>,
}

/// Whom a host's controller tells how it is with its zones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Monitoring {
    /// Addresses and ports on which metrics are told over HTTP (`/metrics`), beside the socket in the run folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<SocketAddr>,
    /// Who is sent notifications.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receivers: Vec<Receiver>,
}

/// Somebody who is sent a notification, by an HTTP POST, of each condition that lasts, and when it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receiver {
    /// Where to: `https://` or `http://`.
    #[schemars(regex(pattern = r"^https?://[^/]"))]
    pub url: String,
    /// What is sent.
    #[serde(default)]
    pub form: NotificationForm,
    /// The conditions that are told of; none: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<NotifiedCondition>,
    /// How long one must last before it is told of, and be over before that is: up to 1h, default 1m.
    #[serde(default = "Receiver::default_after")]
    pub after: TimeSpan,
    /// A file with the secret of the signatures (`X-Reeve-Signature-256`), an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
    pub secret_file: Option<String>,
}

impl Receiver {
    /// The `after` of a receiver that has none.
    #[must_use]
    pub fn default_after() -> TimeSpan {
        TimeSpan::from_millis(60_000)
    }
}

/// The form of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NotificationForm {
    /// Reeve's own document.
    #[default]
    Generic,
    /// That of Slack's incoming webhooks, which others take as well.
    Slack,
    /// That of Alertmanager's `/api/v2/alerts`.
    Alertmanager,
}

/// The conditions that somebody may be told of; SourceVerified and SourceFresh when they are False, the others when True.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "docs/states.md has what each condition means")]
pub enum NotifiedCondition {
    HaltBlocked,
    Drifted,
    Degraded,
    GaveUp,
    DriftReturning,
    AwaitingConfirmation,
    SourceVerified,
    SourceFresh,
}

impl NotifiedCondition {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::HaltBlocked,
        Self::Drifted,
        Self::Degraded,
        Self::GaveUp,
        Self::DriftReturning,
        Self::AwaitingConfirmation,
        Self::SourceVerified,
        Self::SourceFresh,
    ];

    /// The condition's type, as statuses have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HaltBlocked => "HaltBlocked",
            Self::Drifted => "Drifted",
            Self::Degraded => "Degraded",
            Self::GaveUp => "GaveUp",
            Self::DriftReturning => "DriftReturning",
            Self::AwaitingConfirmation => "AwaitingConfirmation",
            Self::SourceVerified => "SourceVerified",
            Self::SourceFresh => "SourceFresh",
        }
    }
}

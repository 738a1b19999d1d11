//! What is wanted of one zone, as the planner needs it: the manifest as a document with its defaults filled in, and
//! the few fields of it that decide where the zone goes. A recorded manifest is read by the same functions.

use std::path::Path;
use std::sync::Arc;

use reeve_schema::manifest::{Approval, CrashLoop, Drift, Health, Init, Net, Restart, Zone};
use reeve_schema::quantity::TimeSpan;
use reeve_schema::{Deletion, DesiredState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lifecycle::ZoneState;

/// One zone as its manifest wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The name.
    pub name: String,
    /// The manifest ([`Zone`] as JSON), with `spec.zonepath` and `spec.hostname` filled in.
    pub manifest: Arc<Value>,
    /// Digest of the manifest.
    pub digest: String,
    /// Where the manifest came from, for people: a path or a commit.
    pub source: Option<String>,
    /// Which secret that it names could not be had on this host, why, and what to do. What is wanted is not whole then, so
    /// that the zone is left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

impl Wanted {
    /// What a manifest wants. `zonepaths` is the folder of the zonepaths that no manifest names; `digest` is that of
    /// the manifest as it was loaded.
    pub fn new(zone: &Zone, digest: &str, source: Option<String>, zonepaths: &str) -> Self {
        let mut manifest = serde_json::to_value(zone).expect("a manifest is always a JSON document");
        if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
            // Filled in, so that writing a default down is no change of the zone.
            spec.insert("zonepath".into(), zone.zonepath(zonepaths).into());
            spec.insert("hostname".into(), zone.hostname().into());
        }
        Wanted {
            name: zone.name().to_string(),
            manifest: Arc::new(manifest),
            digest: digest.to_owned(),
            source,
            unavailable: None,
        }
    }

    /// The state that the manifest wants.
    pub fn goal(&self) -> ZoneState {
        goal(&self.manifest)
    }
}

/// The manifest as its type.
///
/// # Errors
/// Where the document is none, e.g. one that another version recorded.
pub fn typed(manifest: &Value) -> Result<Zone, serde_json::Error> {
    Zone::deserialize(manifest)
}

/// A field of the manifest, by its path; `None` where it is not there or is not a `T`. (`Value::pointer` would do, but
/// takes a third of the time of planning a quiet zone.)
fn field<T: DeserializeOwned>(manifest: &Value, path: &[&str]) -> Option<T> {
    at(manifest, path).and_then(|value| T::deserialize(value).ok())
}

fn at<'a>(manifest: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(manifest, |value, key| value.get(key))
}

/// The file of a source that is written `FILE:LINE`.
pub fn source_file(source: &str) -> &str {
    match source.rsplit_once(':') {
        Some((file, line)) if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) => file,
        _ => source,
    }
}

/// Whether a source (`FILE:LINE`) is the file `path`, or below the folder `path`. Both are absolute; what symbolic links
/// are in them was resolved by whoever read the manifests.
pub fn is_from(source: &str, path: &str) -> bool {
    Path::new(source_file(source)).starts_with(path)
}

/// `spec.state`; running where the manifest does not say.
pub fn goal(manifest: &Value) -> ZoneState {
    match field(manifest, &["spec", "state"]).unwrap_or_default() {
        DesiredState::Installed => ZoneState::Installed,
        DesiredState::Ready => ZoneState::Ready,
        DesiredState::Running => ZoneState::Running,
    }
}

/// `spec.deletion`; halt where the manifest does not say, or says what this version does not know.
pub fn deletion(manifest: &Value) -> Deletion {
    field(manifest, &["spec", "deletion"]).unwrap_or_default()
}

/// `spec.drift`; the default where the manifest does not say.
pub fn drift(manifest: &Value) -> Drift {
    field(manifest, &["spec", "drift"]).unwrap_or_default()
}

/// `spec.init`, for who needs nothing else of the manifest; the default where there is none.
///
/// # Errors
/// Where it is no init, e.g. one that another version recorded.
pub fn init(manifest: &Value) -> Result<Init, serde_json::Error> {
    at(manifest, &["spec", "init"]).map_or_else(|| Ok(Init::default()), Init::deserialize)
}

/// The digest of a variable's value, where it is a secret whose value was read on the host.
pub fn secret_value(variable: &Value) -> Option<&str> {
    variable.get("value").and_then(Value::as_str)
}

/// `spec.init.restart`; always where the manifest does not say.
pub fn restart_policy(manifest: &Value) -> Restart {
    field(manifest, &["spec", "init", "restart"]).unwrap_or_default()
}

/// `spec.init.crashLoop`.
pub fn crash_loop(manifest: &Value) -> CrashLoop {
    field(manifest, &["spec", "init", "crashLoop"]).unwrap_or_default()
}

/// `spec.init.haltTimeout` in milliseconds.
pub fn halt_timeout_ms(manifest: &Value) -> u64 {
    let default = Init::default_halt_timeout;
    u64::from(field::<TimeSpan>(manifest, &["spec", "init", "haltTimeout"]).unwrap_or_else(default).millis())
}

/// `spec.approval`, where there is one.
pub fn approval(manifest: &Value) -> Option<Approval> {
    field(manifest, &["spec", "approval"])
}

/// `spec.net`; empty where there is none.
pub fn net(manifest: &Value) -> Vec<Net> {
    field(manifest, &["spec", "net"]).unwrap_or_default()
}

/// A zone that another needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name.
    pub zone: String,
    /// Whether it is to be healthy, and not only to run.
    pub healthy: bool,
}

/// The zones that `spec.dependsOn` names.
pub fn depends_on(manifest: &Value) -> Vec<Need> {
    let Some(all) = at(manifest, &["spec", "dependsOn"]).and_then(Value::as_array) else { return Vec::new() };
    let one = |one: &Value| {
        let healthy = one.get("until").and_then(Value::as_str) == Some("healthy");
        Some(Need { zone: one.get("zone")?.as_str()?.to_owned(), healthy })
    };
    all.iter().filter_map(one).collect()
}

/// `spec.health`, where there is one that this version knows.
pub fn health(manifest: &Value) -> Option<Health> {
    Health::deserialize(at(manifest, &["spec", "health"])?).ok()
}

/// `spec.zonepath`.
pub fn zonepath(manifest: &Value) -> Option<&str> {
    at(manifest, &["spec", "zonepath"]).and_then(Value::as_str)
}

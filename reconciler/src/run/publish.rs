//! Publishing what is observed (`spec.publish`), for plans that are made elsewhere: after a pass in which something changed,
//! and now and then when nothing does, so that its age tells whether the host is there.

use std::path::Path;
use std::time::{Duration, Instant};

use reeve_schema::configuration::Publish;
use reeve_state::Timestamp;
use reeve_state::snapshot::{FORMAT_VERSION, Snapshot, SnapshotKind};

use super::engine::Engine;
use crate::error::Result;
use crate::pass::Aim;
use crate::published;

/// The shortest time between two looks at whether something changed: each takes all zones together.
const LEAST: Duration = Duration::from_secs(5);

/// What is to be published, and what was.
pub struct Publisher {
    to: Publish,
    /// When it was last looked at whether something changed, and after which pass.
    looked: Option<(Instant, u64)>,
    /// When it was last written, and the digest of what it said.
    written: Option<(Instant, String)>,
    /// What went wrong last.
    told: Option<String>,
}

impl Publisher {
    /// Nothing was published yet.
    pub fn new(to: Publish) -> Self {
        Self { to, looked: None, written: None, told: None }
    }

    /// When there may be something to write, after so many passes; `now` where that is at once.
    pub fn due(&self, passes: u64, now: Instant) -> Option<Instant> {
        let every = self.to.every.duration();
        let least = LEAST.min(every);
        match (self.looked, &self.written) {
            _ if passes == 0 => None,
            (None, _) => Some(now),
            (Some((looked, pass)), _) if pass != passes => Some(looked + least),
            (Some((looked, _)), None) => Some(looked + every),
            // A time that is over and was not met, because it could not be written, is no reason to try all the time.
            (Some((looked, _)), Some((written, _))) => Some((*written + every).max(looked + least)),
        }
    }
}

impl Engine {
    /// Writes what is to be published, where that is due.
    pub(super) async fn publish_if_due(&mut self) {
        let now = Instant::now();
        let due = self.publisher.as_ref().and_then(|publisher| publisher.due(self.passes, now));
        if due.is_none_or(|due| now < due) {
            return;
        }
        let snapshot = self.snapshot();
        let passes = self.passes;
        let Some(publisher) = &mut self.publisher else { return };
        publisher.looked = Some((now, passes));
        let (to, every) = (publisher.to.clone(), publisher.to.every.duration());
        let last = publisher.written.clone();
        let said = last.filter(|(written, _)| now.duration_since(*written) < every).map(|(_, said)| said);
        let done = tokio::task::spawn_blocking(move || write_if_new(snapshot, &to, said));
        let done = match done.await {
            Ok(done) => done,
            Err(error) => return tracing::error!("publishing ended in the middle: {error}"),
        };
        let failed = match done {
            Ok(written) => {
                if let Some(said) = written {
                    publisher.written = Some((now, said));
                }
                None
            }
            Err(error) => Some(format!("what is observed could not be published: {error}")),
        };
        if failed != publisher.told {
            publisher.told.clone_from(&failed);
            if let Some(failed) = failed {
                self.say(None, failed);
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let source = match &self.world.aim {
            Aim::Manifests { source, .. } => source.to_string_lossy().into_owned(),
            Aim::Down { .. } => String::new(),
        };
        Snapshot {
            format_version: FORMAT_VERSION.into(),
            kind: SnapshotKind::ObservedState,
            host: self.me.name.clone(),
            labels: self.me.labels.clone(),
            at: crate::store::now(),
            commit: self.world.commit.clone(),
            source,
            zonepaths: self.host.places().zonepaths(),
            facts: self.world.facts.clone(),
            recorded: self.world.recorded.clone(),
            policies: self.world.policies().clone(),
            approvals: self.world.approvals().clone(),
        }
    }
}

/// Writes the snapshot, if it says something else than `said`; the digest of what it says, where it was written.
fn write_if_new(snapshot: Snapshot, to: &Publish, said: Option<String>) -> Result<Option<String>> {
    let snapshot = snapshot.redacted();
    let mut timeless = snapshot.clone();
    (timeless.at, timeless.facts.observed_at) = (Timestamp(0), Timestamp(0));
    let says = serde_json::to_value(&timeless).map(|value| reeve_schema::digest_of(&value)).unwrap_or_default();
    if said.is_some_and(|said| said == says) {
        return Ok(None);
    }
    published::publish(&snapshot, Path::new(&to.key_file), Path::new(&to.path))?;
    Ok(Some(says))
}

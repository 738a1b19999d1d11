//! Where the manifests come from, and what tells that they changed: a folder that is watched, or a git repository that a task
//! of its own looks at ([`Upstream`]): now and then, and at once when somebody says that there is something new.

use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use reeve_state::source::SourceStatus;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::watch::Watch;
use crate::controller::Tell;
use crate::repository::{InForce, Look, Repository};

/// See the module.
pub enum Feed {
    /// A folder, or one file.
    Folder {
        /// Where it is.
        path: PathBuf,
        /// What tells of its changes.
        watch: Watch,
    },
    /// A git repository.
    Repository(Upstream),
}

/// What a feed tells.
pub enum Fed {
    /// Manifests in the folder changed.
    Changed,
    /// The repository was looked at.
    Found(Box<Found>),
}

/// What came of looking at the repository.
pub struct Found {
    /// What is in force from now on, where that is something else than before.
    pub new: Option<InForce>,
    /// How it is with the source.
    pub status: SourceStatus,
    /// Why what was in force before cannot be read any more.
    pub error: Option<String>,
    /// Who waits for this.
    pub asked: Vec<UnboundedSender<Tell>>,
}

impl Feed {
    /// The name of the source, as locks, zones and controllers have it.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::Folder { path, .. } => path.clone(),
            Self::Repository(upstream) => PathBuf::from(&upstream.name),
        }
    }

    /// The next thing that it tells.
    pub async fn next(&mut self) -> Fed {
        match self {
            Self::Folder { watch, .. } => {
                watch.changed().await;
                Fed::Changed
            }
            Self::Repository(upstream) => match upstream.found.recv().await {
                Some(found) => Fed::Found(found),
                None => std::future::pending().await,
            },
        }
    }
}

/// Somebody says that there is something new; whoever waits for the look is told by this.
pub type Hint = Option<UnboundedSender<Tell>>;

/// The task that looks at a repository.
pub struct Upstream {
    name: String,
    hints: UnboundedSender<Hint>,
    found: UnboundedReceiver<Box<Found>>,
}

impl Upstream {
    /// Starts it. What was in force before is the first that it tells; then it looks at once.
    pub fn start(repository: Repository, poll: Duration) -> Self {
        let (hints, hinted) = unbounded_channel();
        let (tell, found) = unbounded_channel();
        let name = repository.name();
        tokio::spawn(follow(repository, poll, hinted, tell));
        Self { name, hints, found }
    }

    /// What hints are sent by.
    pub fn hints(&self) -> UnboundedSender<Hint> {
        self.hints.clone()
    }
}

async fn follow(
    repository: Repository,
    poll: Duration,
    mut hinted: UnboundedReceiver<Hint>,
    tell: UnboundedSender<Box<Found>>,
) {
    let Some((mut repository, first)) = blocking(repository, Repository::in_force).await else { return };
    let (new, error) = match first {
        Ok(new) => (new, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let status = repository.status().clone();
    if tell.send(Box::new(Found { new, status, error, asked: Vec::new() })).is_err() {
        return;
    }
    let mut asked = Vec::new();
    let mut is_hinted = false;
    loop {
        let Some((back, look)) = blocking(repository, move |repository| repository.look(is_hinted)).await else {
            return;
        };
        repository = back;
        let new = match look {
            Look::New(new) => Some(*new),
            Look::Same => None,
        };
        let (status, asked_now) = (repository.status().clone(), std::mem::take(&mut asked));
        if tell.send(Box::new(Found { new, status, error: None, asked: asked_now })).is_err() {
            return;
        }
        tokio::select! {
            hint = hinted.recv() => {
                let Some(hint) = hint else { return };
                is_hinted = true;
                asked.extend(hint);
                // What was said meanwhile is answered by the same look.
                while let Ok(hint) = hinted.try_recv() {
                    asked.extend(hint);
                }
            }
            () = tokio::time::sleep(jittered(poll)) => is_hinted = false,
        }
    }
}

/// Does what blocks on a thread of its own; none where that thread ended in the middle, which is a fault of the program.
async fn blocking<T: Send + 'static>(
    mut repository: Repository,
    does: impl FnOnce(&mut Repository) -> T + Send + 'static,
) -> Option<(Repository, T)> {
    let done = tokio::task::spawn_blocking(move || {
        let done = does(&mut repository);
        (repository, done)
    });
    done.await.inspect_err(|error| tracing::error!("the look at the repository ended in the middle: {error}")).ok()
}

/// Up to a tenth more or less, so that many hosts do not ask at once.
fn jittered(poll: Duration) -> Duration {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    poll.mul_f64(0.9 + 0.2 * (random % 1000) as f64 / 1000.0)
}

//! Being told that the manifests changed. Editors write a file in several steps, and between two of them it may be empty
//! or cut; so a file that is being written is waited for, and events that come together make one pass.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::error::{Error, Result};
use crate::source::{is_encrypted, is_manifest};

/// Events that come within this time of each other belong together.
const TOGETHER: Duration = Duration::from_millis(3);
/// The longest that a file which is being written holds the pass up.
const WRITING_MAX: Duration = Duration::from_millis(500);

/// A watch on a folder of manifests and the folders in it.
pub struct Watch {
    source: PathBuf,
    watcher: RecommendedWatcher,
    events: UnboundedReceiver<notify::Result<notify::Event>>,
    /// Files that somebody is writing, since when.
    writing: HashMap<PathBuf, Instant>,
    /// When the manifests are to be read again.
    due: Option<Instant>,
    /// How often events were lost since somebody asked.
    lost: AtomicU64,
}

impl Watch {
    /// Watches `source`, a folder or one file.
    ///
    /// # Errors
    /// When inotify cannot be had (fs.inotify.max_user_instances, max_user_watches).
    pub fn new(source: &Path) -> Result<Self> {
        let (tell, events) = unbounded_channel();
        let handler = move |event| drop(tell.send(event));
        let failed = |error: notify::Error| Error::refused(format!("{} cannot be watched: {error}", source.display()));
        let mut watcher = notify::recommended_watcher(handler).map_err(failed)?;
        watcher.watch(watched(source), mode(source)).map_err(failed)?;
        // Tells when another folder takes the place of this one, which it is too late to learn from itself.
        if let (true, Some(parent)) = (source.is_dir(), source.parent()) {
            watcher.watch(parent, RecursiveMode::NonRecursive).map_err(failed)?;
        }
        Ok(Self {
            source: source.to_owned(),
            watcher,
            events,
            writing: HashMap::new(),
            due: None,
            lost: AtomicU64::new(0),
        })
    }

    /// Watches again, after the folder was replaced by another of its name.
    fn renew(&mut self) {
        let _ = self.watcher.unwatch(watched(&self.source));
        let _ = self.watcher.watch(watched(&self.source), mode(&self.source));
    }

    /// Returns when the manifests are to be read again.
    pub async fn changed(&mut self) {
        loop {
            let event = match self.due {
                Some(due) => match tokio::time::timeout_at(due.into(), self.events.recv()).await {
                    Ok(event) => event,
                    Err(_) => {
                        self.due = None;
                        self.writing.clear();
                        return;
                    }
                },
                None => self.events.recv().await,
            };
            match event {
                Some(Ok(event)) => self.note(&event),
                // An error may mean that events were lost: read everything.
                Some(Err(error)) => {
                    tracing::warn!("watching {}: {error}", self.source.display());
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    self.due = Some(Instant::now() + TOGETHER);
                }
                None => std::future::pending().await,
            }
        }
    }

    /// How often events were lost since this was asked last.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    fn note(&mut self, event: &notify::Event) {
        let now = Instant::now();
        if event.need_rescan() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        let about_manifests =
            event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(|p| self.counts(p));
        if !about_manifests {
            return;
        }
        let comes = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)));
        if comes && event.paths.contains(&self.source) {
            self.renew();
        }
        match event.kind {
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
                for path in &event.paths {
                    self.writing.entry(path.clone()).or_insert(now);
                }
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => {
                // An empty file is one that a shell has opened for somebody who is about to write it.
                let is_empty = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| found.len() == 0);
                self.writing.retain(|path, _| !event.paths.contains(path) || is_empty(path));
            }
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Name(_)) => self.writing.retain(|path, _| !event.paths.contains(path)),
            _ => {}
        }
        let held_until = self.writing.values().min().map(|since| *since + WRITING_MAX);
        self.due = Some(held_until.unwrap_or(now + TOGETHER).max(now + TOGETHER));
    }

    /// Whether a path may be a manifest, a file that one names, or a folder of them.
    fn counts(&self, path: &Path) -> bool {
        let folder = watched(&self.source);
        // Beside the folder there may be anything.
        let Ok(below) = path.strip_prefix(folder) else { return path == self.source };
        let hidden = below.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        !hidden
            && (is_manifest(path)
                || is_encrypted(path)
                || path.extension().is_none()
                || path.is_dir()
                || path == self.source)
    }
}

/// A file is watched by its folder: most editors put another in its place.
fn watched(source: &Path) -> &Path {
    if source.is_file() { source.parent().unwrap_or(source) } else { source }
}

fn mode(source: &Path) -> RecursiveMode {
    if source.is_file() { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive }
}

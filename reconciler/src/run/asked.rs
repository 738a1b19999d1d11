//! What others ask of a controller over its socket, and what they are told.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::control::Asked;
use super::engine::Engine;
use super::feed::Feed;
use super::happening::Happening;
use super::settle;
use crate::controller::{Ask, ControllerInfo, Tell};
use crate::error::Result;
use crate::pass::Scope;
use crate::store::zone::ZoneFiles;

/// Somebody who waits for the end of a pass and its walks.
pub(super) struct Follower {
    pub tell: UnboundedSender<Tell>,
    pub until: Instant,
}

impl Engine {
    pub(super) async fn asked(&mut self, asked: Asked, feed: &Feed) {
        let answer = match asked.ask {
            Ask::Info => Tell::Info(ControllerInfo {
                pid: std::process::id() as i32,
                source: feed.name(),
                since: self.since,
                passes: self.passes,
                zones: self.world.facts.zones.len(),
            }),
            Ask::Pass { patience_ms } => {
                self.why = "asked";
                self.reload(feed).await;
                if let Some(problem) = &self.problem {
                    Tell::Error(problem.clone())
                } else {
                    self.scope = Scope::All;
                    for entry in self.zones.values_mut() {
                        (entry.failures, entry.until) = (0, None);
                    }
                    if let Ok(mut listeners) = self.listeners.lock() {
                        listeners.push(asked.tell.clone());
                    }
                    let until = Instant::now().checked_add(Duration::from_millis(patience_ms));
                    let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
                    self.followers.push(Follower { tell: asked.tell, until });
                    return;
                }
            }
            Ask::Look { zone } => {
                // A halt by hand that got stuck is the controller's from here on.
                if self.world.state(&zone).is_some_and(reeve_state::ZoneState::is_halting) {
                    self.try_again(&zone);
                }
                self.scope.look(&zone);
                Tell::Done
            }
            Ask::Retry { zone } => self.retry(&zone),
            Ask::Reload => {
                self.why = "asked";
                self.reload(feed).await;
                Tell::Done
            }
            Ask::Notify { wait } => match feed {
                Feed::Repository(upstream) => {
                    let hint = wait.then(|| asked.tell.clone());
                    match upstream.hints().send(hint) {
                        Ok(()) if wait => return,
                        Ok(()) => Tell::Done,
                        Err(_) => {
                            Tell::Error("the repository is not looked at any more; restart the controller".into())
                        }
                    }
                }
                Feed::Folder { path, .. } => {
                    let path = path.display();
                    Tell::Error(format!("the controller follows the folder {path}, whose changes it sees by itself"))
                }
            },
        };
        let _ = asked.tell.send(answer);
    }

    fn retry(&mut self, zone: &str) -> Tell {
        if !self.world.facts.zones.contains_key(zone) && !self.world.wanted.contains_key(zone) {
            return Tell::Error(format!("there is no zone {zone}"));
        }
        match self.forgive(zone) {
            Ok(()) => Tell::Done,
            Err(error) => Tell::Error(error.to_string()),
        }
    }

    /// Forgets what its init did and what of it drifted up to now, and tries the zone again. One that somebody works on is put off
    /// until that is over, as its end is noted from what was known before.
    pub(super) fn forgive(&mut self, zone: &str) -> Result<()> {
        if self.zones.get(zone).is_some_and(|entry| entry.busy) {
            self.retries.insert(zone.to_owned());
            return Ok(());
        }
        let files = ZoneFiles::new(self.host.places(), zone);
        let kept = files.amend(self.host.boot_id(), |memory| {
            memory.policy.forgive();
            true
        })?;
        // One waits for all who ask meanwhile.
        if kept.is_none() && files.run().is_dir() && self.retries.insert(zone.to_owned()) {
            self.when_free(zone, Happening::Retry { zone: zone.to_owned() });
        }
        if let Some(entry) = self.zones.get_mut(zone) {
            (entry.failures, entry.until) = (0, None);
        }
        self.why = "retry";
        self.scope.look(zone);
        Ok(())
    }

    /// Does a retry that was put off.
    pub(super) fn retry_put_off(&mut self, zone: &str) {
        if self.retries.remove(zone)
            && let Err(error) = self.forgive(zone)
        {
            tracing::warn!("zone {zone}: {error}");
        }
    }

    /// Answers those who wait for everything to be settled.
    pub(super) fn serve_followers(&mut self) {
        if self.followers.is_empty() || !self.scope.is_empty() {
            return;
        }
        let (settled, now) = (settle::is_settled(self), Instant::now());
        let (done, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.followers).into_iter().partition(|follower| settled || follower.until <= now);
        self.followers = left;
        for follower in done {
            if let Ok(mut listeners) = self.listeners.lock() {
                listeners.retain(|listener| !listener.same_channel(&follower.tell));
            }
            let _ = follower.tell.send(Tell::Outcome(settle::outcome(self)));
        }
    }
}

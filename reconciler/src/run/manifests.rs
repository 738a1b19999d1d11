//! Taking in what is wanted: from the folder or the repository into what the passes work towards. What has a problem is told and
//! changes nothing; where nothing could be read yet, what is configured stays wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use reeve_state::approval::Approvals;
use reeve_state::plan::{Hold, ZonePlan};
use reeve_state::source::{Rejected, SourceStatus, short};
use reeve_state::wanted::Wanted;

use super::engine::Engine;
use super::feed::{Fed, Feed, Found};
use crate::controller::Tell;
use crate::desired;
use crate::progress::Notice;
use crate::removal;
use crate::repository::InForce;
use crate::source::{self, LoadError};

impl Engine {
    /// Reads for the first time.
    pub(super) async fn begin(&mut self, feed: &mut Feed) {
        match feed {
            Feed::Folder { .. } => self.reload(feed).await,
            // What was in force before; the repository itself is looked at after that.
            Feed::Repository(_) => {
                let fed = feed.next().await;
                self.fed(fed, feed).await;
            }
        }
        let is_blind = match feed {
            Feed::Folder { .. } => self.problem.is_some(),
            Feed::Repository(_) => self.in_force.is_none(),
        };
        if is_blind {
            // Else their zones would be taken for ones whose manifests are gone.
            self.world.wanted = desired::configured(&self.host, &feed.name());
        }
    }

    /// Takes in what a feed tells.
    pub(super) async fn fed(&mut self, fed: Fed, feed: &Feed) {
        match fed {
            Fed::Changed => {
                self.why = "manifests";
                if let Feed::Folder { watch, .. } = feed {
                    let lost = watch.take_lost();
                    self.board.change(|told| (0..lost).for_each(|_| told.counters.overflowed("manifests")));
                }
                self.reload(feed).await;
            }
            Fed::Found(found) => self.found(*found).await,
        }
    }

    /// Reads the manifests again, and the secrets that they name.
    pub(super) async fn reload(&mut self, feed: &Feed) {
        match feed {
            Feed::Folder { path, .. } => self.reload_folder(path).await,
            Feed::Repository(_) => {
                if let Some(in_force) = self.in_force.clone() {
                    self.want(in_force).await;
                }
            }
        }
    }

    async fn reload_folder(&mut self, source: &Path) {
        let (path, host, me) = (source.to_owned(), self.host.clone(), self.me.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            source::load(&[path], &me, &host.places().zonepaths())
                .map(|set| (desired::wanted_here(&set, &host), desired::approvals(&set)))
        });
        match loaded.await {
            Ok(Ok((wanted, approved))) => {
                if let Some(refused) = self.refused_removal(source, &wanted) {
                    if self.problem.as_ref() != Some(&refused) {
                        self.say(None, refused.clone());
                        self.event(None, "RemovalRefused", refused.clone(), None);
                    }
                    self.problem = Some(refused);
                    return;
                }
                if self.problem.take().is_some() {
                    self.tell(Notice::Problems(Vec::new()));
                }
                self.accept(wanted, approved);
            }
            Ok(Err(LoadError::Problems(problems))) => {
                self.problem = Some(problems.to_string());
                self.tell(Notice::Problems(problems.0));
            }
            Ok(Err(LoadError::Read(error))) => {
                self.problem = Some(error.to_string());
                self.say(
                    None,
                    format!("the manifests cannot be read: {error}; what was accepted before stays in force"),
                );
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
    }

    /// Why these manifests are not taken in, where too many would be gone with them.
    fn refused_removal(&self, source: &Path, wanted: &BTreeMap<String, Wanted>) -> Option<String> {
        let removal =
            removal::refused(&self.host, source, &self.world.wanted, wanted).filter(|_| !self.allow_removals)?;
        let digest = &removal.digest;
        Some(format!(
            "{}; nothing is changed by that; if it is meant: reeve approve removal {digest}",
            removal.message()
        ))
    }

    /// Takes in what a look at the repository came to.
    async fn found(&mut self, found: Found) {
        let Found { new, status, error, asked } = found;
        if let Some(error) = error {
            self.say(None, error);
        }
        let before = self.source.replace(status.clone()).unwrap_or_default();
        if let Some(new) = new {
            self.why = "commit";
            let info = &new.accepted.info;
            if before.accepted.as_ref().is_some_and(|old| old.info.commit != info.commit) || self.in_force.is_none() {
                let message = format!("{}: {}", info.author, info.subject);
                self.say(None, format!("commit {} is in force: {message}", info.short()));
                self.event(None, "SourceAccepted", message, Some(info.commit.clone()));
            }
            let in_force = Arc::new(new);
            self.in_force = Some(Arc::clone(&in_force));
            self.want(in_force).await;
        }
        self.tell_source(&before, &status);
        self.waiting.extend(asked);
    }

    /// Answers those who wait for a look at the repository. After the pass that takes in what it came to, so that what zones say of
    /// themselves is about that commit.
    pub(super) fn answer_waiting(&mut self) {
        for tell in std::mem::take(&mut self.waiting) {
            let _ = tell.send(Tell::Source(Box::new(self.source.clone().unwrap_or_default())));
        }
    }

    /// Says what is new about the source itself.
    fn tell_source(&mut self, before: &SourceStatus, now: &SourceStatus) {
        let same = |old: &Rejected, new: &Rejected| old.info.commit == new.info.commit && old.reason == new.reason;
        match (&before.rejected, &now.rejected) {
            (Some(old), Some(new)) if same(old, new) => {}
            (_, Some(new)) => {
                let message = format!("{}: {:?}: {}", new.info.author, new.reason, new.message);
                self.say(None, format!("commit {} is not applied: {message}", short(&new.info.commit)));
                if !new.problems.is_empty() {
                    self.tell(Notice::Problems(new.problems.clone()));
                }
                self.event(None, "SourceRejected", message, Some(new.info.commit.clone()));
            }
            (Some(old), None) if !old.problems.is_empty() => self.tell(Notice::Problems(Vec::new())),
            (_, None) => {}
        }
        match (&before.fetch.error, &now.fetch.error) {
            (None, Some(error)) => self.say(None, format!("{} cannot be fetched: {error}", now.url)),
            (Some(_), None) => self.say(None, format!("{} can be fetched again", now.url)),
            _ => {}
        }
        let claims = now.claims();
        if claims != self.world.source_claims {
            self.world.source_claims = claims;
            let names: Vec<String> = self.world.wanted.keys().cloned().collect();
            names.iter().for_each(|name| self.scope.think(name));
        }
    }

    async fn want(&mut self, in_force: Arc<InForce>) {
        let host = self.host.clone();
        let commit = in_force.accepted.info.commit.clone();
        let approved = desired::approvals(&in_force.set);
        match tokio::task::spawn_blocking(move || desired::wanted_here(&in_force.set, &host)).await {
            Ok(wanted) => {
                self.world.commit = Some(commit);
                self.accept(wanted, approved);
            }
            Err(error) => tracing::error!("reading what is wanted ended in the middle: {error}"),
        }
    }

    fn accept(&mut self, wanted: BTreeMap<String, Wanted>, approved: Approvals) {
        for (name, new) in &wanted {
            let told = self.world.wanted.get(name).and_then(|old| old.unavailable.as_ref());
            if let Some(why) = new.unavailable.as_ref().filter(|why| told != Some(*why)) {
                self.say(Some(name), format!("left as it is: {why}"));
            }
        }
        let now = crate::store::now();
        let names: BTreeSet<&String> = wanted.keys().chain(self.world.wanted.keys()).collect();
        for name in names {
            let (old, new) = (self.world.wanted.get(name), wanted.get(name));
            if old != new {
                // What is wanted when the controller starts is not what somebody waits for.
                if self.passes > 0 {
                    self.pending.insert(name.clone(), now);
                }
                self.scope.look(name);
                // A changed manifest is a reason to try at once.
                if let Some(entry) = self.zones.get_mut(name) {
                    (entry.failures, entry.until) = (0, None);
                }
            }
        }
        self.world.wanted = wanted;
        if self.world.approved != approved {
            self.world.approved = approved;
            let waits = |plan: &ZonePlan| plan.hold.as_ref().is_some_and(Hold::yields_to_approval);
            let waiting = self.world.plans.iter().filter(|(_, plan)| waits(plan));
            waiting.for_each(|(name, _)| self.scope.think(name));
        }
    }
}

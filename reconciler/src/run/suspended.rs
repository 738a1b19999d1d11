//! Suspensions that are over: what was said is cleared away and told. The planner heeds them no longer by itself.

use super::engine::Engine;
use crate::pass::Passed;
use crate::store::zone::ZoneFiles;

impl Engine {
    /// Clears suspensions away whose time is over, of the zones that were planned.
    pub(super) fn resume_the_expired(&mut self, passed: &Passed) {
        let now = crate::store::now();
        for zone in &passed.zones {
            let Some(memory) = self.world.memories.get_mut(zone) else { continue };
            let Some(over) = memory.policy.suspended.take_if(|suspension| suspension.is_over(now)) else { continue };
            let files = ZoneFiles::new(self.host.places(), zone);
            // Somebody may have suspended it anew since it was looked at.
            if files.suspension().as_ref() != Some(&over) {
                self.scope.look(zone);
                continue;
            }
            if let Err(error) = files.suspend(None) {
                tracing::warn!("zone {zone}: {error}");
            }
            self.world.resumed(zone);
            self.say(Some(zone), format!("resumed by itself, it was {}", over.words()));
            self.event(Some(zone), "SuspensionExpired", format!("it was {}", over.words()), None);
        }
    }
}

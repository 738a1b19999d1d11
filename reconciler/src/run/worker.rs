//! The task of one zone: walks it when told to, and listens to its zoneadmd in between.

use std::sync::Arc;
use std::time::Duration;

use reeve_kernel::wire::Event;
use reeve_state::plan::ZonePlan;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::ear::Ear;
use super::happening::Happening;
use crate::host::Host;
use crate::observe::ZoneSeen;
use crate::progress::Observer;
use crate::store::zone::ZoneFiles;
use crate::supervisor::Zoneadmd;
use crate::walk;

/// What a worker is told to do.
#[derive(Debug)]
pub enum Job {
    /// Walk this plan, which was made from what was seen.
    Walk(Box<(ZonePlan, ZoneSeen, Option<String>)>),
    /// Connect to the zoneadmd that runs, to hear what it tells.
    Connect(Box<ZoneSeen>),
}

/// What a worker is given once.
#[derive(Clone)]
pub struct Surroundings {
    /// The host.
    pub host: Host,
    /// Whom it tells what happened.
    pub tell: UnboundedSender<Happening>,
    /// Who is told of steps.
    pub observer: Observer,
    /// Leave to bring a zone up.
    pub up: Arc<Semaphore>,
    /// Leave to take one down.
    pub down: Arc<Semaphore>,
}

/// Runs until the engine drops its end of `jobs`.
pub async fn work(zone: String, around: Surroundings, mut jobs: UnboundedReceiver<Job>) {
    let mut zoneadmd: Option<Zoneadmd> = None;
    let mut ear: Option<Ear> = None;
    loop {
        tokio::select! {
            biased;
            job = jobs.recv() => {
                let Some(job) = job else { return };
                drop(ear.take());
                let (held, happening) = carry_out(&zone, &around, job, zoneadmd.take()).await;
                zoneadmd = held;
                ear = zoneadmd.as_ref().and_then(Ear::new);
                if around.tell.send(happening).is_err() {
                    return;
                }
            }
            () = Ear::heard(ear.as_ref()), if ear.is_some() => {
                let (events, gone) = hear(&mut zoneadmd);
                if gone {
                    ear = None;
                    zoneadmd = None;
                }
                if (gone || !events.is_empty())
                    && around.tell.send(Happening::Heard { zone: zone.clone(), events, gone }).is_err()
                {
                    return;
                }
            }
        }
    }
}

/// What zoneadmd told, and whether it is gone. Does not wait.
fn hear(zoneadmd: &mut Option<Zoneadmd>) -> (Vec<Event>, bool) {
    let Some(zoneadmd) = zoneadmd else { return (Vec::new(), true) };
    let gone = zoneadmd.drain().is_err();
    (zoneadmd.take_events(), gone)
}

async fn carry_out(
    zone: &str,
    around: &Surroundings,
    job: Job,
    held: Option<Zoneadmd>,
) -> (Option<Zoneadmd>, Happening) {
    let leave = match &job {
        Job::Walk(walk) if goes_down(&walk.0) => &around.down,
        _ => &around.up,
    };
    let _leave = leave.acquire().await;
    let (name, around) = (zone.to_owned(), around.clone());
    let done = tokio::task::spawn_blocking(move || match job {
        Job::Walk(walk) => {
            let (plan, seen, source) = *walk;
            let mut held = held;
            let walked = walk::walk(&around.host, &plan, seen, source.as_deref(), &mut held, &around.observer);
            let connected = held.is_some();
            (held, Happening::Walked { zone: name, walked: Box::new(walked), connected })
        }
        Job::Connect(seen) => connect(&around.host, name, *seen),
    });
    done.await.unwrap_or_else(|error| (None, Happening::Lost { zone: zone.to_owned(), error: error.to_string() }))
}

fn goes_down(plan: &ZonePlan) -> bool {
    use reeve_state::Transition::{Halt, Reboot, Stop};
    plan.path.iter().any(|transition| matches!(transition, Halt | Stop | Reboot))
}

/// Takes the connection up, and takes in what was not heard while there was none.
fn connect(host: &Host, zone: String, mut seen: ZoneSeen) -> (Option<Zoneadmd>, Happening) {
    let known = seen.facts.zoneadmd.known().map(|process| process.pid);
    let files = ZoneFiles::new(host.places(), &zone);
    let connected = (|| {
        let lock = files.lock()?;
        let (cgroup, halting) = (host.zoneadmd_cgroup()?, files.is_halting(host.boot_id()));
        let (zoneadmd, snapshot) = Zoneadmd::find_or_adopt(host.places(), &zone, cgroup, known, halting)?;
        Ok::<_, crate::Error>((zoneadmd, snapshot, lock))
    })();
    match connected {
        Ok((zoneadmd, snapshot, _lock)) => {
            seen.memory = files.memory(host.boot_id());
            if walk::note_snapshot(&mut seen.memory, &snapshot)
                && let Err(error) = files.remember_locked(&seen.memory)
            {
                tracing::warn!("zone {zone}: {error}");
            }
            (Some(zoneadmd), Happening::Connected { zone, wait: Duration::ZERO, error: None })
        }
        Err(error) => {
            let error = Some(error.to_string());
            (None, Happening::Connected { zone, wait: Duration::from_secs(1), error })
        }
    }
}

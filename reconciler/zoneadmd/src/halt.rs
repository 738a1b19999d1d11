//! Taking the zone down, in the order of the seed, [0067]: kill processes, unconfigure devices, unplumb interfaces,
//! unmount file systems, destroy what the kernel holds. Each step can be run again and passes over what is gone, so that
//! a halt goes on where an earlier one stopped, and does for the remains of a zone whose zsched was killed as well.
//!
//! From the first step on nothing can be started in the zone. A step that fails does not keep those that are safe without
//! it: devices and network go also where a process does not end, but no file system is taken from under a process, and
//! zsched does not end before everything is unmounted: mounts would go with it, busy or not.

use crate::steps::{self, Steps};
use crate::supervisor::{AGAIN_WITHIN, Supervisor};
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::netlink::{LinkEvents, Rtnl};
use reeve_kernel::observe::traces::{self, Left};
use reeve_kernel::platform::network;
use reeve_kernel::wire::{HaltOrder, StepName, Traces, ZschedReply, ZschedRequest};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long the kernel may take to clean a network namespace up, or to free a file system.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// When what is to be gone is first looked for again; then after twice as long, and so on.
const FIRST_LOOK: Duration = Duration::from_micros(100);

/// After how long a mount that is busy is tried again.
const UNMOUNT_AGAIN: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(4), Duration::from_millis(15), Duration::from_millis(40)];

/// Halts the zone. When this returns without an error nothing of it is left in the kernel.
pub fn halt(zone: &mut Supervisor, order: &HaltOrder, steps: &mut Steps) -> Result<()> {
    zone.halting = true;
    take_stock(zone, order);
    let done = halt_steps(zone, order, steps);
    zone.stuck = done.is_err();
    done
}

/// Notes what must be gone at the end: what was recorded when the platform was made, and what is mounted now.
fn take_stock(zone: &mut Supervisor, order: &HaltOrder) {
    let mark = &order.traces.mark;
    let known = &mut zone.traces;
    known.mark.clone_from(mark);
    for handle in &order.traces.namespaces {
        if !known.namespaces.contains(handle) {
            known.namespaces.push(handle.clone());
        }
    }
    // Recorded already, unless the journal was lost.
    let zsched = zone.zsched.as_ref().filter(|_| order.traces.superblocks.is_empty()).map(|zsched| zsched.process.pid);
    let mounted = zsched.into_iter().flat_map(|pid| traces::stores(pid, mark).unwrap_or_default());
    for device in order.traces.superblocks.iter().copied().chain(mounted) {
        if !known.superblocks.contains(&device) {
            known.superblocks.push(device);
        }
    }
}

fn halt_steps(zone: &mut Supervisor, order: &HaltOrder, steps: &mut Steps) -> Result<()> {
    // Init was asked to end the first time; what is left did not listen.
    let timeout = if zone.stuck { Duration::ZERO } else { Duration::from_millis(order.timeout.into()) };
    steps.attempt(StepName::KillProcesses, || kill_processes(zone, order.signal, timeout));
    steps.attempt(StepName::UnconfigureDevices, || {
        zone.console = None;
        self::order(zone, &ZschedRequest::UnconfigureDevices)
    });
    let mut rtnl = Rtnl::open()?;
    steps.attempt(StepName::Unplumb, || {
        network::set_host_ends_down(&mut rtnl, &zone.links)?;
        self::order(zone, &ZschedRequest::Unplumb)
    });
    steps.check()?;
    let mut detached = Vec::new();
    steps.run(StepName::Unmount, || {
        detached = unmount_patiently(zone, order.detach)?;
        Ok(())
    })?;
    steps.detached(detached);
    steps.run(StepName::Destroy, || destroy(zone))
}

/// A zsched that is gone has nothing left to do, whatever it was to do.
fn order(zone: &mut Supervisor, request: &ZschedRequest) -> Result<()> {
    if zone.zsched.is_none() {
        return Ok(());
    }
    zone.order(request).or_else(|error| unless_gone(zone, error))
}

/// An error that came because zsched ended under the halt is none.
fn unless_gone(zone: &mut Supervisor, error: Error) -> Result<()> {
    let closed = matches!(error.errno(), None | Some(Errno::PIPE | Errno::CONNRESET));
    if zone.zsched.is_none() || !closed || !matches!(zone.lost_zsched(), Ok(false)) {
        return Err(error);
    }
    zone.environment = None;
    Ok(())
}

/// Whoever looks at the zone from outside, Reeve's own controller as well, has its root or a file of it open for a moment.
fn unmount_patiently(zone: &mut Supervisor, detach: bool) -> Result<Vec<String>> {
    for pause in UNMOUNT_AGAIN {
        match unmount(zone, detach) {
            Err(error) if error.errno() == Some(Errno::BUSY) => {}
            unmounted => return unmounted,
        }
        // Nothing tells of it: this is a wait and no poll of anything.
        let _ = steps::poll(zone.teller(), &mut [], Instant::now() + pause);
    }
    unmount(zone, detach)
}

fn unmount(zone: &mut Supervisor, detach: bool) -> Result<Vec<String>> {
    if zone.zsched.is_none() {
        return Ok(Vec::new());
    }
    match zone.ask(&ZschedRequest::Unmount(detach), &[]) {
        Ok((ZschedReply::Unmounted(detached), _)) => Ok(detached),
        Ok((reply, _)) => Err(Error::new("ask", "Unmount", format!("zsched answered {reply:?}"))),
        Err(error) => unless_gone(zone, error).map(|()| Vec::new()),
    }
}

/// Asks init to end, then kills all that is left, in every leaf, whatever became of the one before.
fn kill_processes(zone: &mut Supervisor, signal: i32, timeout: Duration) -> Result<()> {
    let mut first = None;
    if zone.zsched.is_some() {
        first = zone.stop(signal, timeout).or_else(|error| unless_gone(zone, error)).err();
    }
    // An end that was asked for is not told as something that happened.
    zone.untold.clear();
    zone.spent.clear();
    (zone.next, zone.handed_over) = (None, None);
    let leaves: Vec<Cgroup> =
        ["env.", "login."].iter().flat_map(|prefix| zone.leaves(prefix)).map(|(_, l)| l).collect();
    for leaf in &leaves {
        leaf.kill()?;
    }
    for leaf in leaves {
        // All were killed at once, so that one wait is enough for all.
        let within = if first.is_some() { AGAIN_WITHIN } else { zone.killed_within() };
        if let Err(error) = empty(leaf, within) {
            // Who is left says more than that init did not end.
            first = Some(first.filter(|first| first.call() == "processes").unwrap_or(error));
        }
    }
    first.map_or(Ok(()), Err)
}

fn empty(leaf: Cgroup, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        match leaf.wait_empty(deadline.saturating_duration_since(Instant::now())) {
            Err(error) if error.errno() == Some(Errno::TIMEDOUT) => return Err(left_in(&leaf)),
            waited => waited?,
        }
        match leaf.remove() {
            // What zsched was just cloning into it dies as well.
            Err(error) if error.errno() == Some(Errno::BUSY) && Instant::now() < deadline => {}
            removed => return removed,
        }
    }
}

/// That processes which were killed are still there.
fn left_in(cgroup: &Cgroup) -> Error {
    let pids = cgroup.read("cgroup.procs").unwrap_or_default();
    let name = cgroup.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let pids: Vec<&str> = pids.lines().take(16).collect();
    Error::os("processes", format!("{} in {name}, killed", pids.join(" ")), Errno::TIMEDOUT)
}

fn destroy(zone: &mut Supervisor) -> Result<()> {
    let mut events = LinkEvents::open()?;
    if let Some(mut zsched) = zone.zsched.take() {
        zsched.channel.send(&ZschedRequest::Exit.to_bytes(), &[])?;
        let mut poll = [rustix::event::PollFd::new(&zsched.process.pidfd, rustix::event::PollFlags::IN)];
        let deadline = Instant::now() + zone.killed_within();
        let ended = steps::poll(zone.teller(), &mut poll, deadline).at("poll", "zsched")?;
        if ended == 0 {
            let error = zsched.silent();
            zsched.owed = zsched.owed.max(1);
            zone.zsched = Some(zsched);
            return Err(error);
        }
        // A child of this process has to be reaped by it; an adopted one is reaped by the host's init.
        let id = rustix::process::WaitId::PidFd(rustix::fd::AsFd::as_fd(&zsched.process.pidfd));
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
    }
    match Cgroup::open(&zone.cgroup) {
        Ok(cgroup) => {
            // Empty already, unless zsched was killed and something of the zone survived it so far.
            if cgroup.populated()? {
                cgroup.kill()?;
                if cgroup.wait_empty(zone.killed_within()).is_err() {
                    let args = cgroup.path().display().to_string();
                    return Err(Error::os("populated", args, Errno::TIMEDOUT));
                }
            }
            cgroup.remove()?;
        }
        Err(error) if error.errno() == Some(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    // The kernel cleans the network namespace up meanwhile.
    let _ = std::fs::remove_file(zone.run_folder().join("zsched.sock"));
    let left = if traces::file_system_left(&zone.traces).is_none() { traces::namespace_left } else { traces::left };
    wait_links_gone(zone, &mut events)?;
    wait_freed(zone, left)?;
    Ok(())
}

/// How long what zsched held may take to be gone with it.
fn gone_within(zone: &Supervisor) -> Duration {
    if zone.stuck { AGAIN_WITHIN } else { GONE_WITHIN }
}

/// Nothing of the zone may live on: a copy of a mount in another mount namespace, an open file or a working directory keeps
/// its file system in use, and with it the zone's files; an open or bound namespace keeps what is in it.
fn wait_freed(zone: &Supervisor, left: impl Fn(&Traces) -> Option<Left>) -> Result<()> {
    let deadline = Instant::now() + gone_within(zone).min(Duration::from_secs(1));
    let mut again = FIRST_LOOK;
    loop {
        let Some(left) = left(&zone.traces) else { return Ok(()) };
        let time = deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Err(Error::os(left.call(), left.object(), Errno::BUSY));
        }
        // Nothing tells of it: this is a wait and no poll of anything.
        let _ = steps::poll(zone.teller(), &mut [], Instant::now() + time.min(again));
        again *= 2;
    }
}

/// The links go with the network namespace, which the kernel cleans up after its last process. They leave the kernel's
/// list of links a grace period (15 ms) before it tells of it, so that the list is read again before the event comes.
fn wait_links_gone(zone: &Supervisor, events: &mut LinkEvents) -> Result<()> {
    let deadline = Instant::now() + gone_within(zone);
    let mut again = FIRST_LOOK;
    loop {
        let mut left_over = None;
        for name in &zone.links {
            left_over = left_over.or(network::has_link(name)?.then_some(name));
        }
        let Some(link) = left_over else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::os("link", link, Errno::TIMEDOUT));
        }
        let mut poll = [rustix::event::PollFd::new(&*events, rustix::event::PollFlags::IN)];
        steps::poll(zone.teller(), &mut poll, Instant::now() + left.min(again)).at("poll", "links")?;
        again *= 2;
        events.drain()?;
    }
}

//! Taking the zone down, in the order of the seed, [0067]: kill processes, unconfigure devices, unplumb interfaces,
//! unmount file systems, destroy what the kernel holds. Each step can be run again and passes over what is gone, so that
//! a halt goes on where an earlier one stopped, and does for the remains of a zone whose zsched was killed as well.

use crate::serve::Steps;
use crate::supervisor::{KILLED_WITHIN, Supervisor};
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::error::{Context, Error, Result};
use reeve_kernel::netlink::{LinkEvents, Rtnl};
use reeve_kernel::platform::network;
use reeve_kernel::wire::{StepName, ZschedRequest};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long the kernel may take to clean a network namespace up.
const NETWORK_GONE_WITHIN: Duration = Duration::from_secs(10);

/// When the list of links is first read again; then after twice as long, and so on.
const FIRST_LOOK: Duration = Duration::from_micros(300);

/// Halts the zone. When this returns without an error nothing of it is left in the kernel.
pub fn halt(zone: &mut Supervisor, signal: i32, timeout: Duration, steps: &mut Steps<'_>) -> Result<()> {
    steps.run(StepName::KillProcesses, || kill_processes(zone, signal, timeout))?;
    steps.run(StepName::UnconfigureDevices, || {
        zone.console = None;
        order(zone, &ZschedRequest::UnconfigureDevices)
    })?;
    let mut rtnl = Rtnl::open()?;
    steps.run(StepName::Unplumb, || {
        network::set_host_ends_down(&mut rtnl, &zone.links)?;
        order(zone, &ZschedRequest::Unplumb)
    })?;
    steps.run(StepName::Unmount, || order(zone, &ZschedRequest::Unmount))?;
    steps.run(StepName::Destroy, || destroy(zone, &mut rtnl))
}

/// A zsched that is gone has nothing left to do, whatever it was to do.
fn order(zone: &mut Supervisor, request: &ZschedRequest) -> Result<()> {
    if zone.zsched.is_none() {
        return Ok(());
    }
    zone.order(request)
}

fn kill_processes(zone: &mut Supervisor, signal: i32, timeout: Duration) -> Result<()> {
    if zone.zsched.is_some() {
        zone.stop(signal, timeout)?;
    }
    // An end that was asked for is not told as something that happened.
    zone.untold.clear();
    zone.spent.clear();
    for prefix in ["env.", "login."] {
        for (_, leaf) in zone.leaves(prefix) {
            leaf.kill()?;
            leaf.wait_empty(KILLED_WITHIN)?;
            leaf.remove()?;
        }
    }
    Ok(())
}

fn destroy(zone: &mut Supervisor, rtnl: &mut Rtnl) -> Result<()> {
    let mut events = LinkEvents::open()?;
    if let Some(zsched) = zone.zsched.take() {
        zsched.channel.send(&ZschedRequest::Exit.to_bytes(), &[])?;
        let mut poll = [rustix::event::PollFd::new(&zsched.process.pidfd, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec::try_from(KILLED_WITHIN).ok();
        let ended = rustix::event::poll(&mut poll, limit.as_ref()).at("poll", "zsched")?;
        if ended == 0 {
            let pid = zsched.process.pid;
            zone.zsched = Some(zsched);
            return Err(Error::os("wait", format!("zsched, pid {pid}"), Errno::TIMEDOUT));
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
                cgroup.wait_empty(KILLED_WITHIN)?;
            }
            cgroup.remove()?;
        }
        Err(error) if error.errno() == Some(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    wait_links_gone(zone, rtnl, &mut events)?;
    let _ = std::fs::remove_file(zone.run_folder().join("zsched.sock"));
    Ok(())
}

/// The links go with the network namespace, which the kernel cleans up after its last process. They leave the kernel's
/// list of links a grace period (15 ms) before it tells of it, so that the list is read again before the event comes.
fn wait_links_gone(zone: &Supervisor, rtnl: &mut Rtnl, events: &mut LinkEvents) -> Result<()> {
    let deadline = Instant::now() + NETWORK_GONE_WITHIN;
    let mut again = FIRST_LOOK;
    loop {
        let mut left_over = None;
        for name in &zone.links {
            left_over = left_over.or(rtnl.link_by_name(name)?.map(|link| link.name));
        }
        let Some(link) = left_over else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let args = format!("link {link} of {}", zone.adoption.alias);
            return Err(Error::os("wait", args, Errno::TIMEDOUT));
        }
        let mut poll = [rustix::event::PollFd::new(&*events, rustix::event::PollFlags::IN)];
        let timespec = rustix::event::Timespec::try_from(left.min(again)).ok();
        again *= 2;
        match rustix::event::poll(&mut poll, timespec.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::os("poll", "links", errno)),
        }
        events.drain()?;
    }
}

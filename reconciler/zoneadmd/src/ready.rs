//! Bringing the virtual platform up, in the order of the seed, [0045]: zsched, file systems, network interfaces, devices
//! and console, resource controls. (zoneadmd itself and the zone ID come before, from the controller.)

use crate::steps::Steps;
use crate::supervisor::{Process, Supervisor, Zsched};
use crate::zsched::{self, Start};
use reeve_kernel::cgroup::Cgroup;
use reeve_kernel::channel::Channel;
use reeve_kernel::error::{Context, Result};
use reeve_kernel::netlink::Rtnl;
use reeve_kernel::platform::namespaces::{Ending, Namespaces};
use reeve_kernel::platform::{controls, network};
use reeve_kernel::sys::{self, Fork};
use reeve_kernel::wire::{Adoption, PlatformSpec, StepName, ZschedRequest};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// Brings the platform of `spec` up. After an error nothing of it is left; what could not be taken back is in the error's
/// zone, which the caller halts.
pub fn ready(zone: &mut Supervisor, spec: &PlatformSpec, steps: &mut Steps) -> Result<()> {
    let cgroup = Cgroup::create(&zone.cgroup)?;
    // What zsched does without anything from here in between is asked for at once.
    let (network_ns, _helper) = steps
        .run(StepName::Zsched, || start_zsched(zone, spec, &[ZschedRequest::Hello, ZschedRequest::FileSystems]))?;
    steps.run(StepName::FileSystems, || zone.done())?;
    steps.run(StepName::Network, || {
        if !spec.links.is_empty() {
            zone.links = spec.links.iter().map(|link| link.host_name.clone()).collect();
            network::plumb(&mut Rtnl::open()?, spec, network_ns.as_fd())?;
        }
        zone.order(&ZschedRequest::Network)
    })?;
    drop(network_ns);
    steps.run(StepName::Devices, || {
        zone.send_all(&[ZschedRequest::Devices, ZschedRequest::Hello])?;
        zone.done()?;
        let here = zone.answered()?;
        zone.take_up(here)
    })?;
    steps.run(StepName::ResourceControls, || controls::apply(&cgroup, &spec.controls))?;
    zone.order(&ZschedRequest::Established)
}

/// Makes the namespaces, forks zsched into the rest of them, and has it do what is asked, of which the first is waited for. Returns the zone's network namespace, in which the
/// links are born, and the helper that kept the namespaces.
fn start_zsched(zone: &mut Supervisor, spec: &PlatformSpec, asked: &[ZschedRequest]) -> Result<(OwnedFd, Ending)> {
    let leaf = Cgroup::create_fresh(&zone.cgroup.join("zsched"))?;
    let listener = Channel::bind(Path::new(&spec.run_folder), "zsched.sock")?;
    let namespaces = Namespaces::create(spec.id_base, spec.id_count)?;
    // After the helper of the namespaces was forked: a copy of zsched's end in it would keep a zsched that dies now from
    // being heard to close it.
    let (ours, theirs) = Channel::pair()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let program = rustix::fs::open("/proc/self/exe", flags, Mode::empty()).at("open", "/proc/self/exe")?;
    let isolated = sys::flags::NEWPID | sys::flags::NEWNS;
    let child = match sys::fork(isolated, Some(leaf.as_fd()))? {
        Fork::Child => zsched::run(Start {
            spec,
            namespaces: &namespaces,
            program: program.as_fd(),
            peer: theirs,
            listener: &listener,
        }),
        Fork::Parent(child) => child,
    };
    drop(theirs);
    let process = Process { pid: child.pid, pidfd: child.pidfd };
    zone.zsched = Some(Zsched { process, channel: ours, owed: 0 });
    // Its first answer says that it has joined the namespaces, so that the helper may go.
    zone.send_all(asked)?;
    zone.answered()?;
    let network_ns = namespaces.network().try_clone().at("dup", "network namespace")?;
    Ok((network_ns, namespaces.release()))
}

impl From<&PlatformSpec> for Location {
    fn from(spec: &PlatformSpec) -> Self {
        Self(Adoption {
            zone: spec.zone.clone(),
            run_folder: spec.run_folder.clone(),
            cgroup: spec.cgroup.clone(),
            alias: spec.alias.clone(),
            halting: false,
        })
    }
}

/// Where the zone of a specification is.
pub struct Location(pub Adoption);

//! What drifted on the platform is put back as it was recorded, on the zone as it is. What there is to be put back is in the plan.

use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reeve_kernel::netlink::Rtnl;
use reeve_kernel::observe::start_time;
use reeve_kernel::platform::mend::{self, LinkPart};
use reeve_kernel::sys;
use reeve_state::difference::{Difference, Price};
use reeve_state::observed::{Platform, derive_state};
use reeve_state::{Fact, ZoneState};
use rustix::process::{Pid, PidfdFlags};
use serde_json::Value;

use super::Walk;
use super::stage::Stage;
use crate::error::{Error, OnFile, Result};
use crate::install;

impl Walk<'_> {
    /// Puts each field of the plan back that can be put back on the zone as it is. One that cannot does not keep the others.
    pub(super) fn mend(&mut self, stage: &Stage) -> Result<()> {
        let plan = self.plan;
        let mut drifted: Vec<&Difference> = plan
            .differences
            .iter()
            .filter(|one| one.is_of_platform() && one.is_acted_on() && one.price == Price::Live)
            .collect();
        // A link has to be up before a route can lead through it.
        drifted.sort_by_key(|one| {
            let order = ["bridge", "net", "routes"];
            let group = order.iter().position(|group| *group == Platform::group(&one.field));
            (group.unwrap_or(order.len()), !one.field.ends_with(".up"))
        });
        self.single(stage, |walk| {
            let mut failed = None;
            for one in drifted {
                if let Err(error) = walk.mend_one(one) {
                    failed.get_or_insert(Error::refused(format!("{} cannot be mended: {error}", one.field)));
                }
            }
            failed.map_or(Ok(()), Err)
        })
    }

    fn mend_one(&mut self, one: &Difference) -> Result<()> {
        let group = Platform::group(&one.field);
        let part = one.field.strip_prefix(group).map(|rest| rest.trim_start_matches('.')).unwrap_or_default();
        let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        let recorded = text(&one.recorded);
        let wanted = recorded.as_deref().unwrap_or_default();
        if matches!(group, "zonepath" | "files") {
            return self.mend_file(part, group, wanted);
        }
        let zsched = match &self.facts.zsched {
            Fact::Known(zsched) if start_time(zsched.pid) == Some(zsched.start_time) => zsched.pid,
            _ => return Err(Error::refused("zsched is gone")),
        };
        match group {
            "hostname" => mend::hostname(zsched, wanted)?,
            "devices" => mend::node(zsched, part, recorded.as_deref())?,
            "fs" => match part.strip_suffix(".options") {
                Some(point) => mend::mount_flags(zsched, point, wanted)?,
                None => mend::detach(zsched, part.split('#').next().unwrap_or(part))?,
            },
            "net" => mend_link(&mut mend::inside(zsched)?, part, wanted)?,
            "routes" => mend::default_routes(&mut mend::inside(zsched)?, &routes(wanted))?,
            "bridge" => mend_link_of_host(part, wanted)?,
            "cgroup" => self.thaw(part, wanted)?,
            "processes" => end(one)?,
            _ => return Err(Error::refused("there is no way to do that")),
        }
        Ok(())
    }

    /// Without a record it was not frozen when it came.
    fn thaw(&self, part: &str, wanted: &str) -> Result<()> {
        let wanted = if wanted.is_empty() { "0" } else { wanted };
        let mut path = self.host.places().zone_cgroup(&self.plan.name)?;
        match part {
            "zsched.freeze" => path.push("zsched"),
            "environment.freeze" => path.push(format!("env.{}", self.facts.environment.unwrap_or_default())),
            _ => {}
        }
        path.push("cgroup.freeze");
        std::fs::write(&path, wanted).on("write", &path)
    }

    fn mend_file(&mut self, part: &str, group: &str, wanted: &str) -> Result<()> {
        let places = self.host.places();
        let state = places.zone_state(&self.plan.name);
        let zonepath = || self.facts.zonepath.clone().map(PathBuf::from).ok_or_else(|| Error::refused("no zonepath"));
        match (group, part) {
            ("zonepath", "mode") => set_mode(&zonepath()?, wanted),
            ("zonepath", "owner") => set_owner(&zonepath()?, wanted),
            ("zonepath", "root.mode") => set_mode(&zonepath()?.join("root"), wanted),
            ("zonepath", "root.owner") => set_owner(&zonepath()?.join("root"), wanted),
            (_, "state") => set_access(&state, wanted),
            (_, "run") => set_access(self.files.run(), wanted),
            (_, "zone.json") => {
                let Fact::Known(state) = derive_state(&self.facts) else { return Err(Error::refused("no state")) };
                self.write_configuration(state)
            }
            (_, "installed.json") => self.write_installed(),
            _ => Err(Error::refused("there is no such file")),
        }
    }

    /// `installed.json` again, by what the zonepath says of itself.
    fn write_installed(&mut self) -> Result<()> {
        if !install::restore(self.host.places(), &self.plan.name, self.manifest()?)? {
            return Err(Error::refused("the files in the zonepath are not all there, or not this zone's"));
        }
        self.facts.installed = self.host.looker().installation(&self.plan.name);
        Ok(())
    }

    /// What the platform is like after the walk. Where the walk made (a part of) it, that is how it is to be from now on.
    pub(super) fn take_stock(&mut self, made: Made) {
        if !has_platform(self.state()) {
            return;
        }
        self.host.looker().closer(&mut self.facts);
        let (Some(recorded), Some(now)) = (&mut self.recorded, &self.facts.platform) else { return };
        let now = now.recordable();
        let part = |field: &str| match made {
            Made::All => true,
            Made::Environment => field.starts_with("environment.") || field == "cgroup.environment.freeze",
            Made::Files => field.starts_with("files."),
            Made::Nothing => false,
        };
        match &mut recorded.platform {
            Some(before) if made != Made::All => {
                let before = Arc::make_mut(before);
                before.fields.retain(|field, _| !part(field));
                let fields = now.fields.iter().filter(|(field, _)| part(field));
                before.fields.extend(fields.map(|(field, text)| (field.clone(), text.clone())));
                let group = |group: &&String| part(&format!("{group}."));
                before.looked.extend(now.looked.iter().filter(group).cloned());
            }
            platform => *platform = Some(now),
        }
        if self.memory.recorded != self.recorded {
            self.memory.recorded.clone_from(&self.recorded);
            if let Err(error) = self.files.remember_locked(&self.memory) {
                tracing::warn!("zone {}: {error}", self.plan.name);
            }
        }
    }
}

/// What of a platform a walk made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Made {
    Nothing,
    Files,
    Environment,
    All,
}

impl Made {
    /// By what a plan's stages do.
    pub fn by(stages: &[Stage], plan: &reeve_state::plan::ZonePlan) -> Self {
        use super::stage::Part;
        let one = |stage: &Stage| match stage.part {
            Part::Ready | Part::Halt | Part::Install | Part::Uninstall | Part::Configure => Made::All,
            Part::Boot => Made::Environment,
            Part::Record => Made::Files,
            Part::Mend if plan.differences.iter().any(|one| one.field.starts_with("files.")) => Made::Files,
            _ => Made::Nothing,
        };
        stages.iter().map(one).max().unwrap_or(Made::Nothing)
    }
}

fn mend_link(rtnl: &mut Rtnl, part: &str, wanted: &str) -> Result<()> {
    let unusable = || Error::refused(format!("{wanted:?} is nothing that a link can have"));
    let (name, part) = part.rsplit_once('.').ok_or_else(unusable)?;
    let part = match part {
        "up" => LinkPart::Up(wanted == "up"),
        "mtu" => LinkPart::Mtu(wanted.parse().map_err(|_| unusable())?),
        "mac" => LinkPart::Mac(mac(wanted).ok_or_else(unusable)?),
        "addresses" => LinkPart::Addresses(wanted.split_whitespace().filter_map(address).collect()),
        _ => return Err(unusable()),
    };
    Ok(mend::link(rtnl, name, &part)?)
}

/// A bridge of Reeve's own: up, and with the addresses that it had; more are the host's own matter.
fn mend_link_of_host(part: &str, wanted: &str) -> Result<()> {
    let (name, part) = part.rsplit_once('.').unwrap_or((part, ""));
    let mut rtnl = Rtnl::open()?;
    let Some(bridge) = rtnl.link_by_name(name)? else { return Err(Error::refused("the bridge is gone")) };
    if part == "up" {
        return Ok(rtnl.set_up(bridge.ifindex)?);
    }
    let wanted: Vec<(IpAddr, u8)> = wanted.split_whitespace().filter_map(address).collect();
    mend::add_missing(&mut rtnl, bridge.ifindex, &wanted)?;
    Ok(())
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/')?;
    Some((ip.parse().ok()?, prefix.parse().ok()?))
}

/// `192.0.2.1 dev net0, fd77::1 dev net0`.
fn routes(text: &str) -> Vec<(IpAddr, String)> {
    let one = |route: &str| {
        let (router, link) = route.split_once(" dev ")?;
        Some((router.trim().parse().ok()?, link.to_owned()))
    };
    text.split(',').filter_map(one).collect()
}

/// Ends a process that entered from outside: this one and no later one of its number.
fn end(one: &Difference) -> Result<()> {
    let Some(who) = &one.who else { return Err(Error::refused("it is not known which process it is")) };
    let pid = Pid::from_raw(who.pid).ok_or_else(|| Error::refused("no process has that number"))?;
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if start_time(who.pid) == Some(who.start_time) {
        use std::os::fd::AsFd;
        sys::pidfd_send_signal(pidfd.as_fd(), rustix::process::Signal::KILL.as_raw())?;
    }
    Ok(())
}

fn set_mode(path: &Path, wanted: &str) -> Result<()> {
    let mode = u32::from_str_radix(wanted, 8).map_err(|_| Error::refused(format!("{wanted:?} is no mode")))?;
    not_a_link(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).on("chmod", path)
}

fn set_owner(path: &Path, wanted: &str) -> Result<()> {
    let (uid, gid) = wanted.split_once(':').unwrap_or((wanted, ""));
    std::os::unix::fs::lchown(path, uid.parse().ok(), gid.parse().ok()).on("chown", path)
}

/// `0700 0:0`.
fn set_access(path: &Path, wanted: &str) -> Result<()> {
    let (mode, owner) = wanted.split_once(' ').unwrap_or((wanted, ""));
    set_owner(path, owner)?;
    set_mode(path, mode)
}

fn not_a_link(path: &Path) -> Result<()> {
    let found = std::fs::symlink_metadata(path).on("stat", path)?;
    if found.is_symlink() { Err(Error::refused(format!("{} is a symbolic link", path.display()))) } else { Ok(()) }
}

/// Whether a zone has a platform to look at.
fn has_platform(state: Option<ZoneState>) -> bool {
    matches!(state, Some(ZoneState::Installed | ZoneState::Ready | ZoneState::Running))
}

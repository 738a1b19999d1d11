//! Putting back what drifted on the platform of a zone that is up, from the global zone. Places in the zone are reached by
//! descriptors from zsched's folder in /proc, one name at a time, and through no link that the zone could have laid.

use crate::error::{Context, Error, Result};
use crate::mount;
use crate::netlink::{Address, Rtnl, address::Route};
use crate::observe::platform::{is_link_local, open_dev};
use crate::platform::namespaces::{in_uts, open_namespace};
use crate::sys::{self, MountAttr, flags};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use std::net::IpAddr;

/// Sets the host name of the zone that `zsched` is of.
///
/// # Errors
/// The errno of the failed call.
pub fn hostname(zsched: i32, name: &str) -> Result<()> {
    let namespace = open_namespace(zsched, "uts")?;
    in_uts(namespace.as_fd(), || rustix::system::sethostname(name.as_bytes()).at("sethostname", name))?
}

/// Makes a node of the zone's /dev what `wanted` says (`c 1:3 0666 100000:100000`), or takes it away.
///
/// # Errors
/// The errno of the failed call; EISDIR where a folder has taken its place.
pub fn node(zsched: i32, name: &str, wanted: Option<&str>) -> Result<()> {
    let dev = open_dev(zsched)?;
    match rustix::fs::unlinkat(&dev, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(Error::os("unlinkat", format!("/dev/{name}"), errno)),
    }
    let Some(wanted) = wanted else { return Ok(()) };
    let wrong = || Error::new("mknodat", format!("/dev/{name}, {wanted:?}"), "is no device node that was recorded");
    let parts: Vec<&str> = wanted.split([' ', ':']).collect();
    let [kind, major, minor, mode, uid, gid] = parts[..] else { return Err(wrong()) };
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let kind = if kind == "c" { FileType::CharacterDevice } else { FileType::BlockDevice };
    let mode = Mode::from_raw_mode(u32::from_str_radix(mode, 8).map_err(|_| wrong())?);
    let device = rustix::fs::makedev(number(major)?, number(minor)?);
    let (uid, gid) = (Uid::from_raw(number(uid)?), Gid::from_raw(number(gid)?));
    rustix::fs::mknodat(&dev, name, kind, mode, device).at("mknodat", name)?;
    rustix::fs::chownat(&dev, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).at("fchownat", name)?;
    // The caller's umask has taken something away.
    rustix::fs::chmodat(&dev, name, mode, AtFlags::empty()).at("fchmodat", name)
}

/// Gives a mount of zsched's namespace the flags that `wanted` names (`ro,nosuid`), and no others of those.
///
/// # Errors
/// The errno of the failed call.
pub fn mount_flags(zsched: i32, point: &str, wanted: &str) -> Result<()> {
    let known = [
        ("ro", sys::MOUNT_ATTR_RDONLY),
        ("nosuid", sys::MOUNT_ATTR_NOSUID),
        ("nodev", sys::MOUNT_ATTR_NODEV),
        ("noexec", sys::MOUNT_ATTR_NOEXEC),
    ];
    let mut attr = MountAttr::default();
    for (word, flag) in known {
        let place = if wanted.split(',').any(|other| other == word) { &mut attr.set } else { &mut attr.clear };
        *place |= flag;
    }
    in_mounts(zsched, |root| sys::mount_setattr(mount::open_in(root, point)?.as_fd(), attr))
}

/// Takes the topmost mount at a place of zsched's namespace away; who uses it goes on with it.
///
/// # Errors
/// The errno of the failed call.
pub fn detach(zsched: i32, point: &str) -> Result<()> {
    in_mounts(zsched, |root| {
        let place = mount::open_in(root, point)?;
        rustix::process::fchdir(&place).at("fchdir", point)?;
        rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH).at("umount2", format!("{point}, MNT_DETACH"))
    })
}

/// Runs `f` in the mount namespace of a process, with its root. On a thread of its own, which ends there: its root and current
/// folder are nobody else's.
fn in_mounts(pid: i32, f: impl FnOnce(BorrowedFd<'_>) -> Result<()> + Send) -> Result<()> {
    let namespace = open_namespace(pid, "mnt")?;
    std::thread::scope(|scope| {
        let run = || {
            sys::unshare(flags::FS)?;
            sys::setns(namespace.as_fd(), flags::NEWNS)?;
            let root = mount::open_in(CWD, "/")?;
            f(root.as_fd())
        };
        let builder = std::thread::Builder::new().name("mounts".to_owned());
        let thread = builder.spawn_scoped(scope, run).map_err(|error| Error::new("clone", "", error.to_string()))?;
        thread.join().unwrap_or_else(|_| Err(Error::new("thread", "", "ended in the middle")))
    })
}

/// What of a link inside is to be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPart {
    /// Up or down.
    Up(bool),
    /// Largest packet.
    Mtu(u32),
    /// Hardware address.
    Mac([u8; 6]),
    /// All of its addresses with their prefixes.
    Addresses(Vec<(IpAddr, u8)>),
}

/// A socket in the network namespace of the zone. It keeps the namespace for a moment after it is closed.
///
/// # Errors
/// The errno of the failed call.
pub fn inside(zsched: i32) -> Result<Rtnl> {
    Rtnl::open_in(open_namespace(zsched, "net")?.as_fd())
}

/// Puts a part of a link back.
///
/// # Errors
/// ENODEV when there is no such link, else what the kernel refuses.
pub fn link(rtnl: &mut Rtnl, name: &str, part: &LinkPart) -> Result<()> {
    let found = rtnl.link_by_name(name)?.ok_or_else(|| Error::os("RTM_GETLINK", name, Errno::NODEV))?;
    match part {
        LinkPart::Up(true) => rtnl.set_up(found.ifindex),
        LinkPart::Up(false) => rtnl.set_down(found.ifindex),
        LinkPart::Mtu(mtu) => rtnl.set_mtu(found.ifindex, *mtu),
        LinkPart::Mac(mac) => rtnl.set_mac(found.ifindex, *mac),
        LinkPart::Addresses(wanted) => {
            for address in add_missing(rtnl, found.ifindex, wanted)? {
                if is_link_local(address.ip) || wanted.contains(&(address.ip, address.prefix)) {
                    continue;
                }
                match rtnl.delete_address(&address) {
                    Err(error) if error.errno() != Some(Errno::ADDRNOTAVAIL) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

/// Gives a link those of these addresses that it has not got, and returns those that it had.
///
/// # Errors
/// What the kernel refuses.
pub fn add_missing(rtnl: &mut Rtnl, ifindex: u32, wanted: &[(IpAddr, u8)]) -> Result<Vec<Address>> {
    let there = rtnl.addresses(ifindex)?;
    for (ip, prefix) in wanted {
        if !there.iter().any(|address| (address.ip, address.prefix) == (*ip, *prefix)) {
            match rtnl.add_address(ifindex, *ip, *prefix) {
                // Of a bridge that several zones are plugged into: another one's mending was quicker.
                Err(error) if error.errno() != Some(Errno::EXIST) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(there)
}

/// Makes `wanted` (router and link) the default routes, and no others.
///
/// # Errors
/// ENETUNREACH where no network of the link has the router, else what the kernel refuses.
pub fn default_routes(rtnl: &mut Rtnl, wanted: &[(IpAddr, String)]) -> Result<()> {
    let is_default = |route: &Route| route.destination.is_none() && route.prefix == 0;
    for route in rtnl.routes(0)?.into_iter().filter(is_default) {
        match rtnl.delete_route(&route) {
            Err(error) if !matches!(error.errno(), Some(Errno::SRCH | Errno::NODEV)) => return Err(error),
            _ => {}
        }
    }
    for (router, link) in wanted {
        let found = rtnl.link_by_name(link)?.ok_or_else(|| Error::os("RTM_GETLINK", link, Errno::NODEV))?;
        rtnl.add_default_route(*router, found.ifindex)?;
    }
    Ok(())
}

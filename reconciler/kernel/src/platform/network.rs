//! The zone's network interfaces: for each, a veth pair whose zone end is born in the zone's network namespace (moving
//! or deleting one costs the kernel a grace period of 15 ms) and whose host end is a port of a bridge.

use crate::error::{Context, Error, Result};
use crate::netlink::{HOST_NAME_MAX, Rtnl, Veth};
use crate::sys::{self, InterfaceName};
use crate::wire::{Link, PlatformSpec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::IpAddr;

/// Makes the links from the host's side: the bridge if it is missing, then the pair, host end up and in the bridge.
///
/// # Errors
/// What is wrong with the bridge, or the request that failed.
pub fn plumb(rtnl: &mut Rtnl, spec: &PlatformSpec, netns: BorrowedFd<'_>) -> Result<()> {
    for link in &spec.links {
        let master = bridge(rtnl, link)?;
        let mac = <[u8; 6]>::try_from(link.mac.as_slice()).ok();
        rtnl.create_veth(&Veth {
            host_name: &link.host_name,
            alias: &spec.alias,
            master: Some(master),
            peer_name: &link.zone_name,
            peer_netns: netns,
            peer_mac: mac,
            without_ipv6: true,
        })?;
    }
    Ok(())
}

fn bridge(rtnl: &mut Rtnl, link: &Link) -> Result<u32> {
    if let Some(found) = rtnl.link_by_name(&link.bridge)? {
        if found.kind.as_deref() != Some("bridge") {
            let message = "is there and is no bridge; name a bridge, or a new name and Reeve makes one";
            return Err(Error::new("plumb", &link.bridge, message));
        }
        return Ok(found.ifindex);
    }
    match rtnl.create_bridge(&link.bridge, &link.bridge_alias) {
        Ok(ifindex) => {
            if let Some((address, prefix)) = &link.bridge_address {
                rtnl.add_address(ifindex, parse(address)?, *prefix)?;
            }
            Ok(ifindex)
        }
        // Another zone's zoneadmd was quicker.
        Err(error) if error.errno() == Some(Errno::EXIST) => {
            let found = rtnl.link_by_name(&link.bridge)?;
            found.map(|found| found.ifindex).ok_or_else(|| Error::os("RTM_GETLINK", &link.bridge, Errno::NODEV))
        }
        Err(error) => Err(error),
    }
}

/// Takes IPv6 off every link that is still to come in the caller's network namespace, when no link has an address of
/// it: neighbour discovery of many zones on one bridge would cost each of them (linear in their number). Needs the
/// host's /proc.
///
/// # Errors
/// The errno of the write; a kernel without IPv6 is fine.
pub fn without_ipv6(spec: &PlatformSpec) -> Result<()> {
    if spec.links.iter().any(|link| link.address.as_ref().is_some_and(|(address, _)| address.contains(':'))) {
        return Ok(());
    }
    for scope in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
        match std::fs::write(&path, "1") {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at("write", path),
            _ => {}
        }
    }
    Ok(())
}

/// Gives the zone's ends their addresses and routes and sets them up, from inside the zone's network namespace.
///
/// IPv4 goes through ioctls of a datagram socket (netdevice(7)): the kernel frees a netlink socket a grace period after
/// it is closed, and until then it would keep the network namespace, and with it the links of a zone that is halted
/// soon, for 15 ms.
///
/// # Errors
/// The request that failed.
pub fn configure(spec: &PlatformSpec) -> Result<()> {
    let socket = datagram_socket()?;
    sys::set_interface_up(socket.as_fd(), &interface_name("lo")?, true)?;
    for link in &spec.links {
        let name = link.zone_name.as_str();
        let own = interface_name(name)?;
        if let Some((address, prefix)) = &link.address {
            match parse(address)? {
                IpAddr::V4(address) => sys::set_interface_address(socket.as_fd(), &own, address, *prefix)?,
                address => {
                    let mut rtnl = Rtnl::open()?;
                    let ifindex = index(&mut rtnl, name)?;
                    rtnl.add_address(ifindex, address, *prefix)?;
                }
            }
        }
        sys::set_interface_up(socket.as_fd(), &own, true)?;
        match link.router.as_deref().map(parse).transpose()? {
            Some(IpAddr::V4(router)) => sys::add_default_route(socket.as_fd(), name, router)?,
            Some(router) => {
                let mut rtnl = Rtnl::open()?;
                let ifindex = index(&mut rtnl, name)?;
                rtnl.add_default_route(router, ifindex)?;
            }
            None => {}
        }
    }
    Ok(())
}

fn index(rtnl: &mut Rtnl, name: &str) -> Result<u32> {
    let found = rtnl.link_by_name(name)?.ok_or_else(|| Error::os("RTM_GETLINK", name, Errno::NODEV))?;
    Ok(found.ifindex)
}

/// Sets the host ends of the zone down, by name. Part of unplumbing; the links go with their namespace.
///
/// # Errors
/// The request that failed; a link that is gone is fine.
pub fn set_host_ends_down(rtnl: &mut Rtnl, names: &[String]) -> Result<()> {
    for name in names {
        let Some(link) = rtnl.link_by_name(name)? else { continue };
        match rtnl.set_down(link.ifindex) {
            Err(error) if error.errno() != Some(Errno::NODEV) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The names of the host ends that carry this alias: how a zoneadmd that did not make them finds them.
///
/// # Errors
/// The request that failed.
pub fn host_ends(rtnl: &mut Rtnl, alias: &str) -> Result<Vec<String>> {
    let links = rtnl.links()?;
    Ok(links.into_iter().filter(|link| link.alias.as_deref() == Some(alias)).map(|link| link.name).collect())
}

/// Takes the IPv4 addresses and all routes of the zone's interfaces away, whoever set them, and sees that they are gone;
/// from inside the zone's network namespace, by ioctls for the reason of [`configure`]. An interface that is down has
/// neither routes nor IPv6 addresses.
///
/// # Errors
/// The request that failed.
pub fn unplumb() -> Result<()> {
    let socket = datagram_socket()?;
    for name in interface_names(socket.as_fd())? {
        // Each removal takes the first address; the next one moves up.
        while sys::has_interface_address(socket.as_fd(), &name)? {
            sys::clear_interface_address(socket.as_fd(), &name)?;
        }
        sys::set_interface_up(socket.as_fd(), &name, false)?;
    }
    Ok(())
}

/// The names of the interfaces in the socket's network namespace (SIOCGIFNAME by number: there is no /proc to read, and a
/// netlink socket is what is avoided here).
fn interface_names(socket: BorrowedFd<'_>) -> Result<Vec<InterfaceName>> {
    /// Interfaces that the zone made and removed leave gaps; past so many numbers in a row there is none.
    const GAP: i32 = 64;
    let (mut names, mut number, mut missing) = (Vec::new(), 1, 0);
    while missing < GAP {
        match sys::interface_by_number(socket, number)? {
            Some(name) => {
                missing = 0;
                names.push(name);
            }
            None => missing += 1,
        }
        number += 1;
    }
    Ok(names)
}

/// Whether a link of that name is on the kernel's list. One that the kernel has taken off it, while it cleans the network namespace
/// of the other end up, does not come back. Seen by binding a socket to it: unlike a request of rtnetlink(7) that waits for nobody
/// who is changing links, and unlike an ioctl of netdevice(7) it has no module loaded where there is none of this name.
///
/// # Errors
/// The call that failed.
pub fn has_link(name: &str) -> Result<bool> {
    match sys::bind_to_interface(datagram_socket()?.as_fd(), &interface_name(name)?) {
        Err(error) if error.errno() == Some(Errno::NODEV) => Ok(false),
        bound => bound.map(|()| true),
    }
}

/// A socket for netdevice(7), in the caller's network namespace. It is bound to no address, so that the kernel frees it at once when
/// it is closed.
fn datagram_socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .at("socket", "AF_INET, SOCK_DGRAM")
}

/// A name as the kernel has it.
fn interface_name(name: &str) -> Result<InterfaceName> {
    let mut out = InterfaceName::default();
    let room = out.get_mut(..name.len()).filter(|room| room.len() <= HOST_NAME_MAX);
    room.ok_or_else(|| Error::os("ioctl", name, Errno::NAMETOOLONG))?.copy_from_slice(name.as_bytes());
    Ok(out)
}

fn parse(address: &str) -> Result<IpAddr> {
    address.parse().map_err(|_| Error::new("plumb", address, "is no IP address"))
}

//! Addresses and routes of a link, IPv4 and IPv6.

use super::Rtnl;
use super::message::{Attributes, Message, n, u32_at};
use crate::error::{Error, Result};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The link.
    pub ifindex: u32,
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network, 0 to 32 or 0 to 128.
    pub prefix: u8,
    /// IPv6 still looks whether somebody else has it.
    pub tentative: bool,
}

/// A unicast route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The link through which it leads, where it says one.
    pub ifindex: Option<u32>,
    /// Its destination; none for the default route.
    pub destination: Option<IpAddr>,
    /// Bits of the destination; 0 for the default route.
    pub prefix: u8,
    /// The router on the way; none when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Of two routes the one with the lower number is taken.
    pub priority: u32,
    /// Who made it (`RTPROT_*`); 2 is the kernel itself.
    pub protocol: u8,
}

impl Rtnl {
    /// Gives a link an address: IPv4 with the broadcast address of its network, IPv6 without the waiting for
    /// somebody who might have it (`IFA_F_NODAD`).
    ///
    /// # Errors
    /// `EEXIST`: it has it already. `ENODEV`: no such link. A prefix longer than the address is an error as well.
    pub fn add_address(&mut self, ifindex: u32, ip: IpAddr, prefix: u8) -> Result<()> {
        let width = if ip.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            let args = format!("ifindex {ifindex}, {ip}/{prefix}");
            return Err(Error::new("RTM_NEWADDR", args, format!("a prefix has at most {width} bits")));
        }
        self.begin();
        self.request(n::RTM_NEWADDR, n::NLM_F_CREATE | n::NLM_F_EXCL, &ifaddrmsg(ip, prefix, ifindex), |out| {
            let bytes = octets(&ip);
            out.attr(n::IFA_LOCAL, bytes.as_slice());
            out.attr(n::IFA_ADDRESS, bytes.as_slice());
            match ip {
                IpAddr::V4(ip) if prefix < 31 => out.attr(n::IFA_BROADCAST, &broadcast(ip, prefix).octets()),
                IpAddr::V4(_) => {}
                IpAddr::V6(_) => out.attr_u32(n::IFA_FLAGS, n::IFA_F_NODAD),
            }
        });
        self.send("RTM_NEWADDR", || format!("ifindex {ifindex}, {ip}/{prefix}"), |_| {})
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`: the link has no such address.
    pub fn delete_address(&mut self, address: &Address) -> Result<()> {
        let Address { ifindex, ip, prefix, .. } = *address;
        self.begin();
        self.request(n::RTM_DELADDR, 0, &ifaddrmsg(ip, prefix, ifindex), |out| {
            out.attr(n::IFA_LOCAL, octets(&ip).as_slice());
        });
        self.send("RTM_DELADDR", || format!("ifindex {ifindex}, {ip}/{prefix}"), |_| {})
    }

    /// The addresses of a link; of all links with 0.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn addresses(&mut self, ifindex: u32) -> Result<Vec<Address>> {
        self.dump(
            "RTM_GETADDR",
            (n::RTM_GETADDR, &[0; 8]),
            |_| {},
            |addresses: &mut Vec<Address>, message| {
                addresses.extend(read_address(message).filter(|a| ifindex == 0 || a.ifindex == ifindex));
            },
        )
    }

    /// The addresses of all links of another namespace, by its number in this one. Of a socket that is [`Rtnl::strict`].
    ///
    /// # Errors
    /// What the kernel refuses; `EINVAL`: no namespace has that number.
    pub fn addresses_in(&mut self, namespace: i32) -> Result<Vec<Address>> {
        self.dump(
            "RTM_GETADDR",
            (n::RTM_GETADDR, &[0; 8]),
            |out| out.attr_u32(n::IFA_TARGET_NETNSID, namespace.cast_unsigned()),
            |addresses: &mut Vec<Address>, message| addresses.extend(read_address(message)),
        )
    }

    /// Takes every address from a link. One that went in the meantime is no error.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn flush_addresses(&mut self, ifindex: u32) -> Result<()> {
        for address in self.addresses(ifindex)? {
            match self.delete_address(&address) {
                // The last primary address takes its secondaries with it.
                Err(error) if matches!(error.errno(), Some(Errno::ADDRNOTAVAIL | Errno::NODEV)) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Makes `gateway` the default router, through a link.
    ///
    /// # Errors
    /// `EEXIST`: there is a default route of this priority. `ENETUNREACH`: no network of the link has that gateway.
    pub fn add_default_route(&mut self, gateway: IpAddr, ifindex: u32) -> Result<()> {
        let flags = n::NLM_F_CREATE | n::NLM_F_EXCL;
        let body = rtmsg(family(&gateway), 0, n::RTPROT_STATIC);
        self.begin();
        self.request(n::RTM_NEWROUTE, flags, &body, |out| {
            out.attr(n::RTA_GATEWAY, octets(&gateway).as_slice());
            out.attr_u32(n::RTA_OIF, ifindex);
        });
        self.send("RTM_NEWROUTE", || format!("default via {gateway}, ifindex {ifindex}"), |_| {})
    }

    /// The unicast routes of the main table that lead through a link; all with 0.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn routes(&mut self, ifindex: u32) -> Result<Vec<Route>> {
        let mut all = Vec::new();
        for family in [n::AF_INET, n::AF_INET6] {
            let body = rtmsg(family, 0, 0);
            let read = self.dump(
                "RTM_GETROUTE",
                (n::RTM_GETROUTE, &body),
                |_| {},
                |routes: &mut Vec<Route>, message| {
                    let wanted = |r: &Route| ifindex == 0 || r.ifindex == Some(ifindex);
                    routes.extend(read_route(message).filter(wanted));
                },
            );
            match read {
                Ok(routes) => all.extend(routes),
                // A kernel without IPv6 has no such routes.
                Err(error) if family == n::AF_INET6 && error.errno() == Some(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Takes away every route of the main table that leads through a link. One that went in the meantime is no error.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn flush_routes(&mut self, ifindex: u32) -> Result<()> {
        // Those with a gateway first: the route to the gateway's network must not take them with it unseen.
        let mut routes = self.routes(ifindex)?;
        routes.sort_by_key(|route| route.gateway.is_none());
        for route in routes {
            match self.delete_route(&route) {
                Err(error) if matches!(error.errno(), Some(Errno::SRCH | Errno::NODEV)) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Takes a route of the main table away.
    ///
    /// # Errors
    /// `ESRCH`: there is no such route.
    pub fn delete_route(&mut self, route: &Route) -> Result<()> {
        let Some(ip) = route.destination.or(route.gateway) else {
            // Without either the family is not known; only `default dev X` looks so, which is IPv4 here or IPv6.
            return self.delete_route_of(n::AF_INET, route).or_else(|_| self.delete_route_of(n::AF_INET6, route));
        };
        self.delete_route_of(family(&ip), route)
    }

    fn delete_route_of(&mut self, family: u8, route: &Route) -> Result<()> {
        let mut body = rtmsg(family, route.prefix, route.protocol);
        // Any scope: RT_SCOPE_NOWHERE is the wildcard of a deletion.
        body[6] = 255;
        self.begin();
        self.request(n::RTM_DELROUTE, 0, &body, |out| {
            if let Some(ip) = route.destination {
                out.attr(n::RTA_DST, octets(&ip).as_slice());
            }
            if let Some(ip) = route.gateway {
                out.attr(n::RTA_GATEWAY, octets(&ip).as_slice());
            }
            if let Some(ifindex) = route.ifindex {
                out.attr_u32(n::RTA_OIF, ifindex);
            }
            out.attr_u32(n::RTA_PRIORITY, route.priority);
        });
        self.send("RTM_DELROUTE", || format!("{route:?}"), |_| {})
    }
}

/// An address as bytes in network order, without allocating.
struct Octets([u8; 16], usize);

impl Octets {
    fn as_slice(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

fn octets(ip: &IpAddr) -> Octets {
    match ip {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            Octets(bytes, 4)
        }
        IpAddr::V6(ip) => Octets(ip.octets(), 16),
    }
}

fn family(ip: &IpAddr) -> u8 {
    if ip.is_ipv4() { n::AF_INET } else { n::AF_INET6 }
}

fn broadcast(ip: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(ip.to_bits() | u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0))
}

/// `struct ifaddrmsg`, 8 bytes.
fn ifaddrmsg(ip: IpAddr, prefix: u8, ifindex: u32) -> [u8; 8] {
    let mut body = [0; 8];
    body[0] = family(&ip);
    body[1] = prefix;
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    body
}

/// `struct rtmsg`, 12 bytes, for a unicast route of the main table.
fn rtmsg(family: u8, prefix: u8, protocol: u8) -> [u8; 12] {
    [family, prefix, 0, 0, n::RT_TABLE_MAIN, protocol, n::RT_SCOPE_UNIVERSE, n::RTN_UNICAST, 0, 0, 0, 0]
}

fn read_ip(family: u8, payload: &[u8]) -> Option<IpAddr> {
    match family {
        n::AF_INET => <[u8; 4]>::try_from(payload).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b))),
        n::AF_INET6 => <[u8; 16]>::try_from(payload).ok().map(|b| IpAddr::V6(Ipv6Addr::from(b))),
        _ => None,
    }
}

/// The address in an `RTM_NEWADDR` or `RTM_DELADDR`.
pub(super) fn read_address(message: &Message<'_>) -> Option<Address> {
    if !matches!(message.kind, n::RTM_NEWADDR | n::RTM_DELADDR) {
        return None;
    }
    let payload = message.payload;
    let (family, prefix, ifindex) = (*payload.first()?, *payload.get(1)?, u32_at(payload, 4)?);
    let (mut local, mut address, mut flags) = (None, None, u32::from(*payload.get(2)?));
    for (kind, payload) in Attributes::behind(payload, 8) {
        match kind {
            n::IFA_LOCAL => local = read_ip(family, payload),
            n::IFA_ADDRESS => address = read_ip(family, payload),
            n::IFA_FLAGS => flags = u32_at(payload, 0)?,
            _ => {}
        }
    }
    // IFA_ADDRESS is the other side of a point-to-point link; IFA_LOCAL, where given, is ours.
    Some(Address { ifindex, ip: local.or(address)?, prefix, tentative: flags & n::IFA_F_TENTATIVE != 0 })
}

fn read_route(message: &Message<'_>) -> Option<Route> {
    let payload = message.payload;
    if message.kind != n::RTM_NEWROUTE || u32_at(payload, 8)? & n::RTM_F_CLONED != 0 {
        return None;
    }
    let family = *payload.first()?;
    let mut table = u32::from(*payload.get(4)?);
    let kind_of_route = *payload.get(7)?;
    let mut route = Route {
        ifindex: None,
        destination: None,
        prefix: *payload.get(1)?,
        gateway: None,
        priority: 0,
        protocol: *payload.get(5)?,
    };
    for (kind, payload) in Attributes::behind(payload, 12) {
        match kind {
            n::RTA_DST => route.destination = read_ip(family, payload),
            n::RTA_GATEWAY => route.gateway = read_ip(family, payload),
            n::RTA_OIF => route.ifindex = u32_at(payload, 0),
            n::RTA_PRIORITY => route.priority = u32_at(payload, 0).unwrap_or(0),
            n::RTA_TABLE => table = u32_at(payload, 0)?,
            _ => {}
        }
    }
    (kind_of_route == n::RTN_UNICAST && table == u32::from(n::RT_TABLE_MAIN)).then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_of_a_network() {
        let of = |ip: [u8; 4], prefix| broadcast(ip.into(), prefix).octets();
        assert_eq!(of([10, 1, 2, 3], 24), [10, 1, 2, 255]);
        assert_eq!(of([10, 1, 2, 3], 0), [255; 4]);
        assert_eq!(of([10, 1, 2, 3], 32), [10, 1, 2, 3]);
    }
}

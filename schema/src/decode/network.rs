//! Decodes `net`.

use std::net::IpAddr;

use super::{Facts, at_most};
use crate::address::{Cidr, Mac};
use crate::manifest::Net;
use crate::name::LinkName;
use crate::node::Node;
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may, must};
use crate::source::{Spot, shown};

pub(super) const NET: Shape = Shape {
    name: "Net",
    what: "a network interface",
    fields: &[
        must("physical", "reeve0"),
        may("address", "10.77.0.10/24"),
        may("defrouter", "10.77.0.1"),
        may("mac", "\"02:00:5e:10:00:01\""),
    ],
    later: &["allowedAddress", "vlan"],
    foreign: &[
        ("bridge", "`physical:`"),
        ("gateway", "`defrouter:`"),
        ("ip", "`address:`"),
        ("macAddress", "`mac:`"),
        ("mac-addr", "`mac:`"),
    ],
};

/// Decodes `net`, and compares the default routers with each other.
pub(super) fn interfaces(r: &mut Reader, node: &Node, facts: &mut Facts) -> Option<Vec<Net>> {
    at_most(r, node, Net::MAX)?;
    // At most one default route of each family: the kernel takes no second one of the same metric.
    let mut routers: [Option<IpAddr>; 2] = [None, None];
    r.list(node, |r, node| {
        let map = r.object(node, &NET)?;
        let physical = map.required(r, "physical", |r, node| r.parsed::<LinkName>(node));
        let address = map.optional(r, "address", |r, node| Some((r.parsed::<Cidr>(node)?, r.spot(node.place))));
        let mac = map.optional(r, "mac", |r, node| Some((r.parsed::<Mac>(node)?, r.spot(node.place))));
        let cidr = address.as_ref().map(|address| address.as_ref().map(|(cidr, _)| *cidr));
        let defrouter = map.optional(r, "defrouter", |r, node| defrouter(r, node, &map, cidr, &mut routers));
        remember(facts, physical.as_ref(), address.clone().flatten(), mac.clone().flatten());
        let (address, mac) = (address?.map(|(cidr, _)| cidr), mac?.map(|(mac, _)| mac));
        Some(Net { physical: physical?, address, defrouter: defrouter?, mac })
    })
}

/// Keeps the addresses for the comparison between zones.
fn remember(facts: &mut Facts, physical: Option<&LinkName>, address: Option<(Cidr, Spot)>, mac: Option<(Mac, Spot)>) {
    let Some(physical) = physical else { return };
    facts.addresses.extend(address.map(|(cidr, spot)| (physical.clone(), cidr.address(), spot)));
    facts.macs.extend(mac.map(|(mac, spot)| (physical.clone(), mac, spot)));
}

/// Decodes `net[].defrouter`: in the network of the address (`None`: broken; `Some(None)`: not there), and not it.
#[allow(clippy::option_option, reason = "as Object::optional")]
fn defrouter(
    r: &mut Reader,
    node: &Node,
    map: &Object,
    address: Option<Option<Cidr>>,
    routers: &mut [Option<IpAddr>; 2],
) -> Option<IpAddr> {
    let text = r.text(node)?;
    let Ok(router) = text.parse::<IpAddr>() else {
        let help = "an IP address without a length, such as `10.77.0.1`";
        r.problem(node.place, format!("`{}` is no IP address", shown(text)), help);
        return None;
    };
    let Some(cidr) = address? else {
        let place = map.key("defrouter").unwrap_or(node.place);
        r.problem(place, "a default router needs an address to reach it from", "`address:` too, or no `defrouter`");
        return None;
    };
    if router == cidr.address() {
        r.problem(node.place, "the default router is the interface's own address", "another machine's address");
        return None;
    }
    if !cidr.contains(router) || Cidr::new(router, cidr.prefix()).is_none() {
        let message = format!("{router} is no address in the network of {cidr}");
        r.problem(node.place, message, "a router that the interface can reach directly");
        return None;
    }
    let slot = &mut routers[usize::from(router.is_ipv6())];
    if let Some(first) = slot {
        let message = format!("the zone has a default router already, {first}");
        r.problem(node.place, message, "one default router for IPv4 and one for IPv6 in a zone");
        return None;
    }
    *slot = Some(router);
    Some(router)
}

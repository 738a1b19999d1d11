//! The network interfaces of a manifest against the links that were seen.

use reeve_schema::manifest::Net;
use serde_json::{Value, json};

use super::Price;
use crate::observed::LinkFacts;

/// What putting the links right costs; `None` where they are as the manifest says.
///
/// A host end that is down or in the wrong bridge is put right live; a link that is missing or too many, or an address that
/// is not there, costs a rebuild.
pub fn mismatch(wanted: &[Net], links: &[LinkFacts]) -> Option<Price> {
    if wanted.len() != links.len() {
        return Some(Price::Rebuild);
    }
    wanted.iter().enumerate().filter_map(|(n, net)| one(net, find(n, links))).max()
}

/// The link of the manifest's interface number `n`: by the name in the zone (`netN`), or where that was not looked at, by
/// the number at the end of the host's name.
fn find(n: usize, links: &[LinkFacts]) -> Option<&LinkFacts> {
    links.iter().find(|link| match &link.zone_name {
        Some(name) => *name == format!("net{n}"),
        None => link.host_name.rsplit('.').next().is_some_and(|end| end == n.to_string()),
    })
}

fn one(net: &Net, link: Option<&LinkFacts>) -> Option<Price> {
    let link = match link {
        Some(link) => link,
        None => return Some(Price::Rebuild),
    };
    if let (Some(want), Some(have)) = (&net.address, &link.addresses)
        && !have.iter().any(|address| *address == want.to_string())
    {
        return Some(Price::Rebuild);
    }
    let plugged = link.up && link.master.as_deref() == Some(net.physical.as_str());
    (!plugged).then_some(Price::Live)
}

/// The links as a document, for a difference.
pub fn shown(links: &[LinkFacts]) -> Value {
    links
        .iter()
        .map(|link| json!({"hostName": link.host_name, "up": link.up, "master": link.master, "addresses": link.addresses}))
        .collect()
}

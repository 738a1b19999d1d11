//! The zone's network interfaces.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::{Cidr, Mac};
use crate::name::LinkName;

/// One network interface: a link of the zone's own in a bridge of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Net {
    /// The bridge of the host that the interface is plumbed on; made if there is none of that name.
    pub physical: LinkName,
    /// The interface's address with the length of its network, such as `10.77.0.10/24`; none: the link comes up bare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Cidr>,
    /// The default router, in the network of `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defrouter: Option<IpAddr>,
    /// The interface's hardware address; none: one that follows from the zone and the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

impl Net {
    /// The most that a zone may have.
    pub const MAX: usize = 64;
}

//! Tier 1, the virtual platform (seed [0045], [0054]): what exists from Ready until it is dismantled, whether or not a
//! process runs in the zone. Each file is one kind of thing the platform holds, with its bringing up and taking down.
//!
//! Who does what: zoneadmd makes the namespaces, the host ends of links and the limits; zsched, forked into the new
//! mount and PID namespace, makes everything that is seen from inside. zsched stays in the host's user namespace: a
//! process with every capability in the zone's user namespace has none over it. What the zone sees is made in zsched's
//! mount namespace, which the host owns; each application environment gets a copy that the zone's user namespace owns,
//! and the kernel locks every mount, and each of its flags, that such a copy inherits (mount_namespaces(7)).

pub mod controls;
pub mod devices;
pub mod file_systems;
pub mod mend;
pub mod namespaces;
pub mod network;

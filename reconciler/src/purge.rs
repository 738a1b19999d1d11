//! What is left when the last zone is gone, and removed with it: bridges, cgroups, files of the run folder.

use std::fs;
use std::path::Path;

use reeve_kernel::netlink::Rtnl;
use reeve_kernel::observe::is_own_bridge;

use crate::cgroup;
use crate::error::Result;
use crate::host::Host;
use crate::install::tree;
use crate::progress::{Notice, Observer};
use crate::secrets::Secrets;
use crate::store;

/// Removes what no zone needs any more; what cannot be removed is told.
pub fn leftovers(host: &Host, observer: &Observer) {
    let places = host.places();
    // An unconfigure that was killed at its very end left a folder with nothing in it. Only such a one goes here.
    for folder in [places.state(), places.run()] {
        for zone in store::zone_names(folder).unwrap_or_default() {
            let folder = folder.join("zones").join(zone);
            forget_held(&folder);
            let _ = fs::remove_dir(folder);
        }
    }
    let left = |folder| store::zone_names(folder).map_or(true, |names| !names.is_empty());
    if left(places.state()) || left(places.run()) {
        return;
    }
    let said = |result: Result<()>| {
        if let Err(error) = result {
            (observer)(Notice::Message { zone: None, text: format!("is left: {error}") });
        }
    };
    said(bridges(host));
    host.next_zoneadmd().end();
    said(cgroup::remove(places));
    for name in ["zones", "ids", "next-zone-id", "next-zone-id.old", crate::controller::SOCKET] {
        said(tree::remove(&places.run().join(name)));
    }
    said(Secrets::remove(places.state()));
    // The folder itself may be somebody's mount point.
    let _ = fs::remove_dir(places.run());
    let _ = fs::remove_dir(places.zonepaths());
}

/// Removes what was told of a zone that never came to be, where nothing else is there of it.
fn forget_held(folder: &Path) {
    const TOLD: &str = "status.json";
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    if names.as_slice() == [TOLD] {
        let _ = fs::remove_file(folder.join(TOLD));
    }
}

fn bridges(host: &Host) -> Result<()> {
    let mut rtnl = Rtnl::open()?;
    let tag = host.places().tag();
    let own: Vec<u32> = rtnl.links()?.iter().filter(|link| is_own_bridge(link, tag)).map(|link| link.ifindex).collect();
    Ok(rtnl.delete_all(&own)?)
}

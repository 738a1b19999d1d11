//! Who holds a zone whose halt cannot finish: what the kernel shows, as the status document tells it.

use std::path::Path;

use reeve_kernel::observe::{self as kernel, HoldersQuery};
use reeve_state::ZoneFacts;
use reeve_state::halt::{Evidence, EvidenceKind, Holder};

use crate::host::Host;

/// The name of the zone that is the host.
const GLOBAL: &str = "global";

/// Looks for what holds the zone, in about a second at most; and says what could not be read.
pub fn of(host: &Host, facts: &ZoneFacts) -> (Vec<Evidence>, Vec<String>) {
    let places = host.places();
    let (cgroup, parent) = match (places.zone_cgroup(&facts.name), places.cgroup_parent()) {
        (Ok(cgroup), Ok(parent)) => (cgroup, parent),
        (Err(error), _) | (_, Err(error)) => return (Vec::new(), vec![error.to_string()]),
    };
    let recorded = facts.journal.as_ref().map(|entry| entry.evidence.clone()).unwrap_or_default();
    let seen = facts.namespaces.known().unwrap_or(&recorded.namespaces);
    let number = |name: &str| seen.get(name).copied().unwrap_or_default();
    let namespaces = kernel::Namespaces {
        pid: number("pid"),
        mnt: number("mnt"),
        net: number("net"),
        uts: number("uts"),
        ipc: number("ipc"),
        cgroup: number("cgroup"),
    };
    let found = kernel::holders(&HoldersQuery {
        zone: &facts.name,
        run_folder: &places.zone_run(&facts.name),
        zonepath: facts.zonepath.as_deref().map(Path::new),
        cgroup: &cgroup,
        cgroup_root: &parent,
        zsched: facts.zsched.known().map(|process| process.pid),
        namespaces: (!seen.is_empty()).then_some(&namespaces),
        devices: &recorded.superblocks,
        links: &recorded.links,
    });
    (found.evidence.into_iter().map(told).collect(), found.unread)
}

fn told(found: kernel::Evidence) -> Evidence {
    let holder = found.holder.map(|holder| Holder {
        pid: holder.pid,
        start_time: holder.start_time,
        comm: holder.comm,
        zone: holder.zone.unwrap_or_else(|| GLOBAL.to_owned()),
    });
    Evidence { kind: kind(found.kind), object: found.object, path: found.path, holder }
}

fn kind(found: kernel::EvidenceKind) -> EvidenceKind {
    use kernel::EvidenceKind as Found;
    match found {
        Found::Cwd => EvidenceKind::Cwd,
        Found::Root => EvidenceKind::Root,
        Found::Executable => EvidenceKind::Executable,
        Found::OpenFile => EvidenceKind::OpenFile,
        Found::MappedFile => EvidenceKind::MappedFile,
        Found::Mount => EvidenceKind::Mount,
        Found::NamespaceMember => EvidenceKind::NamespaceMember,
        Found::NamespaceDescriptor => EvidenceKind::NamespaceDescriptor,
        Found::NamespaceFile => EvidenceKind::NamespaceFile,
        Found::Process => EvidenceKind::Process,
        Found::Frozen => EvidenceKind::Frozen,
        Found::LoopDevice => EvidenceKind::LoopDevice,
        Found::Swap => EvidenceKind::Swap,
        Found::Fuse => EvidenceKind::Fuse,
        Found::Link => EvidenceKind::Link,
        Found::Cgroup => EvidenceKind::Cgroup,
    }
}

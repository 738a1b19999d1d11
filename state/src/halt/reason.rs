//! What a halt fails by, decided from the step, the call and the evidence: one table, read from top to bottom.

use super::{Evidence, EvidenceKind, FailedStep, HaltBlockedReason};

use EvidenceKind::{Frozen, Fuse, LoopDevice, NamespaceDescriptor, NamespaceFile, NamespaceMember, Process, Swap};
use HaltBlockedReason::{
    CgroupBusy, DetachedNotFreed, DeviceBusy, MountBusy, NamespaceReferenced, NetdevBusy, TaskUninterruptible,
};

/// What a failed step was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Processes of the zone, or zsched.
    Process,
    /// A device, or the console.
    Device,
    /// A link.
    Link,
    /// A mount.
    Mount,
    /// A file system that lives on without being mounted by zsched.
    Superblock,
    /// A namespace.
    Namespace,
    /// The zone's cgroup.
    Cgroup,
}

/// A row: the step, the call (empty: any), and what they are about.
const SUBJECTS: &[(&str, &str, Subject)] = &[
    ("killProcesses", "rmdir", Subject::Cgroup),
    ("killProcesses", "", Subject::Process),
    ("unconfigureDevices", "zsched", Subject::Process),
    ("unconfigureDevices", "", Subject::Device),
    ("unplumb", "zsched", Subject::Process),
    ("unplumb", "", Subject::Link),
    ("unmount", "zsched", Subject::Process),
    ("unmount", "", Subject::Mount),
    ("destroy", "zsched", Subject::Process),
    ("destroy", "populated", Subject::Process),
    ("destroy", "ustat", Subject::Superblock),
    ("destroy", "open_by_handle_at", Subject::Namespace),
    ("destroy", "link", Subject::Link),
    ("destroy", "", Subject::Cgroup),
];

fn subject(failed: &FailedStep) -> Subject {
    let row = SUBJECTS.iter().find(|(step, call, _)| *step == failed.step && (call.is_empty() || *call == failed.call));
    row.map_or(Subject::Process, |(_, _, subject)| *subject)
}

/// The rules, first match wins: what failed, any of these kinds of evidence (none named: whatever was found), the reason.
const RULES: &[(Subject, &[EvidenceKind], HaltBlockedReason)] = &[
    (Subject::Process, &[], TaskUninterruptible),
    (Subject::Device, &[], DeviceBusy),
    (Subject::Mount, &[LoopDevice, Swap], DeviceBusy),
    (Subject::Mount, &[], MountBusy),
    (Subject::Superblock, &[LoopDevice, Swap], DeviceBusy),
    (Subject::Superblock, &[], MountBusy),
    (Subject::Namespace, &[], NamespaceReferenced),
    (Subject::Link, &[NamespaceMember, NamespaceDescriptor, NamespaceFile], NamespaceReferenced),
    (Subject::Link, &[], NetdevBusy),
    (Subject::Cgroup, &[Process, Frozen, Fuse], TaskUninterruptible),
    (Subject::Cgroup, &[], CgroupBusy),
];

/// Why a halt cannot finish. `detached`: a mount was detached by force before.
pub fn reason(failed: &FailedStep, evidence: &[Evidence], detached: bool) -> HaltBlockedReason {
    let subject = subject(failed);
    if detached && matches!(subject, Subject::Mount | Subject::Superblock) {
        return DetachedNotFreed;
    }
    let found = |kinds: &[EvidenceKind]| kinds.is_empty() || evidence.iter().any(|one| kinds.contains(&one.kind));
    let rule = RULES.iter().find(|(about, kinds, _)| *about == subject && found(kinds));
    rule.map_or(CgroupBusy, |(_, _, reason)| *reason)
}

/// What a failed step is about, in words, and its path where it has one.
pub fn object(failed: &FailedStep) -> (String, Option<String>) {
    let FailedStep { call, args, .. } = failed;
    let path = |path: &str| path.starts_with('/').then(|| path.split(", ").next().unwrap_or(path).to_owned());
    let named = |kind: &str| if args.is_empty() { kind.to_owned() } else { format!("{kind} {args}") };
    match subject(failed) {
        Subject::Process if call == "zsched" => (named("zsched"), None),
        Subject::Process => (named("processes"), None),
        Subject::Device => (named("device"), path(args)),
        Subject::Link => (named("link"), None),
        Subject::Mount => (named("mount"), path(args)),
        Subject::Superblock => (named("file system"), None),
        Subject::Namespace => (named("namespace"), None),
        Subject::Cgroup => (named("cgroup"), path(args)),
    }
}

/// EIO: what was to be written was not.
const EIO: i32 = 5;

/// Whether a reboot of the host would lose nothing of the zone's. Not where a process sleeps in the kernel for a reason
/// that nobody knows: what it was to write may be written nowhere, and the reboot may hang on the same thing.
pub fn safe_to_reboot_host(failed: &FailedStep, evidence: &[Evidence]) -> bool {
    let explained = evidence.iter().any(|one| matches!(one.kind, Frozen | Fuse));
    let asleep = evidence.iter().any(|one| one.kind == Process);
    let medium = evidence.iter().any(|one| matches!(one.kind, LoopDevice | Swap));
    let unexplained = subject(failed) == Subject::Process && !explained;
    failed.errno != EIO && !medium && !unexplained && (explained || !asleep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::step_name;

    fn failed(step: &str, call: &str, args: &str) -> FailedStep {
        FailedStep { step: step.into(), call: call.into(), args: args.into(), errno: 16, reason: "busy".into() }
    }

    fn found(kind: EvidenceKind) -> Evidence {
        Evidence { kind, object: "it".into(), path: None, holder: None }
    }

    #[test]
    fn each_failure_has_its_reason() {
        let cases: &[(&str, &str, &[EvidenceKind], HaltBlockedReason)] = &[
            ("killProcesses", "wait", &[Frozen], TaskUninterruptible),
            ("killProcesses", "wait", &[Process, Fuse], TaskUninterruptible),
            ("killProcesses", "wait", &[], TaskUninterruptible),
            ("killProcesses", "rmdir", &[], CgroupBusy),
            ("unconfigureDevices", "umount2", &[EvidenceKind::OpenFile], DeviceBusy),
            ("unplumb", "RTM_SETLINK", &[], NetdevBusy),
            ("unplumb", "zsched", &[], TaskUninterruptible),
            ("unmount", "umount2", &[EvidenceKind::Cwd], MountBusy),
            ("unmount", "umount2", &[EvidenceKind::OpenFile, LoopDevice], DeviceBusy),
            ("unmount", "umount2", &[Swap], DeviceBusy),
            ("unmount", "umount2", &[], MountBusy),
            ("unmount", "zsched", &[], TaskUninterruptible),
            ("destroy", "ustat", &[EvidenceKind::Mount], MountBusy),
            ("destroy", "ustat", &[], MountBusy),
            ("destroy", "open_by_handle_at", &[NamespaceDescriptor], NamespaceReferenced),
            ("destroy", "link", &[NamespaceFile], NamespaceReferenced),
            ("destroy", "link", &[EvidenceKind::Link], NetdevBusy),
            ("destroy", "rmdir", &[EvidenceKind::Cgroup], CgroupBusy),
            ("destroy", "rmdir", &[Process], TaskUninterruptible),
            ("destroy", "zsched", &[], TaskUninterruptible),
        ];
        for (step, call, kinds, expected) in cases {
            let evidence: Vec<Evidence> = kinds.iter().map(|kind| found(*kind)).collect();
            assert_eq!(reason(&failed(step, call, ""), &evidence, false), *expected, "{step}, {call}, {kinds:?}");
        }
    }

    #[test]
    fn what_was_detached_is_not_freed_until_it_is_gone() {
        let one = failed("destroy", "ustat", "0:57");
        assert_eq!(reason(&one, &[found(EvidenceKind::OpenFile)], true), DetachedNotFreed);
        assert_eq!(reason(&failed("destroy", "link", "x"), &[], true), NetdevBusy);
    }

    #[test]
    fn every_step_and_every_subject_has_a_rule() {
        for step in step_name::HALT {
            assert!(SUBJECTS.iter().any(|(name, call, _)| *name == step && call.is_empty()), "{step}");
        }
        for (_, _, subject) in SUBJECTS {
            assert!(RULES.iter().any(|(about, kinds, _)| about == subject && kinds.is_empty()), "{subject:?}");
        }
    }

    #[test]
    fn the_object_says_what_it_is() {
        assert_eq!(object(&failed("unmount", "umount2", "/data")), ("mount /data".into(), Some("/data".into())));
        assert_eq!(object(&failed("destroy", "ustat", "0:57")), ("file system 0:57".into(), None));
        assert_eq!(object(&failed("destroy", "zsched", "pid 7")), ("zsched pid 7".into(), None));
    }

    #[test]
    fn a_reboot_is_safe_where_the_cause_is_known() {
        let wait = failed("killProcesses", "wait", "");
        assert!(safe_to_reboot_host(&wait, &[found(Process), found(Frozen)]));
        assert!(safe_to_reboot_host(&wait, &[found(Process), found(Fuse)]));
        assert!(!safe_to_reboot_host(&wait, &[found(Process)]));
        assert!(!safe_to_reboot_host(&wait, &[]));
        assert!(safe_to_reboot_host(&failed("unmount", "umount2", "/"), &[found(EvidenceKind::Cwd)]));
        assert!(!safe_to_reboot_host(&failed("unmount", "umount2", "/"), &[found(LoopDevice)]));
        assert!(!safe_to_reboot_host(&FailedStep { errno: 5, ..failed("unmount", "umount2", "/") }, &[]));
    }
}

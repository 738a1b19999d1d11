//! Repositories that are odd themselves: damaged, cut short, pointing elsewhere, full of commands, or none.

use crate::cases::{Case, harmless, hostile};
use crate::harness::git::{Repo, commit, now};
use crate::lab;
use crate::scene::Scene;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The file of a loose object.
fn loose(scene: &Scene, object: &str) -> PathBuf {
    scene.repo.path().join("objects").join(&object[..2]).join(&object[2..])
}

/// Puts bytes in place of a loose object.
fn overwrite(scene: &Scene, object: &str, bytes: &[u8]) {
    let file = loose(scene, object);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    std::fs::write(&file, bytes).expect("write");
}

/// One more zone, signed by Alice, whose manifest is another object than any before.
fn evil(scene: &Scene) -> (String, String) {
    let text = format!("# {}\n{}", scene.mark, lab::zone("evil"));
    let commit = scene.commits(&lab::files().with("zones/evil.yaml", &text), &scene.lab.alice);
    (commit, scene.repo.blob(&text))
}

/// A program in the repository that leaves a canary.
fn hooks(scene: &Scene) {
    let folder = scene.repo.path().join("hooks");
    std::fs::create_dir_all(&folder).expect("a folder");
    let names =
        ["post-checkout", "post-update", "pre-receive", "reference-transaction", "post-index-change", "fsmonitor"];
    for name in names.iter().chain(&["update", "post-receive", "pre-upload", "post-merge", "proc-receive"]) {
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{}\n", scene.canary())).expect("a hook");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }
}

/// Settings of git's that start programs.
fn commands(scene: &Scene) {
    let canary = scene.canary();
    for setting in [
        "uploadpack.packObjectsHook",
        "core.fsmonitor",
        "core.alternateRefsCommand",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "core.pager",
        "core.editor",
        "gpg.program",
        "gpg.ssh.program",
        "gpg.ssh.defaultKeyCommand",
        "credential.helper",
        "filter.evil.smudge",
        "filter.evil.clean",
        "filter.evil.process",
        "diff.external",
        "merge.evil.driver",
        "trailer.x.command",
        "sequence.editor",
    ] {
        scene.repo.git(&["config", setting, &format!("!sh -c '{canary}'")]);
        scene.repo.git(&["config", "--add", setting, &canary]);
    }
    scene.repo.git(&["config", "core.hooksPath", &scene.repo.path().join("hooks").display().to_string()]);
}

pub fn cases() -> Vec<Case> {
    [damaged(), replaced(), commanding(), none()].into_iter().flatten().collect()
}

const BROKEN: &[&str] = &["ObjectsRefused", "Unreachable", "NotARepository"];

fn damaged() -> Vec<Case> {
    vec![
        hostile("blob-damaged", BROKEN, |scene| {
            let (commit, blob) = evil(scene);
            overwrite(scene, &blob, b"x\x9cgarbage");
            commit
        }),
        hostile("blob-of-other-content", BROKEN, |scene| {
            let (commit, blob) = evil(scene);
            let other = std::fs::read(loose(scene, &scene.repo.blob(lab::zone("other")))).expect("an object");
            overwrite(scene, &blob, &other);
            commit
        }),
        hostile("blob-missing", BROKEN, |scene| {
            let (commit, blob) = evil(scene);
            std::fs::remove_file(loose(scene, &blob)).expect("remove");
            commit
        }),
        hostile("commit-damaged", &["ObjectsRefused", "Unreachable", "NotARepository", "ReferenceMissing"], |scene| {
            let (commit, _) = evil(scene);
            overwrite(scene, &commit, b"");
            commit
        }),
        hostile("pack-damaged", BROKEN, |scene| {
            let (commit, _) = evil(scene);
            scene.repo.git(&["repack", "-adq"]);
            let folder = scene.repo.path().join("objects/pack");
            for entry in std::fs::read_dir(folder).expect("packs").flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "pack") {
                    let mut bytes = std::fs::read(entry.path()).expect("a pack");
                    let middle = bytes.len() / 2;
                    bytes[middle..middle + 64].fill(0x5a);
                    std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o644)).expect("chmod");
                    std::fs::write(entry.path(), bytes).expect("write");
                }
            }
            commit
        }),
        // The middle is missing in a source that was cloned shallow: what was signed before cannot be seen.
        hostile("shallow", &["ObjectsRefused", "ReferenceMissing", "HistoryRewritten", "UnusualCommit"], |scene| {
            let middle = commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "mallory", now() - 90, "Hidden");
            let middle = scene.repo.object("commit", middle.as_bytes());
            let text = commit(&scene.repo.write(&scene.evil()), &[&middle], "alice", now() - 60, "One more zone");
            let shown = scene.shows(&scene.lab.alice.signed(&text));
            std::fs::write(scene.repo.path().join("shallow"), format!("{shown}\n")).expect("shallow");
            shown
        }),
        hostile("alternates-to-nowhere", BROKEN, |scene| {
            let (commit, blob) = evil(scene);
            std::fs::remove_file(loose(scene, &blob)).expect("remove");
            let file = scene.repo.path().join("objects/info/alternates");
            std::fs::write(file, "/nonexistent/objects\n../../../state/source/store.git/objects\n")
                .expect("alternates");
            commit
        }),
    ]
}

fn replaced() -> Vec<Case> {
    vec![
        hostile("replaced", &["Unsigned"], |scene| {
            let text =
                commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "alice", now() - 60, "One more zone");
            let unsigned = scene.shows(&text);
            let signed = scene.repo.object("commit", scene.lab.alice.signed(&text).as_bytes());
            scene.repo.set(&format!("refs/replace/{unsigned}"), &signed);
            unsigned
        }),
        hostile("grafted", &["Unsigned", "ObjectsRefused", "HistoryRewritten"], |scene| {
            let middle = commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "mallory", now() - 90, "Hidden");
            let middle = scene.repo.object("commit", middle.as_bytes());
            let text = commit(&scene.repo.write(&scene.evil()), &[&middle], "alice", now() - 60, "One more zone");
            let shown = scene.shows(&scene.lab.alice.signed(&text));
            let graft = format!("{shown} {}\n", scene.lab.good);
            std::fs::write(scene.repo.path().join("info/grafts"), graft).expect("grafts");
            shown
        }),
        hostile(
            "repository-of-sha256",
            &["NotARepository", "ObjectsRefused", "Unreachable", "HistoryRewritten"],
            |scene| {
                let path = scene.repo.path().to_owned();
                std::fs::remove_dir_all(&path).expect("remove");
                std::fs::create_dir(&path).expect("a folder");
                scene.repo.git(&["init", "-q", "--bare", "-b", "main", "--object-format=sha256"]);
                let text = commit(&scene.repo.write(&scene.evil()), &[], "alice", now() - 60, "Another first");
                scene.shows(&scene.lab.alice.signed(&text))
            },
        ),
    ]
}

fn commanding() -> Vec<Case> {
    vec![
        hostile("hooks-and-commands", &["Unsigned"], |scene| {
            hooks(scene);
            commands(scene);
            let text =
                commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "alice", now() - 60, "One more zone");
            scene.shows(&text)
        }),
        harmless("hooks-and-commands-of-a-good-one", |scene| {
            hooks(scene);
            commands(scene);
            scene.commits(&scene.evil(), &scene.lab.alice)
        }),
        harmless("hooks-as-files", |scene| {
            let hook = format!("#!/bin/sh\n{}\n", scene.canary());
            let files = scene.evil().with("hooks/post-checkout", &hook).with("zones/hooks/post-checkout", &hook);
            scene.commits(&files.with("config", "[core]\n\tfsmonitor = hooks/post-checkout\n"), &scene.lab.alice)
        }),
        harmless("alternates", |scene| {
            // Objects of a neighbour may be read from there, but the store must have them itself.
            let neighbour = scene.repo.copy(&scene.host.folder().join("neighbour.git"));
            let (commit, blob) = evil(scene);
            neighbour.blob(format!("# {}\n{}", scene.mark, lab::zone("evil")));
            std::fs::remove_file(loose(scene, &blob)).expect("remove");
            let objects = neighbour.path().join("objects").display().to_string();
            std::fs::write(scene.repo.path().join("objects/info/alternates"), objects + "\n").expect("alternates");
            commit
        })
        .looked(|scene| {
            std::fs::remove_dir_all(scene.host.folder().join("neighbour.git")).expect("remove");
            let store = scene.host.folder().join("state/source/store.git");
            if store.join("objects/info/alternates").exists() {
                return Some("the store reads from elsewhere".into());
            }
            let whole = Repo::at(&store).succeeds(&["fsck", "--full", "--no-dangling"]);
            (!whole).then(|| "the store is not whole without the neighbour".into())
        }),
    ]
}

fn none() -> Vec<Case> {
    const NONE: &[&str] = &["NotARepository", "Unreachable"];
    vec![
        hostile("became-a-file", NONE, |scene| {
            std::fs::remove_dir_all(scene.repo.path()).expect("remove");
            std::fs::write(scene.repo.path(), "no repository\n").expect("write");
            String::new()
        }),
        hostile("became-a-folder", NONE, |scene| {
            std::fs::remove_dir_all(scene.repo.path()).expect("remove");
            std::fs::create_dir(scene.repo.path()).expect("a folder");
            String::new()
        }),
        hostile("went-away", NONE, |scene| {
            std::fs::remove_dir_all(scene.repo.path()).expect("remove");
            String::new()
        }),
        hostile("points-elsewhere", &["Unsigned", "NotARepository", "Unreachable"], |scene| {
            // A file in the place of a repository that names another one, with an unsigned commit.
            let other = scene.repo.copy(&scene.host.folder().join("other.git"));
            let text = commit(&other.write(&scene.evil()), &[&scene.lab.good], "alice", now() - 60, "One more zone");
            let object = other.object("commit", text.as_bytes());
            other.set("refs/heads/main", &object);
            std::fs::remove_dir_all(scene.repo.path()).expect("remove");
            std::fs::write(scene.repo.path(), format!("gitdir: {}\n", other.path().display())).expect("write");
            object
        }),
    ]
}

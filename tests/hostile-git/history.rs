//! History: rewritten, replayed, unrelated, gone, and references that name something else.

use crate::cases::{Case, hostile};
use crate::harness::git::{commit, now};
use crate::lab;
use crate::scene::Scene;

/// One more zone on the good commit, signed by Alice, which `main` does not name.
fn good_more(scene: &Scene) -> String {
    let text = commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "alice", now() - 60, "One more zone");
    scene.repo.object("commit", scene.lab.alice.signed(&text).as_bytes())
}

/// Something harmless on the good commit.
fn newer(scene: &Scene) -> String {
    let files = lab::files().with("README", "newer\n");
    let text = commit(&scene.repo.write(&files), &[&scene.lab.good], "alice", now() - 90, "Newer");
    scene.shows(&scene.lab.alice.signed(&text))
}

pub fn cases() -> Vec<Case> {
    [rewritten(), references()].into_iter().flatten().collect()
}

fn rewritten() -> Vec<Case> {
    vec![
        hostile("rewritten", &["HistoryRewritten"], |scene| {
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.first], "alice", now() - 60, "Another second");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("unrelated", &["HistoryRewritten"], |scene| {
            let text = commit(&scene.repo.write(&scene.evil()), &[], "alice", now() - 60, "Another first");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("same-tree-rewritten", &["HistoryRewritten"], |scene| {
            let text = commit(&scene.repo.write(&lab::files()), &[], "alice", now() - 60, "All in one");
            scene.shows(&scene.lab.alice.signed(&text))
        }),
        hostile("older-commit", &["OlderCommit"], |scene| {
            scene.repo.set("refs/heads/main", &scene.lab.first);
            scene.lab.first.clone()
        }),
        hostile("accepted-before", &["OlderCommit"], |scene| {
            let newer = newer(scene);
            scene.accept(&newer);
            scene.repo.set("refs/heads/main", &scene.lab.good);
            scene.lab.good.clone()
        }),
        // Back to the good one and from there to another: never seen, but not what was followed.
        hostile("sibling-of-the-accepted", &["HistoryRewritten"], |scene| {
            let newer = newer(scene);
            scene.accept(&newer);
            let more = good_more(scene);
            scene.repo.set("refs/heads/main", &more);
            more
        }),
        // The controller forgets nothing over a start.
        hostile("older-commit-after-a-start", &["OlderCommit"], |scene| {
            scene.host.end_controller(libc::SIGKILL);
            scene.repo.set("refs/heads/main", &scene.lab.first);
            scene.start();
            scene.wait_told();
            scene.lab.first.clone()
        }),
        hostile("not-from-the-trusted-one", &["NotFromTrusted"], |scene| {
            let text = commit(&scene.repo.write(&scene.evil()), &[], "alice", now() - 60, "Another first");
            scene.shows(&scene.lab.alice.signed(&text))
        })
        .told(|scene, settings| settings.trust.push(format!("from: {}", scene.lab.first)))
        .fresh(),
        hostile("before-the-trusted-one", &["NotFromTrusted", "OlderCommit"], |scene| {
            scene.repo.set("refs/heads/main", &scene.lab.first);
            scene.lab.first.clone()
        })
        .told(|scene, settings| settings.trust.push(format!("from: {}", scene.lab.good)))
        .fresh(),
        hostile("unsigned-behind-the-trusted-one", &["Unsigned"], |scene| {
            let tree = scene.repo.write(&scene.evil());
            scene.shows(&commit(&tree, &[&scene.lab.good], "alice", now() - 60, "One more zone"))
        })
        .told(|scene, settings| settings.trust.push(format!("from: {}", scene.lab.first)))
        .fresh(),
    ]
}

fn references() -> Vec<Case> {
    vec![
        hostile("branch-gone", &["ReferenceMissing"], |scene| {
            scene.repo.git(&["update-ref", "-d", "refs/heads/main"]);
            String::new()
        }),
        hostile("everything-gone", &["ReferenceMissing", "NotARepository", "Unreachable"], |scene| {
            std::fs::remove_dir_all(scene.repo.path()).expect("remove");
            crate::harness::git::Repo::new(scene.repo.path());
            String::new()
        }),
        hostile("branch-became-a-folder", &["ReferenceMissing"], |scene| {
            let more = good_more(scene);
            scene.repo.git(&["update-ref", "-d", "refs/heads/main"]);
            scene.repo.set("refs/heads/main/x", &more);
            String::new()
        }),
        hostile("tag-of-the-branch-name", &["ReferenceMissing"], |scene| {
            let more = good_more(scene);
            scene.repo.git(&["update-ref", "-d", "refs/heads/main"]);
            scene.repo.set("refs/tags/main", &more);
            String::new()
        }),
        hostile("branch-names-a-blob", &["UnusualCommit", "ReferenceMissing", "ObjectsRefused"], |scene| {
            let blob = scene.repo.blob("no commit");
            std::fs::write(scene.repo.path().join("refs/heads/main"), blob.clone() + "\n").expect("a reference");
            blob
        }),
        hostile("branch-names-a-tree", &["UnusualCommit", "ReferenceMissing", "ObjectsRefused"], |scene| {
            let tree = scene.repo.write(&scene.evil());
            std::fs::write(scene.repo.path().join("refs/heads/main"), tree.clone() + "\n").expect("a reference");
            tree
        }),
        hostile("tag-moved-away", &["HistoryRewritten"], |scene| {
            let text = commit(&scene.repo.write(&scene.evil()), &[], "alice", now() - 60, "Another first");
            let other = scene.repo.object("commit", scene.lab.alice.signed(&text).as_bytes());
            scene.repo.set("refs/tags/v1", &other);
            other
        })
        .told(|scene, settings| {
            scene.repo.set("refs/tags/v1", &scene.lab.good);
            settings.reference = "tag: v1".into();
        }),
        hostile("tag-of-a-blob", &["UnusualCommit", "ReferenceMissing", "ObjectsRefused"], |scene| {
            scene.repo.set("refs/tags/v1", &scene.repo.blob("no commit"));
            String::new()
        })
        .told(|_, settings| settings.reference = "tag: v1".into())
        .fresh(),
        // Its tag is signed, the commit itself is not.
        hostile("signed-tag-of-an-unsigned-commit", &["Unsigned"], |scene| {
            let text =
                commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "alice", now() - 60, "One more zone");
            let object = scene.repo.object("commit", text.as_bytes());
            let who = format!("alice <alice@fleet.example> {} +0000", now() - 50);
            let tag = format!("object {object}\ntype commit\ntag v1\ntagger {who}\n\nVersion 1\n");
            let signed = format!("{tag}{}\n", scene.lab.alice.sign(tag.as_bytes()));
            let tag = scene.repo.object("tag", signed.as_bytes());
            scene.repo.set("refs/tags/v1", &tag);
            object
        })
        .told(|_, settings| settings.reference = "tag: v1".into())
        .fresh(),
        hostile("commit-that-is-not-there", &["ReferenceMissing", "ObjectsRefused"], |_| String::new())
            .told(|_, settings| settings.reference = format!("commit: '{}'", "5".repeat(40)))
            .fresh(),
        hostile("one-commit-unsigned", &["Unsigned"], |scene| scene.repo.git(&["rev-parse", "refs/heads/odd"]))
            .told(|scene, settings| {
                let tree = scene.repo.write(&scene.evil());
                let text = commit(&tree, &[&scene.lab.good], "alice", 1_700_000_000, "One more zone");
                let object = scene.repo.object("commit", text.as_bytes());
                scene.repo.set("refs/heads/odd", &object);
                settings.reference = format!("commit: {object}");
            })
            .fresh(),
    ]
}

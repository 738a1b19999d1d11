//! Zones that belong to somebody: Bob may change the files below `zones/bob` and in them zones named `bob-*`, nothing else.

use crate::cases::{Case, hostile};
use crate::harness::git::{FILE, Files, commit, now};
use crate::lab;
use crate::scene::{Scene, Settings};

/// Alice may change everything, Bob his own.
pub fn owned(_: &Scene, settings: &mut Settings) {
    let lines = [
        "owners:",
        "  - signers: [alice@fleet.example]",
        "    paths: ['**']",
        "  - signers: [bob@fleet.example]",
        "    paths: ['zones/bob/**']",
        "    zones: ['bob-*']",
    ];
    settings.trust.extend(lines.map(str::to_owned));
}

/// Alice may change everything, Bob zones named `bob-*` in files that both have.
pub fn shared(_: &Scene, settings: &mut Settings) {
    let lines = [
        "owners:",
        "  - signers: [alice@fleet.example]",
        "    paths: ['**']",
        "  - signers: [bob@fleet.example]",
        "    paths: ['zones/**']",
        "    zones: ['bob-*']",
    ];
    settings.trust.extend(lines.map(str::to_owned));
}

/// The good files as Bob changed them.
fn by_bob(name: &'static str, change: fn(Files) -> Files) -> Case {
    hostile(name, &["NotOwner"], move |scene| scene.commits(&change(lab::files()), &scene.lab.bob)).told(owned)
}

/// A manifest of another kind.
fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: reeve.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n{spec}")
}

pub fn cases() -> Vec<Case> {
    [files(), histories()].into_iter().flatten().collect()
}

fn files() -> Vec<Case> {
    vec![
        by_bob("bob-adds-beside", |files| files.with("zones/evil.yaml", lab::zone("bob-2"))),
        by_bob("bob-changes-alices-file", |files| {
            files.with("zones/good.yaml", lab::zone("good").replace("installed", "ready"))
        }),
        by_bob("bob-deletes-alices-file", |files| files.without("zones/good.yaml")),
        by_bob("bob-names-alices-zone", |files| {
            files.without("zones/good.yaml").with("zones/bob/good.yaml", lab::zone("good"))
        }),
        by_bob("bob-names-a-zone-not-his", |files| files.with("zones/bob/evil.yaml", lab::zone("evil"))),
        by_bob("bob-names-it-in-a-second-document", |files| {
            let two = format!("{}---\n{}", lab::zone("bob-1"), lab::zone("evil"));
            files.with("zones/bob/bob-1.yaml", two)
        }),
        by_bob("bob-renames-his-zone", |files| files.with("zones/bob/bob-1.yaml", lab::zone("evil"))),
        by_bob("bob-moves-alices-file", |files| {
            files.without("zones/good.yaml").with("zones/bob/bob-good.yaml", lab::zone("good"))
        }),
        by_bob("bob-adds-an-overlay", |files| {
            let spec = "spec:\n  hosts:\n    names: [host]\n  zones:\n    names: [good]\n  patch:\n    spec:\n      state: ready\n";
            files.with("zones/bob/overlay.yaml", document("Overlay", "bob-overlay", spec))
        }),
        by_bob("bob-adds-a-host", |files| {
            files.with("zones/bob/host.yaml", document("Host", "bob-host", "  labels:\n    role: web\n"))
        }),
        by_bob("bob-changes-attributes", |files| files.with(".gitattributes", "*.yaml text=auto\n")),
        by_bob("bob-changes-readme", |files| files.with("README", "of Bob\n")),
        by_bob("bob-case-of-his-folder", |files| files.with("zones/Bob/evil.yaml", lab::zone("bob-2"))),
        by_bob("bob-beside-his-folder", |files| files.with("zones/bobby/evil.yaml", lab::zone("bob-2"))),
        by_bob("bob-hides-documents", |files| {
            // Two readers of YAML could see different documents in it.
            let text = format!("{}...\n{}", lab::zone("bob-1"), lab::zone("evil"));
            files.with("zones/bob/bob-1.yaml", text)
        }),
        hostile("bob-replaces-a-folder", &["NotOwner"], |scene| {
            let blob = scene.repo.blob(lab::zone("bob-1"));
            let files = lab::files().without("zones").object("zones", FILE, &blob);
            scene.commits(&files, &scene.lab.bob)
        })
        .told(owned),
        hostile("bob-makes-alices-file-executable", &["NotOwner"], |scene| {
            let blob = scene.repo.blob(lab::zone("good"));
            scene.commits(&lab::files().object("zones/good.yaml", "100755", &blob), &scene.lab.bob)
        })
        .told(owned),
    ]
}

/// Alice's zone as she changed it on a branch of hers: the commit.
fn alices_change(scene: &Scene) -> String {
    let files = lab::files().with("zones/good.yaml", format!("# changed\n{}", lab::zone("good")));
    let text = commit(&scene.repo.write(&files), &[&scene.lab.good], "alice", now() - 120, "Good is better");
    scene.repo.object("commit", scene.lab.alice.signed(&text).as_bytes())
}

/// Bob's own zone as he changed it on a branch of his: the commit.
fn bobs_change(scene: &Scene) -> String {
    let files = lab::files().with("zones/bob/bob-1.yaml", format!("# changed\n{}", lab::zone("bob-1")));
    let text = commit(&scene.repo.write(&files), &[&scene.lab.good], "bob", now() - 110, "Bob's is better");
    scene.repo.object("commit", scene.lab.bob.signed(&text).as_bytes())
}

/// Bob merges these two and the result has these files.
fn bob_merges(scene: &Scene, parents: [&str; 2], files: &Files) -> String {
    let text = commit(&scene.repo.write(files), &parents, "bob", now() - 60, "Merge");
    scene.shows(&scene.lab.bob.signed(&text))
}

fn histories() -> Vec<Case> {
    vec![
        hostile("evil-merge", &["NotOwner"], |scene| {
            let (alices, bobs) = (alices_change(scene), bobs_change(scene));
            let files = lab::files().with("zones/good.yaml", lab::zone("good").replace("installed", "ready"));
            bob_merges(scene, [&alices, &bobs], &files)
        })
        .told(owned),
        hostile("merge-that-takes-the-old-side", &["NotOwner"], |scene| {
            let (alices, bobs) = (alices_change(scene), bobs_change(scene));
            let files = lab::files().with("zones/bob/bob-1.yaml", format!("# changed\n{}", lab::zone("bob-1")));
            bob_merges(scene, [&bobs, &alices], &files)
        })
        .told(owned),
        // In conflict with hers, Bob takes his old one; and in a file of both, his word for hers.
        hostile("merge-that-resolves-against-her", &["NotOwner"], |scene| {
            let alices = alices_change(scene);
            let files = lab::files().with("zones/good.yaml", format!("# changed\n{}", lab::zone("good")));
            let files = files.with("zones/bob/bob-1.yaml", format!("# changed\n{}", lab::zone("bob-1")));
            let hers = commit(&scene.repo.write(&files), &[&alices], "alice", now() - 100, "Bob's is better so");
            let hers = scene.repo.object("commit", scene.lab.alice.signed(&hers).as_bytes());
            let files = lab::files().with("zones/bob/bob-1.yaml", format!("# otherwise\n{}", lab::zone("bob-1")));
            let his = commit(&scene.repo.write(&files), &[&scene.lab.good], "bob", now() - 90, "No, so");
            let his = scene.repo.object("commit", scene.lab.bob.signed(&his).as_bytes());
            bob_merges(scene, [&his, &hers], &files)
        })
        .told(owned),
        hostile("merge-in-a-file-of-both", &["NotOwner"], |scene| {
            let both = |his: &str, hers: &str| {
                let zone =
                    |name: &str, host: &str| lab::zone(name).replace("spec:", &format!("spec:\n  hostname: {host}"));
                let text =
                    format!("{}{}---\n{}", zone("bob-1", his), "# a line between\n".repeat(20), zone("good", hers));
                lab::files().without("zones").with("zones/both.yaml", text)
            };
            let made = |files: &Files, parents: &[&str], signer: &crate::harness::git::Signer| {
                let text = commit(&scene.repo.write(files), parents, "somebody", now() - 60, "A change");
                scene.repo.object("commit", signer.signed(&text).as_bytes())
            };
            let (alice, bob) = (&scene.lab.alice, &scene.lab.bob);
            let one = made(&both("one", "one"), &[&scene.lab.good], alice);
            let hers = made(&both("one", "two"), &[&one], alice);
            let his = made(&both("two", "one"), &[&one], bob);
            bob_merges(scene, [&his, &hers], &both("two", "three"))
        })
        .told(shared),
        hostile("merge-that-takes-the-old-side-of-hers", &["NotOwner"], |scene| {
            let (alices, bobs) = (alices_change(scene), bobs_change(scene));
            scene.repo.set("refs/heads/main", &alices);
            scene.accept(&alices);
            let files = lab::files().with("zones/bob/bob-1.yaml", format!("# changed\n{}", lab::zone("bob-1")));
            bob_merges(scene, [&alices, &bobs], &files)
        })
        .told(owned),
        hostile("bob-changes-and-puts-it-back", &["NotOwner"], |scene| {
            let files = lab::files().with("zones/good.yaml", lab::zone("good").replace("installed", "ready"));
            let there = commit(&scene.repo.write(&files), &[&scene.lab.good], "bob", now() - 120, "There");
            let there = scene.repo.object("commit", scene.lab.bob.signed(&there).as_bytes());
            let back = commit(&scene.repo.write(&lab::files()), &[&there], "bob", now() - 60, "And back");
            scene.shows(&scene.lab.bob.signed(&back))
        })
        .told(owned),
        hostile("bob-reverts-alices-commit", &["NotOwner"], |scene| {
            let alices = alices_change(scene);
            scene.repo.set("refs/heads/main", &alices);
            scene.accept(&alices);
            let text = commit(&scene.repo.write(&lab::files()), &[&alices], "bob", now() - 60, "Revert");
            scene.shows(&scene.lab.bob.signed(&text))
        })
        .told(owned),
        // A host that sees the repository for the first time lets nobody have more than the others let him.
        hostile("bob-is-seen-first", &["NotOwner", "NotFromTrusted"], |scene| {
            scene.commits(&scene.evil().without("zones/good.yaml"), &scene.lab.bob)
        })
        .told(owned)
        .fresh(),
        // In a folder of both: of all that is beside the manifests, Alice's secrets are not Bob's to replace.
        hostile("bob-replaces-a-secret", &["NotOwner"], |scene| {
            scene.commits(&lab::files().with("zones/good.age", "age-encryption.org/v1\n"), &scene.lab.bob)
        })
        .told(shared),
        hostile("bob-changes-alices-zone-in-a-file-of-both", &["NotOwner"], |scene| {
            let files = lab::files().with("zones/good.yaml", lab::zone("good").replace("installed", "ready"));
            scene.commits(&files, &scene.lab.bob)
        })
        .told(shared),
        hostile("signer-without-a-rule", &["NotOwner"], |scene| {
            let files = lab::files().with("zones/bob/bob-1.yaml", format!("# changed\n{}", lab::zone("bob-1")));
            scene.commits(&files, &scene.lab.rsa)
        })
        .told(owned),
    ]
}

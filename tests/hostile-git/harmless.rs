//! What looks much like something hostile and is not: all of it is applied.

use crate::cases::{Case, harmless};
use crate::harness::git::{FILE, Files, GITLINK, Signer, commit, fed, now, with_header};
use crate::harness::shown;
use crate::lab::{self, Lab};
use crate::owners::{owned, shared};
use crate::scene::Scene;
use std::process::Command;
use std::time::{Duration, Instant};

/// One more zone and something beside it, by Alice.
fn files(name: &'static str, change: fn(&Scene, Files) -> Files) -> Case {
    harmless(name, move |scene| scene.commits(&change(scene, scene.evil()), &scene.lab.alice))
}

/// One more zone, by somebody else.
fn signed_by(name: &'static str, signer: fn(&Lab) -> Signer) -> Case {
    harmless(name, move |scene| scene.commits(&scene.evil(), &signer(scene.lab)))
}

/// Stores a commit of these files.
fn made(scene: &Scene, files: &Files, parents: &[&str], signer: Option<&Signer>) -> String {
    let text = commit(&scene.repo.write(files), parents, "somebody", now() - 50, "A change");
    let text = signer.map_or(text.clone(), |signer| signer.signed(&text));
    scene.repo.object("commit", text.as_bytes())
}

pub fn cases() -> Vec<Case> {
    [trees(), signers(), histories(), belonging()].into_iter().flatten().collect()
}

fn trees() -> Vec<Case> {
    vec![
        files("good-plain", |_, files| files),
        files("good-link-outside", |_, files| {
            files.link("latest", "../../etc/passwd").link("docs/x.yaml", "../README")
        }),
        files("good-attributes", |_, files| {
            files
                .with(".gitattributes", "* text=auto\n*.yaml text eol=lf diff\n")
                .with("zones/.gitattributes", "*.yaml -crlf\n")
        }),
        files("good-filter-elsewhere", |_, files| {
            files.with(".gitattributes", "*.png filter=lfs diff=lfs merge=lfs -text\n").with("docs/a.png", "version\n")
        }),
        files("good-dots-in-a-name", |_, files| {
            files.with("zones/a..b.yaml", "# nothing\n").with("zones/..c", "text\n")
        }),
        files("good-odd-names", |_, files| {
            files.with("zones/zone \u{e9}\u{4e16}.yaml", "# nothing\n").with("zones/-rf.yaml", "# nothing\n")
        }),
        files("good-deep-folders", |_, files| {
            files.without("zones/evil.yaml").with("zones/a/b/c/d/e/f/g/h/i/j/evil.yaml", lab::zone("evil"))
        }),
        files("good-submodule-outside", |scene, files| {
            let text = "[submodule \"m\"]\n\tpath = module\n\turl = https://fleet.example/m.git\n";
            files.with(".gitmodules", text).object("module", GITLINK, &scene.lab.good)
        }),
        files("good-hidden-file", |_, files| files.with("zones/.draft.yaml", "no: [manifest\n")),
        files("good-executable-manifest", |scene, files| {
            files.object("zones/evil.yaml", "100755", &scene.repo.blob(lab::zone("evil")))
        }),
        files("good-large-file-outside", |scene, files| {
            let zeros = scene.repo.blob(vec![0; 60 << 20]);
            files.object("images/disk.img", FILE, &zeros)
        })
        .watched(),
        files("good-binary-beside", |_, files| files.with("zones/logo.png", b"\x89PNG\0\xff\xfe")),
    ]
}

fn signers() -> Vec<Case> {
    vec![
        signed_by("good-expiring-signer", |lab| lab.expiring.clone()),
        signed_by("good-rsa-key", |lab| lab.rsa.clone()),
        signed_by("good-ecdsa-key", |lab| lab.ecdsa.clone()),
        signed_by("good-certificate", |lab| lab.certified.clone()),
        signed_by("good-gpg-key", |lab| lab.gpg.clone()),
        harmless("good-unsigned-in-the-middle-of-head", |scene| {
            let middle = made(scene, &scene.evil(), &[&scene.lab.good], None);
            scene.shows(&scene.lab.alice.signed(&commit(
                &scene.repo.write(&scene.evil()),
                &[&middle],
                "alice",
                now() - 30,
                "More",
            )))
        })
        .told(|_, settings| settings.trust.push("verify: head".into())),
        harmless("good-unsigned-side-branch", |scene| {
            let side = made(scene, &scene.evil(), &[&scene.lab.good], None);
            let merge = made(scene, &scene.evil(), &[&scene.lab.good, &side], Some(&scene.lab.alice));
            scene.repo.set("refs/heads/main", &merge);
            merge
        })
        .told(|_, settings| settings.trust.push("verify: first-parent".into())),
        harmless("good-behind-the-trusted-one", |scene| scene.repo.head())
            .told(|scene, settings| {
                let root = made(scene, &lab::files(), &[], None);
                let next = made(scene, &scene.evil(), &[&root], Some(&scene.lab.alice));
                scene.repo.set("refs/heads/main", &next);
                settings.trust.push(format!("from: {root}"));
            })
            .fresh(),
        harmless("good-where-anybody-may", |scene| {
            let commit = made(scene, &scene.evil(), &[&scene.lab.good], None);
            scene.repo.set("refs/heads/main", &commit);
            commit
        })
        .told(|_, settings| settings.trust.clear()),
    ]
}

fn histories() -> Vec<Case> {
    vec![
        harmless("good-revert", |scene| {
            let broken = scene.evil().with("README", "broken\n");
            let broken = made(scene, &broken, &[&scene.lab.good], Some(&scene.lab.alice));
            scene.repo.set("refs/heads/main", &broken);
            scene.accept(&broken);
            let back = made(scene, &scene.evil(), &[&broken], Some(&scene.lab.alice));
            scene.repo.set("refs/heads/main", &back);
            back
        }),
        harmless("good-rewritten-and-approved", |scene| {
            let other = made(scene, &scene.evil(), &[&scene.lab.first], Some(&scene.lab.alice));
            scene.repo.set("refs/heads/main", &other);
            let verdict = scene.verdict(&other);
            assert!(
                matches!(&verdict, crate::scene::Verdict::Rejected(reason, _) if reason == "HistoryRewritten"),
                "{verdict:?}"
            );
            let output = scene.reeve(&["approve", "source", &other]);
            assert!(output.status.success(), "reeve approve source: {}", shown(&output));
            let started = Instant::now();
            while scene.source()["accepted"]["commit"] != other.as_str() && started.elapsed() < Duration::from_secs(20)
            {
                std::thread::sleep(Duration::from_millis(30));
            }
            other
        }),
        harmless("good-header-of-an-encoding", |scene| {
            let text = commit(&scene.repo.write(&scene.evil()), &[&scene.lab.good], "alice", now() - 50, "M\u{fc}ll");
            scene.shows(&scene.lab.alice.signed(&with_header(&text, "encoding", "UTF-8")))
        }),
        // What merging a signed tag keeps of the tag.
        harmless("good-header-of-a-tag", |scene| {
            let side = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.bob));
            let who = format!("bob <bob@fleet.example> {} +0000", now() - 55);
            let tag = format!("object {side}\ntype commit\ntag v2\ntagger {who}\n\nVersion 2\n");
            let tag = format!("{tag}{}", scene.lab.bob.sign(tag.as_bytes()));
            let tree = scene.repo.write(&scene.evil());
            let text = commit(&tree, &[&scene.lab.good, &side], "alice", now() - 40, "Merge tag v2");
            scene.shows(&scene.lab.alice.signed(&with_header(&text, "mergetag", &tag)))
        }),
        harmless("good-octopus", |scene| {
            let one = made(scene, &lab::files().with("a", "a"), &[&scene.lab.good], Some(&scene.lab.alice));
            let two = made(scene, &lab::files().with("b", "b"), &[&scene.lab.first], Some(&scene.lab.bob));
            let all = scene.evil().with("a", "a").with("b", "b");
            let merge = made(scene, &all, &[&scene.lab.good, &one, &two], Some(&scene.lab.alice));
            scene.repo.set("refs/heads/main", &merge);
            merge
        }),
        harmless("good-odd-references-beside", |scene| {
            let commit = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
            for name in
                ["refs/heads/-evil", "refs/heads/--upload-pack", "refs/tags/main", "refs/heads/a@b", "refs/x/HEAD"]
            {
                let text = format!("{}\n", scene.lab.first);
                let file = scene.repo.path().join(name);
                std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
                std::fs::write(file, text).expect("a reference");
            }
            scene.repo.set("refs/heads/main", &commit);
            commit
        }),
        harmless("good-packed", |scene| {
            let commit = scene.commits(&scene.evil(), &scene.lab.alice);
            scene.repo.git(&["gc", "-q", "--prune=now"]);
            commit
        }),
        harmless("good-branch-with-slash", |scene| {
            let commit = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
            scene.repo.set("refs/heads/fleet/prod-1.0", &commit);
            commit
        })
        .told(|scene, settings| {
            scene.repo.set("refs/heads/fleet/prod-1.0", &scene.lab.good);
            settings.reference = "branch: fleet/prod-1.0".into();
        }),
        harmless("good-tag-that-goes-on", |scene| {
            let commit = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
            scene.repo.git(&[
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "tag",
                "-f",
                "-a",
                "-m",
                "v1",
                "v1",
                &commit,
            ]);
            commit
        })
        .told(|scene, settings| {
            scene.repo.set("refs/tags/v1", &scene.lab.good);
            settings.reference = "tag: v1".into();
        }),
        harmless("good-one-commit", |scene| scene.repo.head())
            .told(|scene, settings| {
                let commit = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
                scene.repo.set("refs/heads/main", &commit);
                settings.reference = format!("commit: {commit}");
            })
            .fresh(),
        harmless("good-head", |scene| scene.commits(&scene.evil(), &scene.lab.alice))
            .told(|_, settings| settings.reference.clear()),
        harmless("good-branch-by-another-name", |scene| {
            let commit = scene.commits(&scene.evil(), &scene.lab.alice);
            scene.repo.git(&["symbolic-ref", "refs/heads/prod", "refs/heads/main"]);
            commit
        })
        .told(|scene, settings| {
            scene.repo.git(&["symbolic-ref", "refs/heads/prod", "refs/heads/main"]);
            settings.reference = "branch: prod".into();
        }),
        harmless("good-file-url", |scene| scene.commits(&scene.evil(), &scene.lab.alice))
            .told(|_, settings| settings.url = format!("file://{}", settings.url)),
        // Read as whom it belongs to: what its settings make git do, its owner does, who may not write here.
        harmless("good-repository-of-somebody-else", |scene| scene.commits(&scene.evil(), &scene.lab.alice)).told(
            |scene, _| {
                scene.repo.git(&["config", "uploadpack.packObjectsHook", &scene.canary()]);
                scene.repo.git(&["config", "core.fsmonitor", &scene.canary()]);
                fed(Command::new("chown").args(["-R", "65534:65534"]).arg(scene.repo.path()), b"");
            },
        ),
    ]
}

fn belonging() -> Vec<Case> {
    vec![
        harmless("good-owner-changes-his-own", |scene| {
            // Alice adds the zone, Bob changes what is his.
            let alices = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
            let files = scene.evil().with("zones/bob/bob-1.yaml", format!("# better\n{}", lab::zone("bob-1")));
            let bobs = made(scene, &files, &[&alices], Some(&scene.lab.bob));
            scene.repo.set("refs/heads/main", &bobs);
            bobs
        })
        .told(owned),
        harmless("good-merge-of-two-owners", |scene| {
            let changed = format!("# better\n{}", lab::zone("bob-1"));
            let alices = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
            let files = lab::files().with("zones/bob/bob-1.yaml", &changed);
            let bobs = made(scene, &files, &[&scene.lab.good], Some(&scene.lab.bob));
            // Bob merges what Alice did: no file of hers is other than she left it.
            let both = scene.evil().with("zones/bob/bob-1.yaml", &changed);
            let merge = made(scene, &both, &[&bobs, &alices], Some(&scene.lab.bob));
            scene.repo.set("refs/heads/main", &merge);
            merge
        })
        .told(owned),
        harmless("good-merge-with-a-conflict", |scene| {
            let alices = scene.evil().with("zones/bob/bob-1.yaml", format!("# alice\n{}", lab::zone("bob-1")));
            let alices = made(scene, &alices, &[&scene.lab.good], Some(&scene.lab.alice));
            let bobs = lab::files().with("zones/bob/bob-1.yaml", format!("# bob\n{}", lab::zone("bob-1")));
            let bobs = made(scene, &bobs, &[&scene.lab.good], Some(&scene.lab.bob));
            let both = scene.evil().with("zones/bob/bob-1.yaml", format!("# both\n{}", lab::zone("bob-1")));
            let merge = made(scene, &both, &[&bobs, &alices], Some(&scene.lab.bob));
            scene.repo.set("refs/heads/main", &merge);
            merge
        })
        .told(owned),
        // Each changes his own of the two in one file, and git merges the lines.
        harmless("good-merge-in-a-file-of-both", |scene| {
            let both = |his: &str, hers: &str| {
                let far = "# a line between\n".repeat(20);
                let his = lab::zone("bob-1").replace("spec:", &format!("spec:\n  hostname: {his}"));
                let files = scene.evil().without("zones/bob").without("zones/good.yaml");
                let hers = lab::zone("good").replace("spec:", &format!("spec:\n  hostname: {hers}"));
                files.with("zones/both.yaml", format!("{his}{far}---\n{far}{hers}"))
            };
            let alice = Some(&scene.lab.alice);
            let one = made(scene, &both("one", "one"), &[&scene.lab.good], alice);
            let hers = made(scene, &both("one", "two"), &[&one], alice);
            let his = made(scene, &both("two", "one"), &[&one], Some(&scene.lab.bob));
            let merge = made(scene, &both("two", "two"), &[&his, &hers], Some(&scene.lab.bob));
            scene.repo.set("refs/heads/main", &merge);
            merge
        })
        .told(shared),
        harmless("good-owner-moves-his-own", |scene| {
            let alices = made(scene, &scene.evil(), &[&scene.lab.good], Some(&scene.lab.alice));
            let files = scene.evil().without("zones/bob/bob-1.yaml").with("zones/bob/sub/one.yaml", lab::zone("bob-1"));
            let bobs = made(scene, &files, &[&alices], Some(&scene.lab.bob));
            scene.repo.set("refs/heads/main", &bobs);
            bobs
        })
        .told(owned),
    ]
}

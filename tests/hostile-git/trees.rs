//! Trees: names that lead out of a folder, symbolic links, submodules, attributes that have git run something. Alice
//! signed all of them: the tree alone is wrong.

use crate::cases::{Case, hostile};
use crate::harness::git::{FILE, FOLDER, GITLINK};
use crate::lab;
use crate::scene::Scene;

/// Commits a tree whose folder `zones` has one more entry, first, last or in its place.
fn with_entry(scene: &Scene, mode: &str, name: &[u8], object: &str) -> String {
    let blob = scene.repo.blob(lab::zone("evil"));
    let mut entries = vec![(FILE, &b"evil.yaml"[..], blob.as_str()), (mode, name, object)];
    // As git sorts: a folder's name as if it ended in a slash.
    let key = |mode: &str, name: &[u8]| [name, if mode == FOLDER { b"/" } else { b"" }].concat();
    entries.sort_by_key(|(mode, name, _)| key(mode, name));
    let zones = scene.repo.tree(&entries);
    let top = scene.repo.tree(&[(FOLDER, b"zones", &zones)]);
    scene.commits_tree(&top, &scene.lab.alice)
}

/// A name in a tree that leads somewhere, to a folder with a file that has the case's mark.
fn folder_named(name: &'static str, called: &'static [u8]) -> Case {
    hostile(name, &["ObjectsRefused"], move |scene| {
        let blob = scene.repo.blob(lab::zone("evil"));
        let folder = scene.repo.tree(&[(FILE, format!("{}.yaml", scene.mark).as_bytes(), &blob)]);
        with_entry(scene, FOLDER, called, &folder)
    })
}

/// A name of a file that leads somewhere.
fn file_named(name: &'static str, before: &'static str) -> Case {
    hostile(name, &["ObjectsRefused"], move |scene| {
        let blob = scene.repo.blob(lab::zone("evil"));
        with_entry(scene, FILE, format!("{before}{}.yaml", scene.mark).as_bytes(), &blob)
    })
}

/// A file beside the others, of a folder's content, with attributes.
fn attributes(name: &'static str, path: &'static str, text: &'static str) -> Case {
    hostile(name, &["Filter"], move |scene| {
        let files = scene.evil().with(path, text);
        scene.commits(&files, &scene.lab.alice)
    })
}

/// A symbolic link.
fn link(name: &'static str, path: &'static str, target: &'static str) -> Case {
    hostile(name, &["SymbolicLink"], move |scene| {
        let files = scene.evil().with("outside/more.yaml", lab::zone("outside")).link(path, target);
        scene.commits(&files, &scene.lab.alice)
    })
}

/// A file of submodules that git refuses.
fn modules(name: &'static str, text: fn(&Scene) -> String) -> Case {
    hostile(name, &["ObjectsRefused"], move |scene| {
        let files = scene.evil().with(".gitmodules", text(scene));
        scene.commits(&files, &scene.lab.alice)
    })
}

pub fn cases() -> Vec<Case> {
    [names(), links(), submodules(), filters()].into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    vec![
        folder_named("folder-dot-dot", b".."),
        folder_named("folder-dot", b"."),
        folder_named("folder-dot-git", b".git"),
        folder_named("folder-dot-git-upper", b".GIT"),
        folder_named("folder-git-tilde", b"git~1"),
        folder_named("folder-dot-git-hfs", b".g\xe2\x80\x8cit"),
        folder_named("folder-dot-git-ntfs", b".git::$INDEX_ALLOCATION"),
        folder_named("folder-without-name", b""),
        folder_named("folder-dot-dot-slash", b"../../../../../../../../etc"),
        file_named("file-up", "../../../../../../../../etc/"),
        file_named("file-absolute", "/etc/"),
        file_named("file-through-folder", "a/../../../../../../../../var/tmp/"),
        hostile("folder-dot-dot-at-top", &["ObjectsRefused"], |scene| {
            let zones = scene.repo.write(&scene.evil());
            let up = scene.repo.tree(&[(FILE, scene.mark.as_bytes(), &scene.repo.blob("x"))]);
            let top = scene.repo.tree(&[(FOLDER, b"..", &up), (FOLDER, b"zones", &zones)]);
            scene.commits_tree(&top, &scene.lab.alice)
        }),
        hostile("name-twice", &["ObjectsRefused"], |scene| {
            let blob = scene.repo.blob(lab::zone("twice"));
            with_entry(scene, FILE, b"evil.yaml", &blob)
        }),
        hostile("names-not-sorted", &["ObjectsRefused"], |scene| {
            let (a, b) = (scene.repo.blob(lab::zone("evil")), scene.repo.blob(lab::zone("other")));
            let zones = scene.repo.tree(&[(FILE, b"b.yaml", &b), (FILE, b"a.yaml", &a)]);
            let top = scene.repo.tree(&[(FOLDER, b"zones", &zones)]);
            scene.commits_tree(&top, &scene.lab.alice)
        }),
        hostile("tree-cut-short", &["ObjectsRefused"], |scene| {
            let zones = scene.repo.object("tree", b"100644 evil.yaml\0abc");
            let top = scene.repo.tree(&[(FOLDER, b"zones", &zones)]);
            scene.commits_tree(&top, &scene.lab.alice)
        }),
        hostile("object-of-zeros", &["ObjectsRefused"], |scene| {
            with_entry(scene, FILE, b"zero.yaml", "0000000000000000000000000000000000000000")
        }),
        hostile("blob-as-folder", &["ObjectsRefused"], |scene| {
            let blob = scene.repo.blob(lab::zone("evil"));
            with_entry(scene, FOLDER, b"folder", &blob)
        }),
    ]
}

fn links() -> Vec<Case> {
    vec![
        link("link-as-manifest", "zones/more.yaml", "../outside/more.yaml"),
        link("link-as-folder", "zones/more", "../outside"),
        link("link-dangling", "zones/gone.yaml", "nowhere.yaml"),
        link("link-to-passwd", "zones/passwd.yaml", "/etc/passwd"),
        link("link-to-state", "zones/state", "../../../state"),
        link("link-to-itself", "zones/loop.yaml", "loop.yaml"),
        hostile("link-chain", &["SymbolicLink"], |scene| {
            let files = scene.evil().with("outside/x.yaml", lab::zone("outside"));
            let files = files.link("zones/a.yaml", "b").link("zones/b", "c").link("zones/c", "../outside/x.yaml");
            scene.commits(&files, &scene.lab.alice)
        }),
        hostile("link-as-the-folder", &["SymbolicLink", "PathMissing"], |scene| {
            let files = scene.evil().without("zones").with("real/evil.yaml", lab::zone("evil"));
            scene.commits(&files.link("zones", "real"), &scene.lab.alice)
        }),
        hostile("link-above-the-folder", &["SymbolicLink", "PathMissing"], |scene| {
            let files = scene.evil().with("real/deep/evil.yaml", lab::zone("evil")).link("a", "real");
            scene.commits(&files, &scene.lab.alice)
        })
        .told(|_, settings| settings.path = "a/deep".into())
        .fresh(),
    ]
}

fn submodules() -> Vec<Case> {
    vec![
        hostile("submodule", &["Submodule"], |scene| {
            let files = scene.evil().object("zones/sub", GITLINK, &scene.lab.good);
            scene.commits(&files, &scene.lab.alice)
        }),
        hostile("submodule-as-manifest", &["Submodule"], |scene| {
            let files = scene.evil().object("zones/sub.yaml", GITLINK, &scene.lab.good);
            scene.commits(&files, &scene.lab.alice)
        }),
        hostile("submodule-told-of", &["Submodule"], |scene| {
            let url = scene.repo.path().display();
            let text = format!("[submodule \"sub\"]\n\tpath = zones/sub\n\turl = {url}\n");
            let files = scene.evil().with(".gitmodules", text).object("zones/sub", GITLINK, &scene.lab.good);
            scene.commits(&files, &scene.lab.alice)
        }),
        modules("modules-with-option", |scene| {
            format!("[submodule \"s\"]\n\tpath = s\n\turl = --upload-pack={}\n", scene.canary())
        }),
        modules("modules-with-name", |_| "[submodule \"../../s\"]\n\tpath = s\n\turl = https://e.example/s\n".into()),
        modules("modules-with-command", |scene| {
            format!("[submodule \"s\"]\n\tpath = s\n\turl = https://e.example/s\n\tupdate = !{}\n", scene.canary())
        }),
        hostile("modules-as-link", &["ObjectsRefused"], |scene| {
            scene.commits(&scene.evil().link(".gitmodules", "README"), &scene.lab.alice)
        }),
    ]
}

fn filters() -> Vec<Case> {
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    vec![
        attributes("filter", "zones/.gitattributes", "*.yaml filter=evil\n"),
        attributes("filter-at-top", ".gitattributes", "*.yaml filter=lfs diff=lfs merge=lfs -text\n"),
        attributes("filter-by-macro", ".gitattributes", "[attr]harmless filter=evil\nzones/** harmless\n"),
        attributes("attribute-ident", "zones/.gitattributes", "* ident\n"),
        attributes("attribute-encoding", "zones/.gitattributes", "*.yaml working-tree-encoding=UTF-16\n"),
        attributes("filter-in-quotes", ".gitattributes", "\"zones/evil.yaml\" filter=evil\n"),
        hostile("attribute-very-long", &["ObjectsRefused", "Filter"], |scene| {
            let line = format!("*.yaml {}filter=evil\n", "text ".repeat(1000));
            scene.commits(&scene.evil().with("zones/.gitattributes", line), &scene.lab.alice)
        }),
        hostile("attributes-as-link", &["SymbolicLink", "ObjectsRefused", "Filter"], |scene| {
            let files = scene.evil().with("outside/a", "* filter=evil\n");
            scene.commits(&files.link("zones/.gitattributes", "../outside/a"), &scene.lab.alice)
        }),
        hostile("lfs-pointer", &["ManifestInvalid", "Filter"], move |scene| {
            scene.commits(&scene.evil().with("zones/large.yaml", pointer), &scene.lab.alice)
        }),
    ]
}

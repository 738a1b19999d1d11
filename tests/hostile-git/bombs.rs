//! What is too large, too deep, too many, no text or no manifest. Memory is watched where somebody would run out of it.

use crate::cases::{Case, hostile};
use crate::harness::git::{FILE, FOLDER};
use crate::lab;
use crate::scene::Scene;
use std::process::{Command, Stdio};

/// One more file in the followed folder, by Alice.
fn file(name: &'static str, reasons: &'static [&'static str], content: fn() -> Vec<u8>) -> Case {
    hostile(name, reasons, move |scene| {
        scene.commits(&scene.evil().with("zones/more.yaml", content()), &scene.lab.alice)
    })
}

/// A manifest that means something wrong.
fn manifest(name: &'static str, content: &'static str) -> Case {
    file_text(name, content).looked(|scene| {
        let problems = &scene.source()["rejected"]["problems"];
        let first = &problems[0];
        let told = first["file"].as_str().is_some_and(|file| file.contains("zones/"));
        (!told || !first["line"].is_u64()).then(|| format!("no problem with file and line: {problems}"))
    })
}

fn file_text(name: &'static str, content: &'static str) -> Case {
    hostile(name, &["ManifestInvalid"], move |scene| {
        scene.commits(&scene.evil().with("zones/more.yaml", content), &scene.lab.alice)
    })
}

/// Stores so many bytes of zero as one object, without having them in memory.
fn zeros(scene: &Scene, megabytes: u32) -> String {
    let script = format!("head -c {megabytes}M /dev/zero | git hash-object -w --stdin");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).env("GIT_DIR", scene.repo.path()).env("GIT_CONFIG_COUNT", "2");
    shell.env("GIT_CONFIG_KEY_0", "core.compression").env("GIT_CONFIG_VALUE_0", "1");
    shell.env("GIT_CONFIG_KEY_1", "core.bigFileThreshold").env("GIT_CONFIG_VALUE_1", "1m");
    let output = shell.stdin(Stdio::null()).output().expect("sh");
    assert!(output.status.success(), "{}", crate::harness::shown(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Folders within folders, the innermost first.
fn nested(scene: &Scene, depth: usize) -> String {
    let mut inner = scene.repo.tree(&[(FILE, b"evil.yaml", &scene.repo.blob(lab::zone("evil")))]);
    for _ in 1..depth {
        inner = scene.repo.tree(&[(FOLDER, b"d", &inner)]);
    }
    inner
}

pub fn cases() -> Vec<Case> {
    [sizes(), texts(), manifests()].into_iter().flatten().collect()
}

fn sizes() -> Vec<Case> {
    vec![
        hostile("bomb-of-zeros", &["TooLarge"], |scene| {
            let zeros = zeros(scene, 300);
            scene.commits(&scene.evil().object("zones/zeros.yaml", FILE, &zeros), &scene.lab.alice)
        })
        .watched(),
        // Ten folders that each name the one below ten times: ten thousand million files in eleven objects.
        hostile("bomb-of-trees", &["TooManyFiles", "TooLarge", "TooDeep"], |scene| {
            let mut tree = scene.repo.write(&scene.evil());
            for _ in 0..10 {
                let names: Vec<String> = (0..10).map(|name| format!("{name}")).collect();
                let entries: Vec<_> = names.iter().map(|name| (FOLDER, name.as_bytes(), tree.as_str())).collect();
                tree = scene.repo.tree(&entries);
            }
            let top = scene.repo.tree(&[(FOLDER, b"zones", &tree)]);
            scene.commits_tree(&top, &scene.lab.alice)
        })
        .watched(),
        hostile("fetch-over-the-limit", &["TooLarge"], |scene| {
            let mut bytes = vec![0; 3 << 20];
            std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").expect("urandom"), &mut bytes)
                .expect("random bytes");
            scene.commits(&scene.evil().with("noise", bytes), &scene.lab.alice)
        })
        .told(|_, settings| settings.source.push("maxSize: 1Mi".into())),
        file("large-manifest", &["TooLarge"], || [b"# ".to_vec(), vec![b'x'; 8 << 20]].concat()),
        hostile("many-files", &["TooManyFiles"], |scene| {
            let blob = scene.repo.blob(lab::zone("evil"));
            let names: Vec<String> = (0..60_000).map(|number| format!("{number:05}.yaml")).collect();
            let entries: Vec<_> = names.iter().map(|name| (FILE, name.as_bytes(), blob.as_str())).collect();
            let top = scene.repo.tree(&[(FOLDER, b"zones", &scene.repo.tree(&entries))]);
            scene.commits_tree(&top, &scene.lab.alice)
        })
        .watched(),
        hostile("many-large-manifests", &["TooLarge"], |scene| {
            let mut files = scene.evil();
            for number in 0..100 {
                files = files.with(&format!("zones/{number}.yaml"), format!("# {number}\n#{}", "x".repeat(900 << 10)));
            }
            scene.commits(&files, &scene.lab.alice)
        })
        .watched(),
        hostile("deep-folders", &["TooDeep"], |scene| {
            let top = scene.repo.tree(&[(FOLDER, b"zones", &nested(scene, 40))]);
            scene.commits_tree(&top, &scene.lab.alice)
        }),
        hostile("very-deep-folders", &["TooDeep", "ObjectsRefused"], |scene| {
            let top = scene.repo.tree(&[(FOLDER, b"zones", &nested(scene, 300))]);
            scene.commits_tree(&top, &scene.lab.alice)
        })
        .watched(),
    ]
}

fn texts() -> Vec<Case> {
    vec![
        file("not-utf-8", &["NotText"], || b"# caf\xe9\n".to_vec()),
        file("nul-bytes", &["NotText", "ManifestInvalid"], || b"kind: Zone\0\0\n".to_vec()),
        file("utf-16", &["NotText", "ManifestInvalid"], || {
            let text: Vec<u8> = lab::zone("evil2").encode_utf16().flat_map(u16::to_le_bytes).collect();
            [vec![0xff, 0xfe], text].concat()
        }),
        file("gzip", &["NotText"], || vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48]),
        hostile("alias-bomb", &["ManifestInvalid"], |scene| {
            let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
            for level in 1..12 {
                let below = format!("*a{}", level - 1);
                text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(", ")));
            }
            scene.commits(&scene.evil().with("zones/more.yaml", text), &scene.lab.alice)
        })
        .watched(),
        file("deep-yaml", &["ManifestInvalid"], || [vec![b'['; 100_000], vec![b']'; 100_000]].concat()).watched(),
        file("many-nodes", &["ManifestInvalid", "TooLarge"], || {
            format!("list: [{}]\n", "a,".repeat(400_000)).into_bytes()
        })
        .watched(),
        file("many-documents", &["ManifestInvalid", "TooLarge"], || "--- {}\n".repeat(100_000).into_bytes()).watched(),
    ]
}

fn manifests() -> Vec<Case> {
    vec![
        manifest(
            "unknown-field",
            "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: more\nspec:\n  privileged: true\n",
        ),
        manifest("unknown-kind", "apiVersion: reeve.dev/v1alpha1\nkind: Pod\nmetadata:\n  name: more\nspec: {}\n"),
        hostile("zone-twice", &["ManifestInvalid"], |scene| {
            scene.commits(&scene.evil().with("zones/more.yaml", lab::zone("evil")), &scene.lab.alice)
        }),
        hostile("address-twice", &["ManifestInvalid"], |scene| {
            let zone = |name| crate::harness::manifest(name, "installed", &crate::harness::net(9));
            let files = scene.evil().with("zones/a.yaml", zone("a")).with("zones/b.yaml", zone("b"));
            scene.commits(&files, &scene.lab.alice)
        }),
        manifest(
            "key-twice",
            "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nkind: Zone\nmetadata:\n  name: more\nspec: {}\n",
        ),
        manifest("tag-of-a-language", "apiVersion: !!python/object:os.system reeve.dev/v1alpha1\nkind: Zone\n"),
        manifest(
            "name-with-path",
            "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: ../../etc\nspec:\n  state: installed\n",
        ),
        manifest(
            "configuration-among-manifests",
            "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec:\n  trust: {}\n",
        ),
        hostile("nothing-left", &["Empty"], |scene| {
            let files = lab::files().without("zones").with("zones/README", "nothing\n");
            scene.commits(&files, &scene.lab.alice)
        }),
        hostile("path-missing", &["PathMissing"], |scene| {
            let files = scene.evil().without("zones").with("zone/evil.yaml", lab::zone("evil"));
            scene.commits(&files, &scene.lab.alice)
        }),
        hostile("path-is-a-file", &["PathMissing", "Empty", "ManifestInvalid"], |scene| {
            let files = scene.evil().without("zones").with("zones", lab::zone("evil"));
            scene.commits(&files, &scene.lab.alice)
        }),
    ]
}

//! Plans between commits, the index and folders: what is read out of git, what is refused with which words, and that
//! nothing of a repository is run. Needs git, and neither root nor a host.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A repository: `zones/a.yaml` and `zones/b.yaml` in the first commit, `a` gone and `b` running in the second, `c` in the
/// index alone; beside them a file that is no manifest.
struct Repository(tempfile::TempDir);

fn manifest(name: &str, state: &str) -> String {
    format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: {name}\nspec:\n  state: {state}\n  root:\n    hostUsr: {{}}\n"
    )
}

impl Repository {
    fn new() -> Self {
        let new = Self(tempfile::tempdir().expect("a folder"));
        new.git(&["init", "-q", "-b", "main"]);
        new.write("zones/a.yaml", &manifest("a", "running"));
        new.write("zones/b.yaml", &manifest("b", "ready"));
        new.write("ci/build.yaml", "steps: []\n");
        new.commit();
        new.write("zones/b.yaml", &manifest("b", "running"));
        new.git(&["rm", "-q", "zones/a.yaml"]);
        new.commit();
        new.write("zones/c.yaml", &manifest("c", "installed"));
        new.git(&["add", "-A"]);
        new
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
        std::fs::write(path, text).expect("write");
    }

    fn git(&self, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "core.fsmonitor=false"];
        let output = Command::new("git").args(who).args(arguments).current_dir(self.path()).output().expect("git");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "changed"]);
    }

    /// `reeve plan` with these arguments, in a folder of the repository.
    fn plan_in(&self, folder: &str, arguments: &[&str]) -> Output {
        let mut reeve = Command::new(env!("CARGO_BIN_EXE_reeve"));
        reeve.arg("plan").args(arguments).current_dir(self.path().join(folder)).stdin(Stdio::null());
        reeve.output().expect("reeve")
    }

    /// What each zone of a plan is to do.
    fn plan(&self, arguments: &[&str]) -> Vec<String> {
        self.paths("", arguments)
    }

    fn paths(&self, folder: &str, arguments: &[&str]) -> Vec<String> {
        let output = self.plan_in(folder, &[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let zone = |zone: &serde_json::Value| {
            let path: Vec<&str> = zone["path"].as_array().expect("a path").iter().filter_map(|t| t.as_str()).collect();
            format!("{}: {}", zone["name"].as_str().expect("a name"), path.join(" "))
        };
        let mut zones: Vec<String> = document["items"].as_array().expect("items").iter().map(zone).collect();
        zones.sort();
        zones
    }

    /// What is said of a plan that cannot be made.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.plan_in("", arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn commits_the_index_and_folders_are_compared() {
    let repository = Repository::new();
    let changed = ["a: halt", "b: boot"];
    assert_eq!(repository.plan(&["--from", "git:HEAD~1:zones", "--to", "git:HEAD:zones"]), changed);
    assert_eq!(repository.plan(&["--from", "git:HEAD~1", "--to", "git:main", "zones"]), changed);
    assert_eq!(repository.plan(&["--from", "git:HEAD", "--to", "index", "zones"]), ["b: ", "c: configure install"]);
    // What is in the folder, from where one is.
    repository.write("zones/c.yaml", &manifest("c", "ready"));
    let added = ["b: ", "c: configure install ready"];
    assert_eq!(repository.plan(&["--from", "git:HEAD", "zones"]), added);
    assert_eq!(repository.paths("zones", &["--from", "git:HEAD", "."]), added);
    assert_eq!(repository.paths("ci", &["--from", "git:HEAD", "../zones/b.yaml"]), ["b: "]);
    // A file that is gone from the folder is in the commit all the same.
    assert_eq!(repository.plan(&["--from", "git:HEAD~1", "--to", "git:HEAD~1", "zones/a.yaml"]), ["a: "]);
}

#[test]
fn problems_are_told_as_git_names_the_file() {
    let repository = Repository::new();
    let said = repository.refused(&["--from", "git:HEAD:zones", "--to", "index"]);
    assert!(said.contains(" --> index:ci/build.yaml:1:1"), "{said}");
    for (arguments, part) in [
        (&["--from", "git:none", "zones"][..], "none is no commit of this repository"),
        (&["--from", "git:--help", "zones"], "--help is no commit"),
        (&["--from", "git:HEAD:none", "zones"], "HEAD:none is not there; paths are written from the top"),
        (&["--from", "git:HEAD:../zones", "zones"], "without .."),
        (&["--from", "git:", "zones"], "git:HEAD~1:zones"),
        (&["--from", "git:HEAD", "/"], "is not in the repository"),
        (&["--from", "git:HEAD", "--to", "host"], "--to git:REV[:PATH]"),
        (&["--from", "git:HEAD", "--to", "zones", "ci"], "leave one of them out"),
    ] {
        let said = repository.refused(arguments);
        assert!(said.contains(part), "{arguments:?}: no {part:?} in {said}");
    }
    let outside = tempfile::tempdir().expect("a folder");
    let mut reeve = Command::new(env!("CARGO_BIN_EXE_reeve"));
    reeve.args(["plan", "--from", "git:HEAD", "--to", "index"]).current_dir(outside.path());
    let said =
        reeve.env("GIT_CEILING_DIRECTORIES", outside.path().parent().expect("a folder")).output().expect("reeve");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("run it in a folder of the repository"), "{said}");
    let said = reeve.env("PATH", "/nonexistent").output().expect("reeve");
    assert!(String::from_utf8_lossy(&said.stderr).contains("apt-get install git"));
}

#[test]
fn links_submodules_and_large_files_are_refused() {
    let repository = Repository::new();
    let plan = ["--from", "git:HEAD", "--to", "index", "zones"];
    std::os::unix::fs::symlink("b.yaml", repository.path().join("zones/l.yaml")).expect("symlink");
    repository.git(&["add", "-A"]);
    let said = repository.refused(&plan);
    assert!(said.contains("index:zones/l.yaml is a symbolic link"), "{said}");
    repository.git(&["rm", "-qf", "zones/l.yaml"]);
    std::fs::create_dir(repository.path().join("zones/sub")).expect("mkdir");
    repository.write("zones/sub/d.yaml", &manifest("d", "ready"));
    std::os::unix::fs::symlink("sub", repository.path().join("zones/other")).expect("symlink");
    repository.git(&["add", "-A"]);
    assert!(repository.refused(&plan).contains("index:zones/other is a symbolic link"));
    repository.git(&["rm", "-qf", "zones/other"]);
    // One that leads to nothing that would be read is nobody's matter.
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("zones/README")).expect("symlink");
    repository.git(&["add", "-A"]);
    assert_eq!(repository.plan(&plan).len(), 3);
    let commit = repository.git(&["rev-parse", "HEAD"]);
    let submodule = format!("160000,{},zones/module", commit.trim());
    repository.git(&["update-index", "--add", "--cacheinfo", &submodule]);
    assert!(repository.refused(&plan).contains("index:zones/module is a submodule"));
    repository.git(&["update-index", "--force-remove", "zones/module"]);
    repository.write("zones/large.yaml", &"#".repeat((1 << 20) + 1));
    repository.git(&["add", "-A"]);
    assert!(repository.refused(&plan).contains("index:zones/large.yaml: is larger than"));
}

#[test]
fn nothing_of_a_repository_is_run_and_nothing_in_it_changes() {
    let repository = Repository::new();
    let ran = repository.path().join("ran");
    let script = repository.path().join("script");
    std::fs::write(&script, format!("#!/bin/sh\necho \"$0\" >> {}\n", ran.display())).expect("write");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let program = script.to_str().expect("UTF-8");
    for hook in ["post-index-change", "post-checkout", "reference-transaction", "fsmonitor-watchman"] {
        std::os::unix::fs::symlink(&script, repository.path().join(".git/hooks").join(hook)).expect("a hook");
    }
    let settings =
        ["core.fsmonitor", "core.pager", "pager.ls-files", "filter.x.smudge", "filter.x.clean", "diff.x.textconv"];
    for key in settings.into_iter().chain(["core.sshCommand", "core.gitProxy", "core.askPass"]) {
        repository.git(&["config", key, program]);
    }
    repository.write(".git/info/attributes", "*.yaml filter=x diff=x\n");
    let index = std::fs::read(repository.path().join(".git/index")).expect("the index");
    assert_eq!(repository.plan(&["--from", "git:HEAD", "--to", "index", "zones"]).len(), 2);
    assert_eq!(std::fs::read_to_string(&ran).unwrap_or_default(), "", "nothing was run");
    assert_eq!(std::fs::read(repository.path().join(".git/index")).expect("the index"), index);
    // The same repository does run it where git is not told otherwise.
    let plain = Command::new("git").args(["status"]).current_dir(repository.path()).output().expect("git");
    assert!(plain.status.success());
    assert_ne!(std::fs::read_to_string(&ran).unwrap_or_default(), "", "the script works");
}

#[test]
fn what_a_host_gets_is_rendered_out_of_a_commit() {
    let repository = Repository::new();
    let host = "apiVersion: reeve.dev/v1alpha1\nkind: Host\nmetadata: {name: web1}\n";
    repository.write("zones/hosts.yaml", host);
    repository.commit();
    repository.write("zones/hosts.yaml", &host.replace("web1", "web2"));
    let render = |source: &str| {
        let mut reeve = Command::new(env!("CARGO_BIN_EXE_reeve"));
        reeve.args(["render", source, "--host", "web1"]).current_dir(repository.path()).stdin(Stdio::null());
        reeve.output().expect("reeve")
    };
    let output = render("git:HEAD:zones");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("# HEAD:zones/b.yaml:1\napiVersion: ") && text.contains("name: c"), "{output:?}");
    assert_eq!(render("index").status.code(), Some(1), "ci/build.yaml is no manifest");
    assert_eq!(render("zones").status.code(), Some(1), "the folder has another host by now");
}

//! Values of the environment that are in no manifest: they reach init and nothing else, a change of one is a change of the
//! zone, and where one cannot be had its zone is left as it is, with words that help.

mod harness;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::{Host, SLEEPER, kernel, shown};
use serde_json::Value;

/// A host with an identity, the files of secrets, and all that its commands said.
struct Scene {
    host: Host,
    said: RefCell<String>,
}

/// A value that is nowhere else.
fn value() -> String {
    let mut random = [0; 12];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).expect("random bytes");
    random.iter().fold("value-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Makes an age identity.
fn identity(path: &Path) {
    let made = Command::new("age-keygen").arg("-o").arg(path).output().expect("age-keygen, of Debian's package age");
    assert!(made.status.success(), "{}", shown(&made));
}

/// Encrypts a value for an identity, as an editor puts a file in its place.
fn encrypt(identity: &Path, value: &str, to: &Path) {
    let beside = to.with_extension("new");
    let mut age = Command::new("age");
    age.args(["--encrypt", "--identity"]).arg(identity).arg("--output").arg(&beside).stdin(Stdio::piped());
    let mut child = age.spawn().expect("age");
    child.stdin.take().expect("stdin").write_all(format!("{value}\n").as_bytes()).expect("write");
    assert!(child.wait().expect("wait").success());
    std::fs::rename(&beside, to).expect("rename");
}

/// The files below a folder that have this text in them, in their names too.
fn files_with(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readdir").map(|entry| entry.expect("an entry")) {
        let (path, kind) = (entry.path(), entry.file_type().expect("its type"));
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if has(entry.file_name().as_encoded_bytes()) || (kind.is_file() && has(&std::fs::read(&path).expect("read"))) {
            found.push(path.clone());
        }
        if kind.is_dir() {
            files_with(&path, text, found);
        }
    }
}

fn reason(status: &Value) -> &str {
    converged(status)["reason"].as_str().unwrap_or_default()
}

fn converged(status: &Value) -> &Value {
    let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|one| one["type"] == "Converged").unwrap_or(&Value::Null)
}

/// An init with a secret of each kind.
fn spec(file: &Path) -> String {
    format!(
        "{SLEEPER}  env:\n    PASSWORD: {{fromFile: {}}}\n    TOKEN: {{fromAge: secrets/token.age}}\n",
        file.display()
    )
}

impl Scene {
    fn new(test: &str) -> Self {
        let mut host = Host::new(test);
        let own = host.folder().join("identity");
        identity(&own);
        host.set_variable("REEVE_AGE_IDENTITY", own.to_str().expect("UTF-8"));
        std::fs::create_dir(host.manifests().join("secrets")).expect("mkdir");
        Self { host, said: RefCell::default() }
    }

    /// The file of the host that PASSWORD is in.
    fn file(&self) -> PathBuf {
        self.host.folder().join("password")
    }

    fn own(&self) -> PathBuf {
        self.host.folder().join("identity")
    }

    fn token(&self) -> PathBuf {
        self.host.manifests().join("secrets/token.age")
    }

    fn put_file(&self, value: &str) {
        let beside = self.host.folder().join("password.new");
        std::fs::write(&beside, format!("{value}\n")).expect("write");
        std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o600)).expect("chmod");
        std::fs::rename(beside, self.file()).expect("rename");
    }

    /// Runs `reeve` on the manifests and keeps what it says.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let manifests = self.host.manifests();
        let whole =
            |word: &&str| if *word == "MANIFESTS" { manifests.to_string_lossy().into_owned() } else { (*word).into() };
        let arguments: Vec<String> = arguments.iter().map(whole).collect();
        let output = self.host.reeve(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let text = shown(&output);
        self.said.borrow_mut().push_str(&text);
        (output.status.code().unwrap_or(-1), text)
    }

    /// Everything that can be asked of the zones.
    fn ask_everything(&self) {
        for arguments in [
            &["get"][..],
            &["get", "-o", "yaml"],
            &["get", "-o", "json", "-vv"],
            &["describe", "z"],
            &["describe", "z", "-o", "json"],
            &["plan", "MANIFESTS", "-vv"],
            &["plan", "MANIFESTS", "-o", "json", "-vv"],
            &["plan", "MANIFESTS", "-o", "md"],
            &["diff", "MANIFESTS"],
            &["diff", "MANIFESTS", "-o", "yaml"],
            &["diff", "MANIFESTS", "-o", "md"],
            &["verify", "MANIFESTS", "-vv"],
            &["validate", "MANIFESTS"],
            &["logs", "z"],
            &["zoneadm", "list", "-cv"],
        ] {
            let (status, text) = self.run(arguments);
            assert!((0..=2).contains(&status) && !text.contains("unexpected argument"), "{arguments:?}: {text}");
        }
    }

    /// Whether a process of the zone has the value in its environment.
    fn has(&self, zone: &str, variable: &str, value: &str) -> bool {
        let entry = format!("{variable}={value}");
        let environments = kernel::processes(&self.host.cgroup().join(format!("zone.{zone}")))
            .into_iter()
            .filter_map(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok());
        environments.into_iter().any(|all| all.split(|byte| *byte == 0).any(|one| one == entry.as_bytes()))
    }

    fn wait_for(&self, reason_is: &str) -> Value {
        self.host.wait("z", reason_is, |status| reason(status) == reason_is).0
    }

    /// No value may be in anything that Reeve wrote or said.
    fn nothing_shows(&self, values: &[&str]) {
        let mut there = Vec::new();
        files_with(self.host.folder(), values[0], &mut there);
        let control = self.host.folder().join("control");
        assert!(there.contains(&control), "what looks for values finds one where it is: {there:?}");
        for value in values {
            let mut found = Vec::new();
            for folder in ["state", "run"] {
                files_with(&self.host.folder().join(folder), value, &mut found);
            }
            assert!(found.is_empty(), "{found:?}");
            assert!(!self.said.borrow().contains(value), "a command said it: {}", self.said.borrow());
            assert!(
                !self.host.controller_log().contains(value),
                "the controller said it: {}",
                self.host.controller_log()
            );
        }
    }
}

#[test]
fn values_reach_init_and_nothing_else_whatever_happens() {
    let mut scene = Scene::new("secrets");
    let values: Vec<String> = (0..7).map(|_| value()).collect();
    let [password, token, new_password, new_token, meanwhile, unasked, unreadable] = values.each_ref_array();
    std::fs::write(scene.host.folder().join("control"), password).expect("write");
    scene.put_file(password);
    encrypt(&scene.own(), token, &scene.token());
    scene.host.zone("z", "running", &spec(&scene.file()));
    scene.host.start_controller_with(&["-vv"]);
    let first = scene.host.wait_state("z", "running");
    scene.wait_for("AsWanted");
    assert!(scene.has("z", "PASSWORD", password) && scene.has("z", "TOKEN", token), "init has them");
    scene.ask_everything();

    // Another value is a change, with the price of the environment: init starts again, the platform stays.
    scene.put_file(new_password);
    let (_, text) = scene.run(&["plan", "MANIFESTS"]);
    assert!(
        text.contains("init.env.PASSWORD: (secret ") && text.contains("… > ") && text.contains("restart"),
        "{text}"
    );
    assert_eq!(scene.run(&["diff", "MANIFESTS"]).0, 1);
    assert_eq!(scene.run(&["apply", "MANIFESTS"]).0, 0);
    let second = scene.host.wait("z", "restarted", |status| status["initPid"] != first["initPid"]).0;
    assert_eq!((&second["zoneId"], &second["zschedPid"]), (&first["zoneId"], &first["zschedPid"]));
    assert!(scene.has("z", "PASSWORD", new_password) && !scene.has("z", "PASSWORD", password));
    encrypt(&scene.own(), new_token, &scene.token());
    let third = scene.host.wait("z", "restarted", |status| {
        status["initPid"] != second["initPid"] && status["state"] == "running" && reason(status) == "AsWanted"
    });
    assert!(scene.has("z", "TOKEN", new_token));
    let running = third.0["initPid"].clone();
    scene.ask_everything();

    // Encrypted anew: recorded, and init does not hear of it.
    let before = third.0["manifestDigest"].clone();
    encrypt(&scene.own(), new_token, &scene.token());
    scene.host.wait("z", "recorded", |status| status["manifestDigest"] != before && reason(status) == "AsWanted");
    assert_eq!(scene.run(&["diff", "MANIFESTS"]).0, 0);
    assert_eq!(scene.host.zone_status("z")["initPid"], running);

    // For somebody else: the zone goes on with what it has, and others go on as well.
    let other = scene.host.folder().join("other-identity");
    identity(&other);
    encrypt(&other, unreadable, &scene.token());
    scene.host.zone("late", "running", SLEEPER);
    scene.host.wait_state("late", "running");
    let held = scene.wait_for("SecretUnavailable");
    let message = converged(&held)["message"].as_str().expect("a message");
    assert!(message.contains("init.env.TOKEN: ") && message.contains("no identity matched"), "{message}");
    assert_eq!((&held["initPid"], &converged(&held)["status"]), (&running, &"False".into()));
    scene.ask_everything();
    let (status, text) = scene.run(&["diff", "MANIFESTS"]);
    assert!(status == 1 && text.contains("init.env.TOKEN: "), "whether it differs is not known: {status} {text}");
    assert_eq!(scene.run(&["apply", "MANIFESTS"]).0, 3);
    encrypt(&scene.own(), new_token, &scene.token());
    assert_eq!(scene.wait_for("AsWanted")["initPid"], running, "the value is the one that it has");

    // What root alone may write, and that is there: else init is not started.
    scene.file_must_be_right();
    scene.init_is_not_started_without(&running);

    // A value that changed since it was planned with starts nothing; the next pass has the new one.
    scene.put_file(meanwhile);
    let (status, text) = scene.run(&["restart", "z"]);
    assert!(status == 1 && text.contains("changed meanwhile"), "{status} {text}");
    assert!(!scene.has("z", "PASSWORD", meanwhile));
    assert_eq!(scene.run(&["apply", "MANIFESTS"]).0, 0);
    assert!(scene.has("z", "PASSWORD", meanwhile));
    scene.put_file(unasked);
    let started = std::time::Instant::now();
    reeve_kernel::sys::kill(pid(&scene.host.zone_status("z")["initPid"]), 9);
    scene.host.wait("z", "started anew", |_| scene.has("z", "PASSWORD", unasked));
    assert!(started.elapsed().as_secs() < 30, "not only because everything is read again each minute");
    scene.wait_for("AsWanted");
    scene.ask_everything();

    scene.nothing_shows(&[password, token, new_password, new_token, meanwhile, unasked, unreadable]);
    assert!(scene.said.borrow().contains("(secret ") && scene.host.controller_log().contains("no identity matched"));
    let keys = ["state/secret.key", "state/secrets"].map(|path| scene.host.folder().join(path));
    assert_eq!(keys.each_ref().map(|path| mode(path)), [0o600, 0o700]);
    let left = scene.host.take_down();
    assert!(left.problems.is_empty(), "{:#?}", left.problems);
    assert!(!keys[0].exists() && !keys[1].exists(), "with the last zone they go");
}

fn pid(value: &Value) -> i32 {
    i32::try_from(value.as_i64().expect("a PID")).expect("a PID")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("stat").permissions().mode() & 0o7777
}

/// References to all of so many texts.
trait EachRef {
    fn each_ref_array<const N: usize>(&self) -> [&str; N];
}

impl EachRef for Vec<String> {
    fn each_ref_array<const N: usize>(&self) -> [&str; N] {
        std::array::from_fn(|index| self[index].as_str())
    }
}

impl Scene {
    fn file_must_be_right(&self) {
        let (file, away) = (self.file(), self.host.folder().join("password.away"));
        let wrong = |how: &str, says: &str| {
            assert_eq!(self.run(&["apply", "MANIFESTS"]).0, 3, "{how}");
            let message = converged(&self.host.zone_status("z")).to_string();
            assert!(message.contains("SecretUnavailable") && message.contains(says), "{how}: {message}");
        };
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o622)).expect("chmod");
        wrong("others may write it", "chmod 600");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("chmod");
        std::os::unix::fs::chown(&file, Some(1000), None).expect("chown");
        wrong("it is not root's", "chown root");
        std::os::unix::fs::chown(&file, Some(0), None).expect("chown");
        let folder = file.parent().expect("a folder");
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).expect("chmod");
        wrong("others may put another there", "others may put files");
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("chmod");
        std::fs::rename(&file, &away).expect("rename");
        std::os::unix::fs::symlink(&away, &file).expect("symlink");
        wrong("it is a link", "is a symbolic link");
        std::fs::remove_file(&file).expect("unlink");
        std::fs::create_dir(&file).expect("mkdir");
        wrong("it is a folder", "is no regular file");
        std::fs::remove_dir(&file).expect("rmdir");
        std::fs::write(&file, [b'x'; (64 << 10) + 1]).expect("write");
        wrong("it is large", "larger than");
        std::fs::write(&file, "a\0b").expect("write");
        wrong("it has a zero byte", "zero byte");
        std::fs::rename(&away, &file).expect("rename");
        assert_eq!(self.run(&["apply", "MANIFESTS"]).0, 0);
    }

    /// An init that ends while its secret is away is not started before that is back.
    fn init_is_not_started_without(&self, running: &Value) {
        let away = self.host.folder().join("password.away");
        std::fs::rename(self.file(), &away).expect("rename");
        assert_eq!(self.run(&["apply", "MANIFESTS"]).0, 3);
        reeve_kernel::sys::kill(pid(running), 9);
        let status = self.host.wait("z", "ready", |status| status["state"] == "ready").0;
        assert_eq!(reason(&status), "SecretUnavailable");
        assert!(converged(&status)["message"].to_string().contains("is not there"), "{status:#}");
        let (code, text) = self.run(&["zoneadm", "-z", "z", "boot"]);
        assert!(code != 0 && text.contains("is not there"), "{code} {text}");
        std::fs::rename(&away, self.file()).expect("rename");
        assert_eq!(self.run(&["apply", "MANIFESTS"]).0, 0);
        assert_eq!(self.host.state("z"), "running");
    }
}

#[test]
fn a_saved_plan_has_no_value_and_starts_no_other_one() {
    let scene = Scene::new("secret-plan");
    let (one, two) = (value(), value());
    std::fs::write(scene.host.folder().join("control"), &one).expect("write");
    scene.put_file(&one);
    encrypt(&scene.own(), &two, &scene.token());
    scene.host.zone("z", "running", &spec(&scene.file()));
    let saved = scene.host.folder().join("state/plan.json").to_string_lossy().into_owned();
    assert_eq!(scene.run(&["plan", "MANIFESTS", "--out", &saved]).0, 0);
    assert_eq!(scene.run(&["apply", &saved]).0, 0);
    assert!(scene.has("z", "PASSWORD", &one) && scene.has("z", "TOKEN", &two));
    let three = value();
    scene.put_file(&three);
    assert_eq!(scene.run(&["plan", "MANIFESTS", "--out", &saved]).0, 0);
    let stale = |text: &str| text.contains("the manifest of zone z changed");
    scene.put_file(&one);
    let (status, text) = scene.run(&["apply", &saved]);
    assert!(status == 1 && stale(&text), "{status} {text}");
    // Encrypted anew, it is not what was planned either.
    scene.put_file(&three);
    encrypt(&scene.own(), &value(), &scene.token());
    let (status, text) = scene.run(&["apply", &saved]);
    assert!(status == 1 && stale(&text), "{status} {text}");
    assert!(scene.has("z", "PASSWORD", &one) && scene.has("z", "TOKEN", &two), "nothing was done");
    scene.nothing_shows(&[&one, &two, &three]);
    scene.host.finish();
}

#[test]
fn what_is_missing_on_the_host_is_said() {
    let mut scene = Scene::new("secret-needs");
    scene.put_file("x");
    encrypt(&scene.own(), "y", &scene.token());
    scene.host.zone("z", "running", &spec(&scene.file()));
    let said = |scene: &Scene| {
        let (status, text) = scene.run(&["apply", "MANIFESTS"]);
        assert_eq!((status, scene.host.state("z").as_str()), (3, "none"), "{text}");
        converged(&scene.host.zone_status("z")).to_string() + &text
    };
    scene.host.set_variable("PATH", "/nonexistent");
    assert!(said(&scene).contains("apt-get install age"));
    scene.host.set_variable("PATH", &std::env::var("PATH").expect("PATH"));
    std::fs::set_permissions(scene.own(), PermissionsExt::from_mode(0o644)).expect("chmod");
    assert!(said(&scene).contains("chmod 600"));
    std::fs::set_permissions(scene.own(), PermissionsExt::from_mode(0o600)).expect("chmod");
    scene.host.set_variable("REEVE_AGE_IDENTITY", "");
    assert!(said(&scene).contains("REEVE_AGE_IDENTITY"));
    scene.host.set_variable("REEVE_AGE_IDENTITY", "/nonexistent/identity");
    assert!(said(&scene).contains("/nonexistent is not there"));
    scene.host.finish();
}

#[test]
fn a_program_that_does_not_answer_holds_nobody_up_for_long() {
    let mut scene = Scene::new("secret-late");
    scene.put_file("x");
    encrypt(&scene.own(), "y", &scene.token());
    for zone in ["y", "z"] {
        scene.host.zone(zone, "running", &spec(&scene.file()));
    }
    let programs = scene.host.folder().join("programs");
    std::fs::create_dir(&programs).expect("mkdir");
    std::fs::write(programs.join("age"), "#!/bin/sh\necho $$ > \"$0.pid\"\nexec /bin/sleep 600\n").expect("write");
    std::fs::set_permissions(programs.join("age"), PermissionsExt::from_mode(0o755)).expect("chmod");
    scene.host.set_variable("PATH", programs.to_str().expect("UTF-8"));
    let started = std::time::Instant::now();
    let (status, text) = scene.run(&["apply", "MANIFESTS"]);
    assert!(started.elapsed().as_secs() < 9, "one of the two was waited for: {:?}", started.elapsed());
    assert!(
        status == 3 && text.contains("did not end within 5 s") && text.contains("was not asked"),
        "{status} {text}"
    );
    let pid = std::fs::read_to_string(programs.join("age.pid")).expect("it was started");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is not left behind");
    scene.host.finish();
}

/// `reeve` in a folder, without a host.
fn reeve_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut reeve = Command::new(env!("CARGO_BIN_EXE_reeve"));
    reeve.args(arguments).current_dir(folder).env("PATH", "/usr/bin:/bin").env_remove("REEVE_AGE_IDENTITY");
    reeve.stdin(Stdio::null()).output().expect("reeve")
}

#[test]
fn files_alone_are_compared_without_being_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("identity");
    identity(&own);
    let repository = folder.path().join("repository");
    std::fs::create_dir_all(repository.join("zones/secrets")).expect("mkdir");
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
        let output = Command::new("git").args(who).args(arguments).current_dir(&repository).output().expect("git");
        assert!(output.status.success(), "{}", shown(&output));
    };
    let token = repository.join("zones/secrets/token.age");
    std::fs::write(repository.join("zones/z.yaml"), harness::manifest("z", "running", &spec(Path::new("/etc/db"))))
        .expect("write");

    // Not there, then not encrypted, then right.
    let missing = reeve_in(&repository, &["validate", "zones"]);
    assert_eq!(missing.status.code(), Some(1));
    let text = shown(&missing);
    assert!(text.contains("no file `secrets/token.age`") && text.contains("zones/z.yaml:"), "{text}");
    std::fs::write(&token, "plain-text-by-mistake").expect("write");
    let text = shown(&reeve_in(&repository, &["validate", "zones"]));
    assert!(text.contains("is no file that age encrypted") && !text.contains("plain-text-by-mistake"), "{text}");
    std::fs::remove_file(&token).expect("unlink");
    std::os::unix::fs::symlink("../z.yaml", &token).expect("symlink");
    let text = shown(&reeve_in(&repository, &["validate", "zones"]));
    assert!(text.contains("symbolic link"), "{text}");
    std::fs::remove_file(&token).expect("unlink");
    encrypt(&own, "one", &token);
    assert_eq!(reeve_in(&repository, &["validate", "zones"]).status.code(), Some(0));

    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    encrypt(&own, "two", &token);
    git(&["add", "-A"]);
    for source in ["index", "git:HEAD:zones"] {
        let output = reeve_in(&repository, &["plan", "--from", "git:HEAD", "--to", source]);
        let text = shown(&output);
        let changes = text.contains("init.env.TOKEN: (secret not opened, file ") && text.contains("restart");
        assert_eq!((output.status.code(), changes), (Some(0), source == "index"), "{source}: {text}");
    }
    git(&["rm", "-q", "--cached", "zones/secrets/token.age"]);
    let text = shown(&reeve_in(&repository, &["plan", "--from", "git:HEAD", "--to", "index"]));
    assert!(text.contains("no file `secrets/token.age`") && text.contains("index:zones/z.yaml"), "{text}");
}

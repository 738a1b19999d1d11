//! A host of its own for each test: a network namespace, folders, a cgroup and addresses that no other test has, the
//! real `reeve` program on the real kernel, and a look before and after that finds what a test left behind.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod fuse;
pub mod git;
pub mod held;
pub mod kernel;
pub mod servers;

use kernel::Left;
use reeve_kernel::sys;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a zone may take to get where it should, on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One test's host.
pub struct Host {
    name: String,
    folder: PathBuf,
    controller: Option<Child>,
    /// The program, where it is not that of this build.
    program: Option<PathBuf>,
    /// Environment of every `reeve`, over the test's own.
    variables: Vec<(String, String)>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Host {
    /// A host without zones. The calling thread moves into a network namespace of its own, and what it starts with it.
    pub fn new(test: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests make zones on the real kernel: run them as root");
        sys::unshare(sys::flags::NEWNET).expect("a network namespace for the test");
        reeve_kernel::netlink::Rtnl::open().and_then(|mut rtnl| rtnl.lo_up()).expect("loopback up");
        let name = format!("reeve-test-{test}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new("/var/tmp").join(&name);
        std::fs::create_dir_all(folder.join("manifests")).expect("the test's folder");
        Self { name, folder, controller: None, program: None, variables: Vec::new() }
    }

    /// The folder with everything of this host.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with the manifests.
    pub fn manifests(&self) -> PathBuf {
        self.folder.join("manifests")
    }

    /// A zone's run folder.
    pub fn run_folder(&self, zone: &str) -> PathBuf {
        self.folder.join("run/zones").join(zone)
    }

    /// The cgroup that holds the host's zones.
    pub fn cgroup(&self) -> PathBuf {
        kernel::cgroup_mount().join(&self.name)
    }

    /// Writes a manifest file, as an editor does: beside it, then renamed.
    pub fn write(&self, file: &str, text: &str) {
        let temporary = self.folder.join(format!(".{file}.new"));
        std::fs::write(&temporary, text).expect("write manifest");
        std::fs::rename(&temporary, self.manifests().join(file)).expect("rename manifest");
    }

    /// Writes the manifest of one zone in a file of its own.
    pub fn zone(&self, name: &str, state: &str, spec: &str) {
        self.write(&format!("{name}.yaml"), &manifest(name, state, spec));
    }

    /// `reeve` with these arguments, ready to be started for this host.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = self.program.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_reeve")));
        let mut command = Command::new(program);
        command.args(arguments).env("REEVE_STATE_DIR", self.folder.join("state"));
        command.env("REEVE_RUN_DIR", self.folder.join("run")).env("REEVE_CGROUP", &self.name);
        command.env_remove("REEVE_CONFIG").envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Has another build of `reeve` be the program from now on.
    pub fn set_program(&mut self, program: &Path) {
        self.program = Some(program.to_owned());
    }

    /// Gives every `reeve` from now on a variable of its environment.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs `reeve` and returns what it printed and its exit status.
    pub fn reeve(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("start reeve")
    }

    /// Runs `reeve`, which must succeed; its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.reeve(arguments);
        assert!(output.status.success(), "reeve {arguments:?}: {}\n{}", output.status, shown(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `reeve` by one of its other names (zoneadm, zlogin).
    pub fn by_name(&self, name: &str, arguments: &[&str]) -> Output {
        use std::os::unix::process::CommandExt;
        self.command(arguments).arg0(name).output().expect("start reeve")
    }

    /// Applies the manifests without a controller, which must converge.
    pub fn apply(&self) -> String {
        let manifests = self.manifests();
        self.ok(&["apply", manifests.to_str().expect("UTF-8")])
    }

    /// Starts the controller on the folder of manifests; its output goes to `controller.log`.
    pub fn start_controller(&mut self) {
        self.start_controller_with(&[]);
    }

    /// The same with options of `reeve run`.
    pub fn start_controller_with(&mut self, options: &[&str]) {
        let manifests = self.manifests();
        let arguments = [&["run", manifests.to_str().expect("UTF-8")], options].concat();
        self.start_controller_on(&arguments);
    }

    /// Starts the controller with these arguments; its output goes to `controller.log`.
    pub fn start_controller_on(&mut self, arguments: &[&str]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("controller.log"));
        let log = log.expect("controller.log");
        let mut command = self.command(arguments);
        command.stdout(log.try_clone().expect("dup")).stderr(log);
        self.controller = Some(command.spawn().expect("start the controller"));
    }

    /// Ends the controller with a signal and waits for it.
    pub fn end_controller(&mut self, signal: i32) {
        if let Some(mut controller) = self.controller.take() {
            // The number of one that ended by itself may be another process's by now.
            if controller.try_wait().expect("wait for the controller").is_none() {
                sys::kill(controller.id() as i32, signal);
            }
            controller.wait().expect("wait for the controller");
        }
    }

    /// How the controller ended, where it did so by itself.
    pub fn ended_controller(&mut self) -> Option<std::process::ExitStatus> {
        self.controller.as_mut().and_then(|controller| controller.try_wait().expect("wait for the controller"))
    }

    /// The controller's process ID.
    pub fn controller_pid(&self) -> i32 {
        self.controller.as_ref().map_or(0, |controller| controller.id() as i32)
    }

    /// What the controller printed so far.
    pub fn controller_log(&self) -> String {
        std::fs::read_to_string(self.folder.join("controller.log")).unwrap_or_default()
    }

    /// The status of every zone.
    pub fn status(&self) -> Vec<Value> {
        let text = self.ok(&["get", "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("get -o json prints JSON");
        assert_eq!(list["formatVersion"], "1");
        list["items"].as_array().expect("items").clone()
    }

    /// The status of one zone; null when there is none.
    pub fn zone_status(&self, zone: &str) -> Value {
        self.status().into_iter().find(|status| status["name"] == zone).unwrap_or(Value::Null)
    }

    /// The state of a zone, `none` when there is none.
    pub fn state(&self, zone: &str) -> String {
        self.zone_status(zone)["state"].as_str().unwrap_or("none").to_owned()
    }

    /// Waits until `check` holds for the zone's status; returns it and how long it took.
    pub fn wait(&self, zone: &str, what: &str, check: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let started = Instant::now();
        loop {
            let status = self.zone_status(zone);
            if check(&status) {
                return (status, started.elapsed());
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{zone}: not {what} after {PATIENCE:?}\n{status:#}\n{}\n{}",
                self.controller_log(),
                kernel::describe(&self.cgroup()),
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the zone is in this state, with a zoneadmd when it is active and with its conditions settled.
    pub fn wait_state(&self, zone: &str, state: &str) -> Value {
        self.wait(zone, state, |status| {
            let active = ["ready", "running"].contains(&state);
            status["state"].as_str().unwrap_or("none") == state && (!active || !status["zoneadmdPid"].is_null())
        })
        .0
    }

    /// Runs a shell command inside the zone; its exit status and all it printed.
    pub fn inside(&self, zone: &str, script: &str) -> (i32, String) {
        let output = self.reeve(&["login", zone, "--", "/bin/sh", "-c", script]);
        (output.status.code().unwrap_or(-1), shown(&output))
    }

    /// Takes everything down, and says what is left over in the kernel and on disk.
    pub fn take_down(&mut self) -> Left {
        // Not SIGINT: where the tests run in the background of a script that is ignored, and lost on a controller that has just begun.
        self.end_controller(libc::SIGTERM);
        let zones = kernel::namespaces_of(&self.cgroup());
        let manifests = self.manifests();
        let output = self.reeve(&["down", manifests.to_str().expect("UTF-8"), "--purge"]);
        let mut left = kernel::left_over(&self.cgroup(), &self.folder, &zones);
        if !output.status.success() {
            left.problems.push(format!("reeve down --purge: {}\n{}", output.status, shown(&output)));
        }
        left
    }

    /// [`Host::take_down`], and nothing may be left.
    pub fn finish(mut self) {
        let left = self.take_down();
        assert!(left.problems.is_empty(), "left over: {:#?}\n{}", left.problems, self.controller_log());
    }
}

impl Drop for Host {
    /// Whatever happened in the test, nothing stays on the machine.
    fn drop(&mut self) {
        if let Some(mut controller) = self.controller.take() {
            let _ = controller.kill();
            let _ = controller.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- controller of {}\n{}", self.name, self.controller_log());
        }
        kernel::destroy_cgroup(&self.cgroup());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A manifest of one zone whose root is the host's /usr.
pub fn manifest(name: &str, state: &str, spec: &str) -> String {
    let mut text = format!(
        "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata:\n  name: {name}\nspec:\n  state: {state}\n  root:\n    hostUsr: {{}}\n"
    );
    for line in spec.lines().filter(|line| !line.trim().is_empty()) {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// An init that runs until it is told to end.
pub const SLEEPER: &str = "init:\n  command: [/usr/bin/sleep, infinity]\n";

/// A network interface with this last byte in the test's own network.
pub fn net(last: u8) -> String {
    format!("net:\n  - physical: rvbr0\n    address: 192.0.2.{last}/24\n    defrouter: 192.0.2.1\n")
}

/// Both streams of a finished command.
pub fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

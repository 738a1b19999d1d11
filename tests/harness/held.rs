//! What holds zones up in the field, made by a test and taken away by it whatever happens.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process of the global zone that holds something of a zone's.
pub struct Held(Child);

impl Held {
    /// A shell that has run this script and waits.
    pub fn shell(script: &str) -> Self {
        // The shell says that it holds by a file descriptor that closes: what it prints comes after the script.
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("{script} && echo held && read line && eval \"$line\" && echo gone && exec sleep 600"),
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut held = Self(command.spawn().expect("sh"));
        held.hears("held");
        held
    }

    /// A process in a mount namespace of its own, made from the zone's.
    pub fn copy_of_mounts(zsched: i64) -> Self {
        let mut command = Command::new("nsenter");
        let program = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", "echo held; exec sleep 600"];
        command.args(["--target", &zsched.to_string(), "--mount"]).args(program);
        // A group of its own, to end all of it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut held = Self(command.spawn().expect("nsenter, of util-linux"));
        held.hears("held");
        held
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Has the shell run this, so that it lives on without holding anything.
    pub fn let_go(&mut self, script: &str) {
        writeln!(self.0.stdin.as_mut().expect("stdin"), "{script}").expect("write to the shell");
        self.hears("gone");
    }

    fn hears(&mut self, word: &str) {
        use std::io::Read;
        let (out, mut text) = (self.0.stdout.as_mut().expect("stdout"), Vec::new());
        while !text.ends_with(b"\n") {
            let mut byte = [0];
            assert!(out.read(&mut byte).expect("read") == 1, "it ended before it said {word:?}");
            text.push(byte[0]);
        }
        assert_eq!(String::from_utf8_lossy(&text).trim(), word);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that a namespace is bound to.
pub struct Bound(PathBuf);

/// Binds a namespace of a process to a file.
pub fn namespace_file(pid: i64, kind: &str, file: &Path) -> Bound {
    std::fs::write(file, "").expect("a file");
    rustix::mount::mount_bind(format!("/proc/{pid}/ns/{kind}"), file).expect("mount --bind");
    Bound(file.to_owned())
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// A loop device.
pub struct Loop(String);

/// Makes a loop device of a file.
pub fn loop_device(file: &str) -> Loop {
    let output = Command::new("losetup").args(["--find", "--show", file]).output().expect("losetup, of mount");
    assert!(output.status.success(), "{}", super::shown(&output));
    Loop(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Loop {
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

/// A frozen cgroup of the version 1 freezer.
pub struct Frozen(PathBuf);

impl Frozen {
    /// Freezes these processes.
    pub fn new(name: &str, pids: &[i32]) -> Self {
        let frozen = Self(PathBuf::from(format!("/sys/fs/cgroup/freezer/{name}-{}", std::process::id())));
        std::fs::create_dir(&frozen.0).expect("a cgroup below the version 1 freezer");
        for pid in pids {
            std::fs::write(frozen.0.join("cgroup.procs"), pid.to_string()).expect("move the process");
        }
        std::fs::write(frozen.0.join("freezer.state"), "FROZEN").expect("freeze");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_to_string(frozen.0.join("freezer.state")).expect("freezer.state").trim() != "FROZEN" {
            assert!(Instant::now() < deadline, "not frozen");
            std::thread::sleep(Duration::from_millis(5));
        }
        frozen
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn thaw(&self) {
        std::fs::write(self.0.join("freezer.state"), "THAWED").expect("thaw");
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("freezer.state"), "THAWED");
        let deadline = Instant::now() + Duration::from_secs(5);
        // What was frozen is dead or goes back to the root of the hierarchy.
        while std::fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            for pid in std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
                let _ = std::fs::write("/sys/fs/cgroup/freezer/cgroup.procs", pid);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

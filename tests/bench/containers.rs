//! The peers' side: crun and runc with one bundle of the same root and init, as both tools' own `spec` command writes it
//! (that is: without a user namespace, without seccomp and without an overlay, all of which a zone has), bubblewrap with
//! a cgroup of its own.

use crate::Result;
use crate::spawn::{Program, Running};
use crate::zones::Scratch;
use reeve_kernel::cgroup::Cgroup;
use rustix::fd::AsFd;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A container that can be started, in the foreground, as often as one likes.
pub struct Container {
    program: Program,
    /// A cgroup for a tool that makes none.
    cgroup: Option<PathBuf>,
}

/// A container whose init runs.
pub struct Started {
    running: Running,
    cgroup: Option<Cgroup>,
}

/// The folder of the peers' state and bundles, on the tmpfs.
const FOLDER: &str = "/run/bench";

impl Container {
    /// A container of crun or runc, in the network namespace of this name or in a new one.
    pub fn oci(scratch: &Scratch, tool: &str, id: &str, netns: Option<&str>) -> Result<Self> {
        let bundle = bundle(scratch, tool, id, netns, &["/init", "r"])?;
        let root = format!("{FOLDER}/{tool}");
        let bundle = bundle.display().to_string();
        let program = Program::new(tool, &["--root", &root, "run", "--bundle", &bundle, id])?;
        Ok(Self { program, cgroup: None })
    }

    /// A sandbox of bubblewrap with the same namespaces. It makes no cgroup, so that it is given one.
    pub fn bubblewrap(scratch: &Scratch, id: &str) -> Result<Self> {
        let tree = scratch.tree()?.display().to_string();
        let mut arguments =
            vec!["--as-pid-1", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-ipc", "--unshare-cgroup"];
        arguments.extend(["--bind", &tree, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "/init", "r"]);
        let cgroup = scratch.cgroup()?.join("peers");
        std::fs::create_dir_all(&cgroup)?;
        Ok(Self { program: Program::new("bwrap", &arguments)?, cgroup: Some(cgroup.join(id)) })
    }

    /// Starts it, and returns when its init runs.
    pub fn start(&self) -> Result<Started> {
        let cgroup = self.cgroup.as_deref().map(Cgroup::create_fresh).transpose()?;
        let running = self.program.spawn(cgroup.as_ref().map(AsFd::as_fd))?;
        running.wait_running()?;
        Ok(Started { running, cgroup })
    }
}

impl Started {
    /// Ends its init, and returns when the tool has taken it down.
    pub fn end(self) -> Result<()> {
        self.running.end()?;
        if let Some(cgroup) = self.cgroup {
            // bubblewrap itself ends before the kernel has taken all of its sandbox away.
            cgroup.wait_empty(Duration::from_secs(10))?;
            cgroup.remove()?;
        }
        Ok(())
    }
}

/// A container that lives without its tool, for the rows of many.
pub struct Detached {
    start: Program,
    stop: Program,
}

impl Detached {
    /// A container whose init waits for ever.
    pub fn new(scratch: &Scratch, tool: &str, id: &str, netns: Option<&str>) -> Result<Self> {
        let bundle = bundle(scratch, tool, id, netns, &["/init"])?.display().to_string();
        let root = format!("{FOLDER}/{tool}");
        let start = Program::new(tool, &["--root", &root, "run", "--detach", "--bundle", &bundle, id])?;
        let stop = Program::new(tool, &["--root", &root, "delete", "--force", id])?;
        Ok(Self { start, stop })
    }

    /// Starts it.
    pub fn start(&self) -> Result<()> {
        self.start.run()
    }

    /// Takes it down.
    pub fn stop(&self) -> Result<()> {
        self.stop.run()
    }
}

/// Writes a bundle; its folder.
pub fn bundle(scratch: &Scratch, tool: &str, id: &str, netns: Option<&str>, args: &[&str]) -> Result<PathBuf> {
    let folder = Path::new(FOLDER).join(format!("{tool}-{id}"));
    std::fs::create_dir_all(&folder)?;
    let config = config(scratch, id, netns, args)?;
    std::fs::write(folder.join("config.json"), config.to_string())?;
    Ok(folder)
}

/// What `crun spec` and `runc spec` write, without the rule for devices (crun raises a limit for it that not everybody
/// may raise).
fn config(scratch: &Scratch, id: &str, netns: Option<&str>, args: &[&str]) -> Result<Value> {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let network = match netns {
        Some(name) => json!({"type": "network", "path": format!("/run/netns/{name}")}),
        None => json!({"type": "network"}),
    };
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": scratch.tree()?, "readonly": true},
        "hostname": id,
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", &pts),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{}/peers/{id}", scratch.name),
            "namespaces": [
                {"type": "pid"}, network, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }))
}

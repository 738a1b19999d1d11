//! Where everything is: the state and run folders, the cgroup, the names that tell one instance of Reeve on a machine
//! from another.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Result;

/// The state folder where none is named.
pub const STATE_DIR: &str = "/var/lib/reeve";
/// The run folder where none is named.
pub const RUN_DIR: &str = "/run/reeve";

/// The places of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    state: PathBuf,
    run: PathBuf,
    cgroup: String,
    tag: String,
}

impl Places {
    /// The places of the environment (REEVE_STATE_DIR, REEVE_RUN_DIR, REEVE_CGROUP), each moved by what is given.
    pub fn new(state: Option<&Path>, run: Option<&Path>, cgroup: Option<&str>) -> Self {
        let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = |given: Option<&Path>, name: &str, default: &str| {
            let path = given.map(Path::to_owned).or_else(|| from_env(name).map(PathBuf::from));
            let path = path.unwrap_or_else(|| PathBuf::from(default));
            std::path::absolute(&path).unwrap_or(path)
        };
        let state = folder(given(state), "REEVE_STATE_DIR", STATE_DIR);
        let run = folder(given(run), "REEVE_RUN_DIR", RUN_DIR);
        let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
        let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let cgroup = cgroup
            .map(str::to_owned)
            .or_else(|| from_env("REEVE_CGROUP").and_then(|value| value.into_string().ok()))
            .unwrap_or_else(|| if state == Path::new(STATE_DIR) { "reeve".into() } else { format!("reeve-{hex}") });
        let cgroup = cgroup.trim_matches('/').to_owned();
        Self { state, run, cgroup, tag: hex[..4].to_owned() }
    }

    /// What outlives a boot of the host.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What ends with the host's boot; on tmpfs.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The cgroup below the cgroup v2 mount that holds the zones.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Four hexadecimal digits that tell this instance's links from another's.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The folder of the zonepaths that no manifest names.
    pub fn zonepaths(&self) -> String {
        self.state.join("zonepaths").display().to_string()
    }

    /// A zone's folder in the state folder.
    pub fn zone_state(&self, zone: &str) -> PathBuf {
        self.state.join("zones").join(zone)
    }

    /// A zone's folder in the run folder.
    pub fn zone_run(&self, zone: &str) -> PathBuf {
        self.run.join("zones").join(zone)
    }

    /// Checks that this host has what zones need: root, cgroup v2, the kernel's features.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] that names everything that is missing, with what to do.
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}

fn given(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.as_os_str().is_empty())
}

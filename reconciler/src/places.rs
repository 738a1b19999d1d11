//! Where everything is: the state and run folders, the cgroup, the names that tell one instance of Reeve on a machine
//! from another; and the checks of what Reeve needs of a host.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::mount::FsOpenFlags;
use rustix::process::{Resource, Rlimit};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The state folder where none is named.
pub const STATE_DIR: &str = "/var/lib/reeve";
/// The run folder where none is named.
pub const RUN_DIR: &str = "/run/reeve";
/// The oldest kernel that zones are made for (Debian 12).
const KERNEL_MIN: (u32, u32) = (6, 1);
/// `f_type` of a cgroup v2 mount, statfs(2).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The places of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    state: PathBuf,
    run: PathBuf,
    cgroup: String,
    tag: String,
    age_identity: Option<PathBuf>,
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The cgroup of the packaged units where they are in use, so that a shell beside the service sees its zones.
fn usual_cgroup() -> String {
    const UNIT: &str = "reeve.slice/reeve-zones.service";
    match cgroup_mount() {
        Ok(mount) if mount.join(UNIT).is_dir() => format!("{UNIT}/zones"),
        _ => "reeve".into(),
    }
}

impl Places {
    /// The places of the environment (REEVE_STATE_DIR, REEVE_RUN_DIR, REEVE_CGROUP, REEVE_AGE_IDENTITY), each moved by what is
    /// given.
    pub fn new(state: Option<&Path>, run: Option<&Path>, cgroup: Option<&str>) -> Self {
        let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = |given: Option<&Path>, name: &str, default: &str| {
            let path = given.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned);
            let path = path.or_else(|| from_env(name).map(PathBuf::from)).unwrap_or_else(|| default.into());
            absolute(&path)
        };
        let state = folder(state, "REEVE_STATE_DIR", STATE_DIR);
        let run = folder(run, "REEVE_RUN_DIR", RUN_DIR);
        let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
        let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let cgroup = cgroup
            .map(str::to_owned)
            .or_else(|| from_env("REEVE_CGROUP").and_then(|value| value.into_string().ok()))
            .unwrap_or_else(|| if state == Path::new(STATE_DIR) { usual_cgroup() } else { format!("reeve-{hex}") });
        let cgroup = cgroup.trim_matches('/').to_owned();
        let age_identity = from_env("REEVE_AGE_IDENTITY").map(|path| absolute(Path::new(&path)));
        Self { state, run, cgroup, tag: hex[..4].to_owned(), age_identity }
    }

    /// The same places with this file of age identities, where one is given.
    #[must_use]
    pub fn with_age_identity(mut self, identity: Option<&Path>) -> Self {
        if let Some(identity) = identity {
            self.age_identity = Some(absolute(identity));
        }
        self
    }

    /// The file of age identities that opens this host's secrets.
    pub fn age_identity(&self) -> Option<&Path> {
        self.age_identity.as_deref()
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

    /// IFLA_IFALIAS of the host ends of a zone's links.
    pub fn link_alias(&self, zone: &str) -> String {
        format!("reeve:{}:{zone}", self.tag)
    }

    /// IFLA_IFALIAS of a bridge that this instance made. `verify` refuses a zone of the name `bridge`.
    pub fn bridge_alias(&self) -> String {
        format!("reeve:{}:bridge", self.tag)
    }

    /// Name of the host end of a zone's link `index`; unique for this incarnation of the zone, because the link of the
    /// last one lingers for a while after its namespace.
    pub fn link_name(&self, zone_id: u32, index: usize) -> String {
        format!("rv{}-{zone_id}.{index}", self.tag)
    }

    /// The cgroup that holds the zones, absolute.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where no cgroup v2 is mounted.
    pub fn cgroup_parent(&self) -> Result<PathBuf> {
        Ok(cgroup_mount()?.join(&self.cgroup))
    }

    /// The cgroup of a zone, absolute.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where no cgroup v2 is mounted.
    pub fn zone_cgroup(&self, zone: &str) -> Result<PathBuf> {
        Ok(self.cgroup_parent()?.join(format!("zone.{zone}")))
    }
}

/// Where cgroup v2 is mounted; once it was found, that is where it stays.
///
/// # Errors
/// [`Error::Unsupported`] where it is not.
pub fn cgroup_mount() -> Result<&'static Path> {
    static FOUND: OnceLock<&Path> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let is_v2 = |path: &&str| rustix::fs::statfs(*path).is_ok_and(|found| found.f_type as u64 == CGROUP2_SUPER_MAGIC);
    let found = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(is_v2);
    found.map(|found| *FOUND.get_or_init(|| Path::new(found))).ok_or_else(|| {
        Error::Unsupported(
            "cgroup v2 is mounted neither at /sys/fs/cgroup nor at /sys/fs/cgroup/unified; \
             boot with systemd.unified_cgroup_hierarchy=1, or: mount -t cgroup2 none /sys/fs/cgroup/unified"
                .into(),
        )
    })
}

/// Checks that this host has what zones need.
///
/// # Errors
/// [`Error::Unsupported`] that names everything that is missing, a line each, with what to do.
pub fn check_host() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Unsupported("zones are made by root only; run this command as root (sudo)".into()));
    }
    let mut missing = Vec::new();
    if let Err(error) = cgroup_mount() {
        missing.push(error.to_string());
    }
    missing.extend(check_kernel());
    missing.extend(check_user_namespaces());
    missing.extend(check_file_systems());
    if missing.is_empty() { Ok(()) } else { Err(Error::Unsupported(missing.join("\n"))) }
}

/// The limit of open files that this process was started with.
static DESCRIPTORS: OnceLock<Option<u64>> = OnceLock::new();

/// Lets this process have as many descriptors as it may.
pub fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    DESCRIPTORS.get_or_init(|| limit.current);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(errno) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::debug!("setrlimit(RLIMIT_NOFILE): {errno}");
    }
}

/// The limit that programs are to be started with. Many take a large one for a promise and close as many descriptors.
pub fn usual_descriptor_limit() -> Rlimit {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    Rlimit { current: DESCRIPTORS.get().copied().unwrap_or(limit.current), maximum: limit.maximum }
}

fn check_kernel() -> Option<String> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (found < KERNEL_MIN).then(|| {
        let (major, minor) = KERNEL_MIN;
        format!("Linux {release} is too old; zones need {major}.{minor} or later (Debian 12 has it)")
    })
}

fn check_user_namespaces() -> Option<String> {
    let path = "/proc/sys/user/max_user_namespaces";
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim() == "0" => {
            Some(format!("user namespaces are disabled ({path} is 0); do: sysctl user.max_user_namespaces=65536"))
        }
        Ok(_) => None,
        Err(_) => Some("this kernel has no user namespaces; use one built with CONFIG_USER_NS".into()),
    }
}

/// fsopen(2) also loads the module of a file system that is one.
fn check_file_systems() -> Vec<String> {
    let needed = [("overlay", "CONFIG_OVERLAY_FS"), ("tmpfs", "CONFIG_TMPFS"), ("devpts", "CONFIG_UNIX98_PTYS")];
    let missing = |name: &str| rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).err();
    needed
        .into_iter()
        .filter_map(|(name, option)| missing(name).map(|errno| (name, option, errno)))
        .map(|(name, option, errno)| {
            format!("this kernel cannot mount {name} ({errno}); do: modprobe {name}, or use one built with {option}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_state_folder_is_another_instance() {
        let default = Places::new(Some(Path::new(STATE_DIR)), Some(Path::new(RUN_DIR)), None);
        let other = Places::new(Some(Path::new("/srv/reeve")), Some(Path::new(RUN_DIR)), None);
        if std::env::var_os("REEVE_CGROUP").is_none() {
            assert_eq!(default.cgroup(), "reeve");
            assert!(other.cgroup().starts_with("reeve-"));
        }
        assert_ne!(default.tag(), other.tag());
        assert_eq!(default.zonepaths(), "/var/lib/reeve/zonepaths");
    }

    #[test]
    fn link_names_fit_the_kernel() {
        let places = Places::new(None, None, None);
        assert!(places.link_name(crate::store::ids::ZONE_ID_MAX, 99).len() <= 15);
    }
}

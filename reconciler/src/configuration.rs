//! The host's configuration from its file, and who the host is by it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use reeve_schema::configuration::Configuration;
use reeve_schema::{HostSelf, Limits, Problems, SourceFile};

use crate::error::{Error, OnFile, Result};
use crate::source::LoadError;

/// Where the configuration is when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/reeve/config.yaml";
/// The variable of the environment that names another file.
pub const VARIABLE: &str = "REEVE_CONFIG";

/// The host's configuration: of the file `path`, else of the one that `$REEVE_CONFIG` names, else of
/// [`DEFAULT_FILE`] if that is there; without any, the one in which every field has its default.
///
/// # Errors
/// [`LoadError::Read`]: a file that was named and is not there, or that cannot be read; [`LoadError::Problems`]: every
/// problem in it.
pub fn load(path: Option<&Path>) -> std::result::Result<Configuration, LoadError> {
    let named = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    match path.map(Path::to_owned).or_else(named) {
        Some(path) => load_file(&path),
        None => match load_file(Path::new(DEFAULT_FILE)) {
            Err(LoadError::Read(Error::File { source, .. })) if source.kind() == ErrorKind::NotFound => {
                Ok(Configuration::default())
            }
            loaded => loaded,
        },
    }
}

/// Who this host is: by its configuration, or else by the kernel's name for it, which is taken as it is.
pub fn host_self(configuration: &Configuration) -> HostSelf {
    let kernels = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = configuration.host.name.clone().unwrap_or_else(kernels);
    HostSelf { name, labels: configuration.host.labels.clone() }
}

/// The configuration of a file.
fn load_file(path: &Path) -> std::result::Result<Configuration, LoadError> {
    let limits = Limits::default();
    let text = read(path, limits.file_bytes)?;
    let file = SourceFile { path: path.display().to_string(), text };
    reeve_schema::configuration::load(&file, &limits).map_err(|problems| LoadError::Problems(Problems(problems)))
}

/// The text of a file that has at most `max` bytes.
fn read(path: &Path, max: usize) -> Result<String> {
    // A pipe with nobody at its other end is no reason to wait.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path).on("open", path)?;
    if !file.metadata().on("fstat", path)?.is_file() {
        return Err(Error::refused(format!("{}: is not a file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).on("read", path)?;
    if bytes.len() > max {
        return Err(Error::refused(format!("{}: is larger than {max} bytes", path.display())));
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Error::refused(format!("{}: is not UTF-8 text (byte {place})", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_named_must_be_there_and_right() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.yaml");
        let said = |path: &Path| load(Some(path)).expect_err("it is wrong").to_string();
        assert!(said(&path).contains("config.yaml"));
        assert!(said(folder.path()).contains("is not a file"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(said(&path).contains("not UTF-8"));
        std::fs::write(&path, "kind: Zone\n").unwrap();
        assert!(matches!(load(Some(&path)), Err(LoadError::Problems(_))));
        let text = "apiVersion: reeve.dev/v1alpha1\nkind: Configuration\nspec: {host: {name: web1}}\n";
        std::fs::write(&path, text).unwrap();
        assert_eq!(host_self(&load(Some(&path)).unwrap()), HostSelf::named("web1"));
    }

    #[test]
    fn without_a_name_the_kernel_names_the_host() {
        let kernels = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host_self(&Configuration::default()), HostSelf::named(kernels.trim_end()));
    }
}

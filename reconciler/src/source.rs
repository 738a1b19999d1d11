//! Manifests from files. Needs neither root nor cgroups.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use reeve_schema::{AgeFile, Catalog, Checked, HostSelf, Limits, ManifestSet, Problems, SourceFile};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::error::{Error, OnFile, Result};
use crate::secrets;

/// How deep folders may nest.
pub(crate) const DEPTH_MAX: usize = 16;
/// How many files a set may have.
pub(crate) const FILES_MAX: usize = 50_000;
/// `O_NOFOLLOW | O_NONBLOCK`: neither a symbolic link nor a pipe with nobody at its other end is opened by accident.
const OPEN_FLAGS: i32 = (rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits()) as i32;

/// Why a set of manifests could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files could not be read, or may not be.
    #[error(transparent)]
    Read(#[from] Error),
    /// Something is wrong in them: everything, at once.
    #[error("{0}")]
    Problems(Problems),
}

/// Reads the manifests of a file, or of a folder and the folders in it: files whose names end in `.yaml` or `.yml`, in
/// the order of their paths. Hidden ones are skipped. A symbolic link is refused: a set must be the same wherever it is
/// read, and whoever may write to it must not choose which other files are read as root. (The path itself may be one.)
///
/// # Errors
/// A file that cannot be read, a symbolic link, too many or too large files.
pub fn read(path: &Path) -> Result<Vec<SourceFile>> {
    let mut reader = Reader::default();
    let path_found = fs::metadata(path).on("stat", path)?;
    if path_found.is_dir() {
        reader.folder(path, 0)?;
    } else {
        let target = fs::canonicalize(path).on("realpath", path)?;
        reader.file(&target, path)?;
    }
    Ok(reader.files)
}

/// Reads the manifests of these files and folders as one set.
///
/// # Errors
/// As [`read`].
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(read(path)?);
    }
    Ok(files)
}

/// Reads the manifests of these files and folders as one set, and the encrypted files that they name, and gives what
/// `host` gets of it. `zonepaths` is [`crate::Places::zonepaths`].
///
/// # Errors
/// [`LoadError`].
pub fn load(paths: &[PathBuf], host: &HostSelf, zonepaths: &str) -> std::result::Result<ManifestSet, LoadError> {
    let mut set = reeve_schema::load(&read_all(paths)?, host, zonepaths, &Limits::default())
        .map_err(|problems| LoadError::Problems(Problems(problems)))?;
    secrets::take_in(&mut set, &mut beside)?;
    Ok(set)
}

/// Checks the manifests of these files and folders for every host that they declare, and for one that they do not, and
/// that the encrypted files that they name are there. Nothing is decrypted.
///
/// # Errors
/// [`LoadError`], with the problems of all hosts.
pub fn check(paths: &[PathBuf], zonepaths: &str) -> std::result::Result<Checked, LoadError> {
    check_files(&read_all(paths)?, zonepaths, &mut take_in)
}

/// Reads the encrypted files that the zones of a set name, from beside the manifests.
///
/// # Errors
/// [`LoadError`], with those that are not there.
pub fn take_in(set: &mut ManifestSet) -> std::result::Result<(), LoadError> {
    secrets::take_in(set, &mut beside)
}

/// [`check`] of files that were read; `take_in` reads the encrypted files that a set names.
///
/// # Errors
/// As [`check`].
pub fn check_files(
    files: &[SourceFile],
    zonepaths: &str,
    take_in: &mut dyn FnMut(&mut ManifestSet) -> std::result::Result<(), LoadError>,
) -> std::result::Result<Checked, LoadError> {
    let catalog = Catalog::read(files, &Limits::default());
    let wrong = |problems| LoadError::Problems(Problems(problems));
    let checked = catalog.check(zonepaths).map_err(wrong)?;
    // Which files are read depends on the overlays of each host.
    if files.iter().any(|file| file.text.contains("fromAge")) {
        let mut problems = Vec::new();
        for host in catalog.hosts().map(HostSelf::named).chain([HostSelf::default()]) {
            let Ok(mut set) = catalog.for_host(&host, zonepaths) else { continue };
            match take_in(&mut set) {
                Err(LoadError::Problems(Problems(more))) => problems.extend(more),
                other => other?,
            }
        }
        if !problems.is_empty() {
            problems.sort();
            problems.dedup();
            return Err(wrong(problems));
        }
    }
    Ok(checked)
}

/// What is in a file below the folder of a manifest; none where it is not there. No symbolic link leads out of that folder,
/// or anywhere: the file is the one that a repository has.
fn beside(file: &AgeFile) -> Result<Option<Vec<u8>>> {
    let manifest = fs::canonicalize(&file.place.file).on("realpath", Path::new(&file.place.file))?;
    let folder = manifest.parent().unwrap_or(Path::new("/"));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, folder, flags, Mode::empty()).on("open", folder)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = Path::new(&file.path);
    let file = match rustix::fs::openat2(&opened, path, flags, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => {
            let what = "is a symbolic link, or in one, which is not followed; put the file itself there";
            return Err(Error::refused(format!("`{}` {what}", path.display())));
        }
        found => File::from(found.on("open", path)?),
    };
    if !file.metadata().on("fstat", path)?.is_file() {
        return Err(Error::refused(format!("`{}` is not a file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(secrets::BYTES_MAX as u64 + 1).read_to_end(&mut bytes).on("read", path)?;
    Ok(Some(bytes))
}

/// Takes in files, within the limits of a set.
#[derive(Default)]
pub(crate) struct Reader {
    limits: Limits,
    total: usize,
    files: Vec<SourceFile>,
}

impl Reader {
    fn folder(&mut self, path: &Path, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(too_deep(&path.display().to_string()));
        }
        let mut entries: Vec<_> =
            fs::read_dir(path).on("readdir", path)?.collect::<std::io::Result<_>>().on("readdir", path)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if is_hidden(Path::new(&entry.file_name())) {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().on("stat", &path)?;
            if kind.is_symlink() && (is_manifest(&path) || path.is_dir()) {
                return Err(Error::refused(format!(
                    "{0}: is a symbolic link, which is not followed; put the file itself there (cp -L {0} …) or take it away",
                    path.display()
                )));
            } else if kind.is_dir() {
                self.folder(&path, depth + 1)?;
            } else if is_manifest(&path) {
                self.file(&path, &path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, shown: &Path) -> Result<()> {
        let file = File::options().read(true).custom_flags(OPEN_FLAGS).open(path).on("open", shown)?;
        if !file.metadata().on("fstat", shown)?.is_file() {
            return Err(Error::refused(format!("{}: is not a file", shown.display())));
        }
        let mut bytes = Vec::new();
        file.take(self.file_max() as u64 + 1).read_to_end(&mut bytes).on("read", shown)?;
        self.add(bytes, &shown.display().to_string())
    }

    /// The most bytes that a file may have.
    pub(crate) fn file_max(&self) -> usize {
        self.limits.file_bytes
    }

    /// What was taken in.
    pub(crate) fn files(self) -> Vec<SourceFile> {
        self.files
    }

    /// Takes in a file that was read.
    ///
    /// # Errors
    /// [`Error::Refused`]: it or the set is too large, or it is no text.
    pub(crate) fn add(&mut self, bytes: Vec<u8>, shown: &str) -> Result<()> {
        self.total += bytes.len();
        if bytes.len() > self.limits.file_bytes {
            let max = self.limits.file_bytes;
            return Err(Error::refused(format!("{shown}: is larger than {max} bytes")));
        }
        if self.total > self.limits.set_bytes || self.files.len() >= FILES_MAX {
            let (bytes, files) = (self.limits.set_bytes, FILES_MAX);
            let message = format!("{shown}: the set is larger than {bytes} bytes or {files} files");
            return Err(Error::refused(message));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            Error::refused(format!("{shown}: is not UTF-8 text (byte {place})"))
        })?;
        self.files.push(SourceFile { path: shown.to_owned(), text });
        Ok(())
    }
}

/// The one name of a path, whatever it is called from wherever: absolute, and without symbolic links as far as it is
/// there.
pub fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = absolute.ancestors().find_map(|folder| Some((folder, fs::canonicalize(folder).ok()?)));
    match known {
        Some((folder, known)) => match absolute.strip_prefix(folder) {
            Ok(rest) if rest.as_os_str().is_empty() => known,
            Ok(rest) => known.join(rest),
            Err(_) => absolute,
        },
        None => absolute,
    }
}

fn too_deep(shown: &str) -> Error {
    Error::refused(format!("{shown}: folders nest deeper than {DEPTH_MAX}"))
}

/// Refuses a file that is too deep in folders. `below` is its path from where the set begins.
pub(crate) fn check_depth(below: &Path, shown: &str) -> Result<()> {
    // The last part is the file itself.
    if below.components().count() > DEPTH_MAX + 1 { Err(too_deep(shown)) } else { Ok(()) }
}

/// Whether a path has a part that begins with a dot: that is not read.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.iter().any(|part| part.as_encoded_bytes().starts_with(b"."))
}

/// Whether a file's name is that of a manifest.
pub fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether a file's name is that of an encrypted one.
pub fn is_encrypted(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "age")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn reads_what_is_a_manifest_in_the_order_of_paths() {
        let dir = folder();
        for name in ["b.yaml", "a.yml", ".hidden.yaml", "notes.txt", "c.yaml.age", "sub/c.yaml", ".git/d.yaml"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let texts: Vec<String> = read(dir.path()).unwrap().into_iter().map(|file| file.text).collect();
        assert_eq!(texts, ["a.yml", "b.yaml", "sub/c.yaml"]);
        assert_eq!(read(&dir.path().join("b.yaml")).unwrap().len(), 1);
    }

    #[test]
    fn a_path_has_one_name_also_where_its_end_is_gone() {
        let dir = folder();
        let top = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(top.join("real")).unwrap();
        std::os::unix::fs::symlink("real", top.join("link")).unwrap();
        for (path, is) in [("link", "real"), ("link/gone/too", "real/gone/too"), ("real/../link/gone", "real/gone")] {
            assert_eq!(absolute(&top.join(path)), top.join(is), "{path}");
        }
    }

    #[test]
    fn refuses_links_pipes_binaries_and_what_is_not_there() {
        let dir = folder();
        let said = |path: &Path| read(path).unwrap_err().to_string();
        assert!(said(&dir.path().join("none")).contains("none"));
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("x.yaml")).unwrap();
        assert!(said(dir.path()).contains("symbolic link"));
        fs::remove_file(dir.path().join("x.yaml")).unwrap();
        fs::write(dir.path().join("x.yaml"), [0xff, 0xfe]).unwrap();
        assert!(said(dir.path()).contains("not UTF-8"));
        fs::write(dir.path().join("x.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(said(dir.path()).contains("larger than"));
    }
}

//! What the host itself shows of zones: their links and the bridges, mounts in the host's mount table below their
//! folders, and their files in the state and run folders.

use super::read::{fact, open_path, subdirectories, whole};
use super::{Fact, Files, Places};
use crate::netlink::{Link, Rtnl};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, FileType};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The links of the host, sorted by whose they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Links {
    pub zones: BTreeMap<String, Vec<Link>>,
    pub bridges: Vec<Link>,
    pub nobodys: Vec<Link>,
}

impl Links {
    /// Reads all links in one dump.
    pub fn read(rtnl: &mut Rtnl, tag: &str) -> Fact<Self> {
        match rtnl.links() {
            Ok(links) => Fact::Known(Self::sort(links, tag)),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }

    fn sort(links: Vec<Link>, tag: &str) -> Self {
        let (alias, name) = (format!("reeve:{tag}:"), format!("rv{tag}-"));
        let mut sorted = Self::default();
        for link in links {
            // By its kind first: a zone may be named `bridge`.
            if link.kind.as_deref() == Some("bridge") {
                sorted.bridges.push(link);
            } else if let Some(zone) = link.alias.as_deref().and_then(|text| text.strip_prefix(&alias)) {
                sorted.zones.entry(zone.to_owned()).or_default().push(link);
            } else if link.name.starts_with(&name) {
                // Made, and whoever made it died before it could be marked.
                sorted.nobodys.push(link);
            }
        }
        sorted
    }
}

/// Mounts by zone, and those that are no zone's.
pub(super) type Mounts = (BTreeMap<String, Vec<PathBuf>>, Vec<PathBuf>);

/// Mounts below the folders of zones, from the text of a mountinfo, by zone; and those below the run folder that are no
/// zone's.
pub(super) fn mounts(text: &[u8], places: &Places) -> Mounts {
    let (mut zones, mut nobodys) = (BTreeMap::<String, Vec<PathBuf>>::new(), Vec::new());
    let folders = Folders::of(places);
    for line in text.split(|&b| b == b'\n') {
        let Some(point) = line.split(|&b| b == b' ').nth(4) else { continue };
        let point = unescape(point);
        let point = Path::new(OsStr::from_bytes(&point));
        match folders.owner(point) {
            Some(Some(zone)) => zones.entry(zone.to_owned()).or_default().push(point.to_owned()),
            Some(None) => nobodys.push(point.to_owned()),
            None => {}
        }
    }
    (zones, nobodys)
}

struct Folders<'a> {
    run: &'a Path,
    run_zones: PathBuf,
    zonepaths: PathBuf,
    given: &'a BTreeMap<String, PathBuf>,
}

impl<'a> Folders<'a> {
    fn of(places: &'a Places) -> Self {
        Self {
            run: &places.run_dir,
            run_zones: places.run_dir.join("zones"),
            zonepaths: places.state_dir.join("zonepaths"),
            given: &places.zonepaths,
        }
    }

    /// The zone that a mount belongs to; `Some(None)` for one in the run folder that is nobody's. A zonepath that is a
    /// mount itself is the administrator's disk, no leftover; only what is strictly below it counts.
    fn owner<'p>(&'p self, point: &'p Path) -> Option<Option<&'p str>> {
        let given = self.given.iter().find(|(_, path)| point != path.as_path() && point.starts_with(path));
        if let Some((zone, _)) = given {
            return Some(Some(zone));
        }
        let first = |below: &'p Path| below.components().next().and_then(|c| c.as_os_str().to_str());
        if let Ok(below) = point.strip_prefix(&self.zonepaths) {
            return first(below).filter(|_| below.components().count() > 1).map(Some);
        }
        if let Ok(below) = point.strip_prefix(&self.run_zones) {
            return first(below).map(Some);
        }
        (point != self.run && point.starts_with(self.run)).then_some(None)
    }
}

/// A path as mountinfo writes it: blanks and backslashes as three octal digits.
pub(super) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match digits {
            Some(digits) => {
                plain.push(digits.iter().fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
                rest = &behind[3..];
            }
            None => {
                plain.push(byte);
                rest = behind;
            }
        }
    }
    Cow::Owned(plain)
}

/// The `zones` folders in the state and the run folder.
pub(super) struct Store {
    state: Folder,
    run: Folder,
    path: String,
}

struct Folder {
    /// Held open for reading many zones; for one, its files are reached by path.
    dir: Fact<OwnedFd>,
    prefix: String,
}

impl Folder {
    fn zones(&self, each: impl FnMut(&str)) -> Fact<()> {
        let mut each = each;
        match &self.dir {
            Fact::Known(dir) => {
                let listed = subdirectories(dir.as_fd(), |name| name.into_iter().for_each(&mut each));
                fact(listed, "getdents64", &self.prefix)
            }
            Fact::Absent => Fact::Known(()),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        }
    }

    /// Whether a zone that has no folder in it has none, as far as can be told.
    fn nothing(&self) -> Fact<()> {
        if let Fact::Unknown(why) = &self.dir { Fact::Unknown(why.clone()) } else { Fact::Absent }
    }

    fn exists(&self, path: &mut String, zone: &str, file: &str) -> Fact<()> {
        path.clear();
        let at = match &self.dir {
            Fact::Known(dir) => dir.as_fd(),
            _ => {
                path.push_str(&self.prefix);
                path.push('/');
                CWD
            }
        };
        path.push_str(zone);
        path.push_str(file);
        fact(rustix::fs::accessat(at, &*path, Access::EXISTS, AtFlags::empty()), "faccessat", &*path)
    }
}

impl Store {
    /// Opened, to list zones and read many.
    pub fn open(places: &Places) -> Self {
        let mut store = Self::closed(places);
        for folder in [&mut store.state, &mut store.run] {
            folder.dir = fact(open_path(Path::new(&folder.prefix)), "open", &folder.prefix);
        }
        store
    }

    /// Not opened, to read one zone.
    pub fn closed(places: &Places) -> Self {
        let folder = |path: &Path| Folder { dir: Fact::Absent, prefix: format!("{}/zones", path.display()) };
        Self { state: folder(&places.state_dir), run: folder(&places.run_dir), path: String::new() }
    }

    /// The names of all zones that have a folder in either.
    pub fn zones(&self, mut each: impl FnMut(&str)) -> Fact<()> {
        let (state, run) = (self.state.zones(&mut each), self.run.zones(&mut each));
        if matches!(state, Fact::Unknown(_)) { state } else { run }
    }

    /// The files of a zone that has no folder: none, or not known where the folders could not be read.
    pub fn nothing(&self) -> Files {
        Files {
            configured: self.state.nothing(),
            installed: self.state.nothing(),
            root: Fact::Absent,
            run_folder: self.run.nothing(),
        }
    }

    /// The files of one zone.
    pub fn files(&mut self, zone: &str, places: &Places) -> Files {
        Files {
            configured: self.state.exists(&mut self.path, zone, "/zone.json"),
            installed: self.state.exists(&mut self.path, zone, "/installed.json"),
            root: root_of(places.zonepaths.get(zone), zone, &places.state_dir),
            run_folder: self.run.exists(&mut self.path, zone, ""),
        }
    }
}

/// zonepath/root, if it is a directory.
fn root_of(zonepath: Option<&PathBuf>, zone: &str, state_dir: &Path) -> Fact<()> {
    let root = match zonepath {
        Some(path) => path.join("root"),
        None => [state_dir, Path::new("zonepaths"), Path::new(zone), Path::new("root")].iter().collect(),
    };
    match fact(rustix::fs::statat(CWD, &root, AtFlags::SYMLINK_NOFOLLOW), "fstatat", root.display()) {
        Fact::Known(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Fact::Known(()),
        Fact::Known(_) => Fact::Unknown(format!("{} is there and is no directory", root.display())),
        Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why),
    }
}

/// The processes directly in a cgroup, for those that should have none.
pub(super) fn strays(buffer: &mut Vec<u8>, dir: BorrowedFd<'_>) -> Vec<i32> {
    whole(buffer, dir, "cgroup.procs").map(|text| super::read::numbers(text).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, alias: Option<&str>, kind: &str) -> Link {
        Link { name: name.into(), alias: alias.map(Into::into), kind: Some(kind.into()), ..Link::default() }
    }

    #[test]
    fn links_by_whose_they_are() {
        let sorted = Links::sort(
            vec![
                link("rvab12-1.0", Some("reeve:ab12:bridge"), "veth"),
                link("rvbr", Some("reeve:ab12:bridge"), "bridge"),
                link("rvab12-2.0", None, "veth"),
                link("rvcd34-1.0", Some("reeve:cd34:web"), "veth"),
                link("eth0", None, ""),
            ],
            "ab12",
        );
        assert_eq!(sorted.zones.keys().collect::<Vec<_>>(), ["bridge"]);
        assert_eq!((sorted.bridges.len(), sorted.nobodys.len()), (1, 1));
        assert_eq!(sorted.nobodys[0].name, "rvab12-2.0");
    }

    #[test]
    fn mounts_by_whose_they_are() {
        let places = Places {
            cgroup_root: "/cg".into(),
            tag: "ab12".into(),
            run_dir: "/run/reeve".into(),
            state_dir: "/var/lib/reeve".into(),
            zonepaths: BTreeMap::from([("data".into(), "/zones/da ta".into())]),
        };
        let line = |point: &str| format!("24 1 0:22 / {point} rw,relatime shared:1 - tmpfs tmpfs rw\n");
        let text: String = [
            "/",
            "/run",
            "/run/reeve",
            "/run/reeve/zones/web/x",
            "/run/reeve/other",
            "/run/reeve2/zones/web",
            "/var/lib/reeve/zonepaths/web",
            "/var/lib/reeve/zonepaths/web/root",
            "/zones/da\\040ta",
            "/zones/da\\040ta/root/mnt",
        ]
        .into_iter()
        .map(line)
        .collect();
        let (zones, nobodys) = mounts(text.as_bytes(), &places);
        let of = |zone: &str| zones[zone].iter().map(|p| p.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(of("web"), ["/run/reeve/zones/web/x", "/var/lib/reeve/zonepaths/web/root"]);
        assert_eq!(of("data"), ["/zones/da ta/root/mnt"]);
        assert_eq!(nobodys, [Path::new("/run/reeve/other")]);
    }
}

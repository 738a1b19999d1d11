//! A closer look at a zone that is up: its mounts, the links and routes inside, the nodes in /dev, its host name and whether it is
//! frozen, each as a field with a text, so that one look can be compared with another. Read through zsched's and init's folders in
//! /proc and from the host's own netlink socket: nothing is kept open, so that no namespace outlives its zone by it.

use super::host::unescape;
use super::read;
use crate::error::{Error, Result};
use crate::mount;
use crate::netlink::{Address, Rtnl};
use crate::platform::devices;
use crate::platform::namespaces::{in_uts, open_namespace};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What most of the kernel's files are shorter than.
const USUAL: usize = 4096;
/// Longest mount table of an environment that is read: its processes can make it long.
const MOUNTS_MAX: usize = 1 << 20;
/// Most entries of /dev that are looked at.
const ENTRIES_MAX: usize = 4096;
/// Mount points of each application environment's own, beside those of the platform.
const OWN_POINTS: [&str; 3] = ["/proc", "/run", "/sys/fs/cgroup"];
/// Flags of a mount that are compared; how access times are kept is nobody's matter.
const FLAGS: [&str; 5] = ["ro", "rw", "nosuid", "nodev", "noexec"];

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Target<'a> {
    /// zsched's PID.
    pub zsched: i32,
    /// init's PID, where there is an application environment.
    pub init: Option<i32>,
    /// Names of the zone's links on the host.
    pub host_links: Vec<&'a str>,
    /// The bridges that they are ports of.
    pub bridges: BTreeSet<&'a str>,
    /// What the alias of a bridge says that Reeve made.
    pub bridge_alias: &'a str,
    /// The zone's cgroup, absolute.
    pub cgroup: &'a str,
    /// The number of the environment.
    pub environment: Option<u32>,
}

/// What was seen: the groups of fields that could be read, and the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Groups that were looked at.
    pub looked: BTreeSet<String>,
    /// The fields, each with its text.
    pub fields: BTreeMap<String, String>,
}

impl Seen {
    fn take(&mut self, group: &str, read: Result<Vec<(String, String)>>) {
        // What cannot be read is not compared; the zone's state says when it is gone.
        if let Ok(fields) = read {
            self.looked.insert(group.to_owned());
            self.fields.extend(fields);
        }
    }
}

/// Looks at the platform of one zone. `rtnl` is a socket of the host's, with [`Rtnl::strict`].
pub fn look(rtnl: &mut Rtnl, target: &Target<'_>) -> Seen {
    let mut seen = Seen::default();
    let mounts = Mounts::of(target.zsched);
    if let (Ok(mounts), Some(init)) = (&mounts, target.init) {
        seen.take("environment", environment(mounts, init));
    }
    seen.take("fs", mounts.map(|mounts| mounts.fields()));
    seen.take("net", links(rtnl, target));
    seen.take("routes", routes(target));
    seen.take("bridge", bridges(rtnl, target));
    seen.take("devices", nodes(target.zsched));
    seen.take("hostname", hostname(target.zsched).map(|name| vec![("hostname".to_owned(), name)]));
    seen.take("cgroup", freezers(target));
    seen
}

/// One mount.
struct Mount {
    point: String,
    root: String,
    device: String,
    options: String,
    kind: String,
    superblock: String,
}

struct Mounts(Vec<Mount>);

impl Mounts {
    fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/mountinfo");
        let text = bounded(&path)?;
        Ok(Self(text.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect()))
    }

    /// The fields of zsched's mounts, which are the platform's and nobody else's.
    fn fields(&self) -> Vec<(String, String)> {
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        let mut out = Vec::new();
        for mount in &self.0 {
            let count = times.entry(&mount.point).or_insert(0);
            *count += 1;
            let again = if *count > 1 { format!("#{count}") } else { String::new() };
            let field = format!("fs.{}{again}", mount.point);
            out.push((format!("{field}.options"), mount.flags().collect::<Vec<_>>().join(",")));
            if matches!(mount.kind.as_str(), "tmpfs" | "devpts") {
                out.push((format!("{field}.superblock"), mount.superblock.clone()));
            }
            out.push((field, format!("{} {}", mount.kind, mount.root)));
        }
        out
    }
}

impl Mount {
    /// `36 35 98:0 /root /point options optional... - kind source superblock`, proc_pid_mountinfo(5).
    fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(2);
        let mut back = back.split(' ');
        let device = front.next()?.to_owned();
        let (root, point) = (plain(front.next()?), plain(front.next()?));
        let options = front.next()?.to_owned();
        let (kind, _, superblock) = (back.next()?.to_owned(), back.next()?, back.next()?.to_owned());
        Some(Self { point, root, device, options, kind, superblock })
    }

    fn flags(&self) -> impl Iterator<Item = &str> {
        self.options.split(',').filter(|word| FLAGS.contains(word))
    }
}

/// The platform's mounts as init sees them. None of it where init is in another tree than the platform's.
fn environment(platform: &Mounts, init: i32) -> Result<Vec<(String, String)>> {
    let own = Mounts::of(init)?;
    let root = |mounts: &Mounts| mounts.0.iter().find(|mount| mount.point == "/").map(|mount| mount.device.clone());
    if root(platform).is_none() || root(platform) != root(&own) {
        return Err(Error::new("read", format!("/proc/{init}/mountinfo"), "another root than the platform's"));
    }
    let points: BTreeSet<&str> = platform.0.iter().map(|mount| mount.point.as_str()).chain(OWN_POINTS).collect();
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for mount in own.0.iter().filter(|mount| points.contains(mount.point.as_str())) {
        // The oldest at a place is the platform's; what the zone mounted over it is its own matter.
        let words = std::iter::once("mounted").chain(mount.flags().filter(|word| *word != "rw"));
        out.entry(format!("environment.{}", mount.point)).or_insert_with(|| words.collect::<Vec<_>>().join(","));
    }
    Ok(out.into_iter().collect())
}

/// A path without the escapes of mountinfo.
fn plain(text: &str) -> String {
    String::from_utf8_lossy(&unescape(text.as_bytes())).into_owned()
}

fn bounded(path: &str) -> Result<Vec<u8>> {
    use std::io::Read;
    let os = |error: std::io::Error| Error::os("read", path, Errno::from_io_error(&error).unwrap_or(Errno::IO));
    // Without room to begin with, it would be asked for in pieces of 32 bytes and up.
    let mut text = Vec::with_capacity(USUAL);
    let file = std::fs::File::open(path).map_err(os)?;
    file.take(MOUNTS_MAX as u64 + 1).read_to_end(&mut text).map_err(os)?;
    match text.len() {
        0 => Err(Error::os("read", path, Errno::SRCH)),
        len if len > MOUNTS_MAX => Err(Error::new("read", path, "longer than is read")),
        _ => Ok(text),
    }
}

/// The links `net0`, `net1`, ... inside. Others are the zone's own.
fn links(rtnl: &mut Rtnl, target: &Target<'_>) -> Result<Vec<(String, String)>> {
    let Some(namespace) = namespace_id(rtnl, target)? else { return Ok(Vec::new()) };
    let names: BTreeSet<String> = (0..target.host_links.len()).map(|number| format!("net{number}")).collect();
    let addresses = rtnl.addresses_in(namespace)?;
    let mut out = Vec::new();
    for link in rtnl.links_in(namespace)?.into_iter().filter(|link| names.contains(&link.name)) {
        let field = |part: &str| format!("net.{}{part}", link.name);
        out.push((field(""), link.kind.unwrap_or_default()));
        out.push((field(".up"), if link.up { "up" } else { "down" }.to_owned()));
        out.push((field(".mtu"), link.mtu.to_string()));
        out.push((field(".mac"), link.mac.map(|mac| hex(&mac)).unwrap_or_default()));
        out.push((field(".addresses"), in_words(&addresses, link.ifindex)));
    }
    Ok(out)
}

fn hex(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The addresses of one link, but those that the kernel gives by itself.
fn in_words(addresses: &[Address], ifindex: u32) -> String {
    let own = addresses.iter().filter(|address| address.ifindex == ifindex && !is_link_local(address.ip));
    let mut own: Vec<String> = own.map(|address| format!("{}/{}", address.ip, address.prefix)).collect();
    own.sort();
    own.join(" ")
}

/// Whether the kernel gives such an address by itself.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The number that the zone's network namespace has in the host's, by one of its links.
fn namespace_id(rtnl: &mut Rtnl, target: &Target<'_>) -> Result<Option<i32>> {
    for name in &target.host_links {
        if let Some(id) = rtnl.link_by_name(name)?.and_then(|link| link.link_netnsid) {
            return Ok(Some(id));
        }
    }
    if target.host_links.is_empty() { Ok(None) } else { Err(Error::new("RTM_GETLINK", "", "no link with another end")) }
}

/// The default routes inside. Others are the zone's own.
fn routes(target: &Target<'_>) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let four = bounded(&format!("/proc/{}/net/route", target.zsched))?;
    for line in String::from_utf8_lossy(&four).lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [link, "00000000", gateway, _, _, _, _, "00000000", ..] = words[..] else { continue };
        let gateway = u32::from_str_radix(gateway, 16).map(u32::from_be).map(Ipv4Addr::from);
        found.extend(gateway.map(|gateway| format!("{gateway} dev {link}")));
    }
    let six = match bounded(&format!("/proc/{}/net/ipv6_route", target.zsched)) {
        // A kernel without IPv6 has no such file, and without routes it is empty.
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::SRCH)) => Vec::new(),
        read => read?,
    };
    for line in String::from_utf8_lossy(&six).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [to, "00", _, _, gateway, _, _, _, flags, link] = words[..] else { continue };
        // RTF_REJECT: the kernel's own "unreachable".
        let reject = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x200 != 0);
        if reject || to.bytes().any(|byte| byte != b'0') {
            continue;
        }
        found
            .extend(u128::from_str_radix(gateway, 16).map(|gateway| format!("{} dev {link}", Ipv6Addr::from(gateway))));
    }
    found.sort();
    Ok(if found.is_empty() { Vec::new() } else { vec![("routes.default".to_owned(), found.join(", "))] })
}

/// The bridges of Reeve's own that the zone is plugged into.
fn bridges(rtnl: &mut Rtnl, target: &Target<'_>) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    for name in &target.bridges {
        let Some(bridge) = rtnl.link_by_name(name)? else { continue };
        if bridge.alias.as_deref() != Some(target.bridge_alias) {
            continue;
        }
        let addresses = rtnl.addresses(bridge.ifindex)?;
        out.push((format!("bridge.{name}.up"), if bridge.up { "up" } else { "down" }.to_owned()));
        out.push((format!("bridge.{name}.addresses"), in_words(&addresses, bridge.ifindex)));
    }
    Ok(out)
}

/// The zone's /dev, without walking a path that the zone controls.
///
/// # Errors
/// The errno of the failed call.
pub fn open_dev(zsched: i32) -> Result<OwnedFd> {
    let dev = mount::open_in(open_root(zsched)?.as_fd(), "/dev")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&dev, ".", flags, Mode::empty()).map_err(|errno| Error::os("openat", "/dev", errno))
}

/// The root of a process, as a descriptor to go on from.
fn open_root(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| Error::os("open", path, errno))
}

/// The device nodes in /dev: those that every zone has, and whatever else is one.
fn nodes(zsched: i32) -> Result<Vec<(String, String)>> {
    let dev = open_dev(zsched)?;
    let mut names: BTreeSet<String> = devices::node_names().map(str::to_owned).collect();
    let mut space = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(&dev, &mut space);
    let mut count = 0;
    while let (Some(entry), true) = (entries.next(), count < ENTRIES_MAX) {
        let entry = entry.map_err(|errno| Error::os("getdents64", "/dev", errno))?;
        count += 1;
        if matches!(entry.file_type(), FileType::CharacterDevice | FileType::BlockDevice) {
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
    }
    // The console is a mount, and told of as one.
    names.remove("console");
    let mut out = Vec::new();
    for name in names {
        out.extend(node(dev.as_fd(), &name)?.map(|node| (format!("devices.{name}"), node)));
    }
    Ok(out)
}

/// A node in words, e.g. `c 1:3 0666 100000:100000`; none where there is none.
fn node(dev: BorrowedFd<'_>, name: &str) -> Result<Option<String>> {
    let found = match rustix::fs::statat(dev, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(Error::os("fstatat", format!("/dev/{name}"), errno)),
    };
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return Ok(Some("no device".to_owned())),
    };
    let (major, minor) = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    let mut text = String::new();
    let _ = write!(text, "{kind} {major}:{minor} {:04o} {}:{}", found.st_mode & 0o7777, found.st_uid, found.st_gid);
    Ok(Some(text))
}

/// The host name in the UTS namespace of a process.
///
/// # Errors
/// The errno of the failed call.
pub fn hostname(pid: i32) -> Result<String> {
    let namespace = open_namespace(pid, "uts")?;
    in_uts(namespace.as_fd(), || rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Whether the zone or a part of it was told to freeze.
fn freezers(target: &Target<'_>) -> Result<Vec<(String, String)>> {
    let environment = target.environment.map(|number| format!("/env.{number}"));
    let parts = [("", Some(String::new())), (".zsched", Some("/zsched".to_owned())), (".environment", environment)];
    let (mut out, mut buffer) = (Vec::new(), Vec::new());
    for (name, folder) in parts {
        let Some(folder) = folder else { continue };
        let path = format!("{}{folder}/cgroup.freeze", target.cgroup);
        match read::record(&mut buffer, rustix::fs::CWD, &path) {
            Ok(text) => out.push((format!("cgroup{name}.freeze"), String::from_utf8_lossy(text).trim().to_owned())),
            Err(Errno::NOENT) if !folder.is_empty() => {}
            Err(errno) => return Err(Error::os("read", path, errno)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_taken_apart() {
        let line = b"36 35 0:42 /a\\040b /data rw,nosuid,relatime master:1 - tmpfs reeve:ab:web:1 rw,size=4k";
        let mount = Mount::parse(line).expect("a mount");
        assert_eq!((mount.root.as_str(), mount.point.as_str(), mount.device.as_str()), ("/a b", "/data", "0:42"));
        let fields = Mounts(vec![mount]).fields();
        let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str());
        assert_eq!(field("fs./data"), Some("tmpfs /a b"));
        assert_eq!(field("fs./data.options"), Some("rw,nosuid"));
        assert_eq!(field("fs./data.superblock"), Some("rw,size=4k"));
        assert!(Mount::parse(b"").is_none() && Mount::parse(b"1 2 3 - x").is_none());
    }
}

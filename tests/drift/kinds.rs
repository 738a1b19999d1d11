//! The kinds of drift: how each is made by hand, and the field that it is found in.

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use Make::{Mounts, Sh};

/// How a kind of drift is made.
pub enum Make {
    /// By a script, with what the zone is made of as its variables.
    Sh(&'static str),
    /// In zsched's mount namespace.
    Mounts(fn()),
}

/// A kind of drift: its name, how it is made, and the field that it is found in (what stands for a number ends with `.`).
pub type Kind = (&'static str, Make, &'static str);

fn umount(point: &str) {
    rustix::mount::unmount(point, UnmountFlags::DETACH).expect("umount2");
}

fn tmpfs(point: &str) {
    rustix::mount::mount("none", point, "tmpfs", MountFlags::empty(), None).expect("mount");
    rustix::mount::mount_change(point, MountPropagationFlags::PRIVATE).expect("private");
}

pub fn remount(point: &str, flags: MountFlags, data: &str) {
    let data = std::ffi::CString::new(data).expect("text");
    rustix::mount::mount_remount(point, flags, data.as_c_str()).expect("remount");
}

/// Every kind that is mended. What takes the place of something else comes by a rename: between two calls it would be mended. $Z zsched, $I init, $L the host's end of the link, $P the zonepath, $S and $R the zone's folders in the state
/// and run folders, $C its cgroup, $A its zoneadmd, $E the number of its environment, $IP its address.
pub fn kinds() -> Vec<Kind> {
    vec![
        ("host name set", Sh("nsenter -t $Z -u hostname other"), "hostname"),
        ("link inside set down", Sh("nsenter -t $Z -n ip link set net0 down"), "net.net0.up"),
        ("its largest packet changed", Sh("nsenter -t $Z -n ip link set net0 mtu 1400"), "net.net0.mtu"),
        (
            "its hardware address changed",
            Sh("nsenter -t $Z -n ip link set net0 address 02:00:00:00:00:99"),
            "net.net0.mac",
        ),
        ("an address added", Sh("nsenter -t $Z -n ip addr add 192.0.2.99/24 dev net0"), "net.net0.addresses"),
        ("its address taken", Sh("nsenter -t $Z -n ip addr del $IP/24 dev net0"), "net.net0.addresses"),
        (
            "an address of IPv6 added",
            Sh(
                "nsenter -t $Z -n sh -c 'echo 0 >/proc/sys/net/ipv6/conf/net0/disable_ipv6; ip addr add fd77::9/64 dev net0'",
            ),
            "net.net0.addresses",
        ),
        (
            "link inside renamed",
            Sh("nsenter -t $Z -n sh -c 'ip link set net0 down; ip link set net0 name eth9'"),
            "net.net0",
        ),
        ("default route taken", Sh("nsenter -t $Z -n ip route del default"), "routes.default"),
        ("default route elsewhere", Sh("nsenter -t $Z -n ip route replace default via 192.0.2.7"), "routes.default"),
        (
            "a second default route",
            Sh("nsenter -t $Z -n ip route add default via 192.0.2.8 metric 9"),
            "routes.default",
        ),
        ("host's end set down", Sh("ip link set $L down"), "net"),
        ("host's end out of its bridge", Sh("ip link set $L nomaster"), "net"),
        ("host's end in another bridge", Sh("ip link add rvother type bridge; ip link set $L master rvother"), "net"),
        ("bridge set down", Sh("ip link set rvbr0 down"), "bridge.rvbr0.up"),
        ("bridge's address taken", Sh("ip addr del 192.0.2.1/24 dev rvbr0"), "bridge.rvbr0.addresses"),
        ("bridge deleted", Sh("ip link del rvbr0"), "net"),
        ("link deleted", Sh("ip link del $L"), "net"),
        ("a node removed from /dev", Sh("rm /proc/$Z/root/dev/null"), "devices.null"),
        ("a file in a node's place", Sh("cd /proc/$Z/root/dev; echo x > .zero; mv -f .zero zero"), "devices.zero"),
        (
            "another device in a node's place",
            Sh("cd /proc/$Z/root/dev; mknod -m 666 .full c 1 5; mv -f .full full"),
            "devices.full",
        ),
        ("a node's mode changed", Sh("chmod 600 /proc/$Z/root/dev/random"), "devices.random"),
        ("a node's owner changed", Sh("chown 0:0 /proc/$Z/root/dev/urandom"), "devices.urandom"),
        ("a device added to /dev", Sh("mknod -m 666 /proc/$Z/root/dev/memory c 1 1"), "devices.memory"),
        ("zonepath's mode changed", Sh("chmod 755 $P"), "zonepath.mode"),
        ("zonepath's owner changed", Sh("chown 12:12 $P"), "zonepath.owner"),
        ("root's mode changed", Sh("chmod 777 $P/root"), "zonepath.root.mode"),
        ("root's owner changed", Sh("chown 12:12 $P/root"), "zonepath.root.owner"),
        (
            "read-only share made writable",
            Mounts(|| remount("/usr", MountFlags::BIND | MountFlags::NODEV, "")),
            "fs./usr.options",
        ),
        ("/sys made writable", Mounts(|| remount("/sys", MountFlags::BIND | MountFlags::NODEV, "")), "fs./sys.options"),
        ("file system unmounted", Mounts(|| umount("/data")), "fs./data"),
        ("its size changed", Mounts(|| remount("/data", MountFlags::NODEV, "size=4m")), "fs./data.superblock"),
        ("something mounted", Mounts(|| tmpfs("/srv")), "fs./srv"),
        ("something mounted over", Mounts(|| tmpfs("/usr/share")), "fs./usr/share"),
        ("mounted over a mount point", Mounts(|| tmpfs("/data")), "fs./data#2"),
        ("terminals unmounted", Mounts(|| umount("/dev/shm")), "fs./dev/shm"),
        ("zone frozen", Sh("echo 1 > $C/cgroup.freeze"), "cgroup.freeze"),
        ("environment frozen", Sh("echo 1 > $C/env.$E/cgroup.freeze"), "cgroup.environment.freeze"),
        ("zsched frozen", Sh("echo 1 > $C/zsched/cgroup.freeze"), "cgroup.zsched.freeze"),
        (
            "a process entered its namespaces",
            Sh("nsenter -t $I -m -u -n -p setsid sleep 300 >/dev/null 2>&1 & sleep 0.3"),
            "processes.",
        ),
        (
            "a process entered its network",
            Sh("nsenter -t $Z -n setsid sleep 300 >/dev/null 2>&1 & sleep 0.3"),
            "processes.",
        ),
        (
            "a process put into its cgroup",
            Sh("setsid sleep 300 >/dev/null 2>&1 & echo $! > $C/env.$E/cgroup.procs"),
            "processes.",
        ),
        ("zone.json edited", Sh("sed -i s/192.0.2/192.0.3/ $S/zone.json"), "files.zone.json"),
        ("zone.json readable by all", Sh("chmod 644 $S/zone.json"), "files.zone.json"),
        ("installed.json edited", Sh("sed -i 's/\"at\":1/\"at\":2/' $S/installed.json"), "files.installed.json"),
        ("state folder open to all", Sh("chmod 755 $S"), "files.state"),
        ("run folder open to all", Sh("chmod 755 $R"), "files.run"),
        ("zoneadmd killed", Sh("kill -9 $A"), "zoneadmd"),
        ("zsched killed", Sh("kill -9 $Z"), "state"),
    ]
}

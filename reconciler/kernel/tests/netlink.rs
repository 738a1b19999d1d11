//! rtnetlink on the real kernel, as root, in network namespaces of the tests' own: a thread leaves the machine's
//! namespace before it touches anything. Times are printed (`--nocapture`), never asserted.
#![forbid(unsafe_code)]

use reeve_kernel::netlink::{Drained, Link, LinkEvent, LinkEvents, Rtnl, Veth};
use reeve_kernel::platform::namespaces::in_netns;
use reeve_kernel::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::fs::File;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Runs `body` in a thread with a network namespace of its own. Without root there is nothing to test with.
fn in_new_netns(body: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let run = move || {
        sys::unshare(libc::CLONE_NEWNET as u64).expect("a network namespace");
        body();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// A fresh network namespace, held by its descriptor alone.
fn new_netns() -> OwnedFd {
    let make = || {
        sys::unshare(libc::CLONE_NEWNET as u64).expect("a network namespace");
        File::open("/proc/thread-self/ns/net").expect("its descriptor")
    };
    std::thread::spawn(make).join().expect("the thread").into()
}

fn veth<'a>(host_name: &'a str, netns: &'a OwnedFd, master: Option<u32>) -> Veth<'a> {
    Veth {
        host_name,
        alias: "reeve:abcd:web",
        master,
        peer_name: "net0",
        peer_netns: netns.as_fd(),
        peer_mac: Some([2, 0, 0, 0, 0, 7]),
        without_ipv6: true,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn disable_ipv6() {
    for which in ["all", "default"] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
    }
}

fn named(links: &[Link], name: &str) -> Link {
    links.iter().find(|link| link.name == name).unwrap_or_else(|| panic!("{name} in {links:?}")).clone()
}

#[test]
fn a_veth_is_born_in_its_namespace() {
    in_new_netns(|| {
        let zone = new_netns();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        let host = here.create_veth(&veth("rvabcd-1.0", &zone, Some(bridge))).unwrap();

        let links = here.links().unwrap();
        let (end, br) = (named(&links, "rvabcd-1.0"), named(&links, "rvbr"));
        assert_eq!((end.ifindex, end.kind.as_deref(), end.master), (host, Some("veth"), Some(bridge)));
        assert_eq!((end.alias.as_deref(), end.up, end.carrier), (Some("reeve:abcd:web"), true, false));
        assert!(end.link_netnsid.is_some(), "{end:?}");
        assert_eq!((br.alias.as_deref(), br.kind.as_deref(), br.up), (Some("reeve:abcd:bridge"), Some("bridge"), true));
        assert_eq!(here.link_by_name("rvabcd-1.0").unwrap().unwrap(), end);
        assert_eq!(here.link_by_index(host).unwrap().unwrap(), end);
        assert_eq!(here.link_by_name("nobody").unwrap(), None);

        let mut there = Rtnl::open_in(zone.as_fd()).unwrap();
        let peer = there.link_by_name("net0").unwrap().expect("the peer");
        assert_eq!((peer.mac, peer.up), (Some([2, 0, 0, 0, 0, 7]), false));
        assert_eq!(here.link_by_name("net0").unwrap(), None, "the peer was never here");

        let again = here.create_veth(&veth("rvabcd-1.0", &zone, None)).unwrap_err();
        assert_eq!(again.errno(), Some(Errno::EXIST), "{again}");
        let refused = here.create_veth(&veth("name-of-16-bytes", &zone, None)).unwrap_err();
        assert!(refused.to_string().contains("1 to 15 bytes"), "{refused}");
    });
}

#[test]
fn addresses_and_routes_come_and_go() {
    in_new_netns(|| {
        let zone = new_netns();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        here.add_address(bridge, ip("10.9.0.1"), 24).unwrap();
        here.create_veth(&veth("rvabcd-1.0", &zone, Some(bridge))).unwrap();

        let mut there = Rtnl::open_in(zone.as_fd()).unwrap();
        there.lo_up().unwrap();
        let net0 = there.link_by_name("net0").unwrap().expect("the peer").ifindex;
        there.add_address(net0, ip("10.9.0.2"), 24).unwrap();
        there.add_address(net0, ip("fd00:9::2"), 64).unwrap();
        there.set_up(net0).unwrap();
        there.add_default_route(ip("10.9.0.1"), net0).unwrap();
        there.add_default_route(ip("fd00:9::1"), net0).unwrap();

        let addresses = there.addresses(net0).unwrap();
        assert!(addresses.iter().any(|a| a.ip == ip("10.9.0.2") && a.prefix == 24), "{addresses:?}");
        assert!(addresses.iter().any(|a| a.ip == ip("fd00:9::2") && !a.tentative), "{addresses:?}");
        let routes = there.routes(net0).unwrap();
        for gateway in ["10.9.0.1", "fd00:9::1"] {
            assert!(routes.iter().any(|r| r.prefix == 0 && r.gateway == Some(ip(gateway))), "{routes:?}");
        }
        let twice = there.add_address(net0, ip("10.9.0.2"), 24).unwrap_err();
        assert_eq!(twice.errno(), Some(Errno::EXIST), "{twice}");
        let far = there.add_default_route(ip("192.0.2.1"), net0).unwrap_err();
        assert!(matches!(far.errno(), Some(Errno::NETUNREACH | Errno::EXIST)), "{far}");
        eprintln!("in the kernel's words: {far}");
        assert!(there.add_address(net0, ip("10.9.0.3"), 33).is_err());

        // A word through it: both ends of the pair and the bridge forward at once.
        let listener = in_netns(zone.as_fd(), || std::net::TcpListener::bind("10.9.0.2:7")).unwrap().unwrap();
        std::net::TcpStream::connect_timeout(&"10.9.0.2:7".parse().unwrap(), Duration::from_secs(2)).unwrap();
        drop(listener);

        there.flush_routes(net0).unwrap();
        assert_eq!(there.routes(net0).unwrap(), []);
        there.flush_addresses(net0).unwrap();
        assert_eq!(there.addresses(net0).unwrap(), []);
        there.set_down(net0).unwrap();
        assert!(!there.link_by_index(net0).unwrap().unwrap().up);
    });
}

#[test]
fn the_end_here_and_the_bridge_get_no_ipv6_address() {
    in_new_netns(|| {
        let zones: Vec<_> = (0..4).map(|_| quiet_netns()).collect();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        let mut ends = Vec::new();
        for (i, zone) in zones.iter().enumerate() {
            let name = format!("rvabcd-{i}.0");
            // The last one keeps its IPv6, to show that the others would have got it too.
            let veth = Veth { without_ipv6: i != 3, ..veth(&name, zone, Some(bridge)) };
            ends.push(here.create_veth(&veth).unwrap());
            let mut there = Rtnl::open_in(zone.as_fd()).unwrap();
            let net0 = there.link_by_name("net0").unwrap().expect("the peer").ifindex;
            there.set_up(net0).unwrap();
        }
        let control = ends.pop().unwrap();
        wait("an IPv6 address where it is on", || !here.addresses(control).unwrap().is_empty());
        for ifindex in ends.into_iter().chain([bridge]) {
            assert!(here.link_by_index(ifindex).unwrap().unwrap().carrier, "{ifindex}");
            assert_eq!(here.addresses(ifindex).unwrap(), [], "{ifindex}");
        }
    });
}

#[test]
fn the_bridge_keeps_its_hardware_address() {
    in_new_netns(|| {
        let zones: Vec<_> = (0..4).map(|_| new_netns()).collect();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        let mac = here.link_by_index(bridge).unwrap().unwrap().mac;
        for (i, zone) in zones.iter().enumerate() {
            here.create_veth(&veth(&format!("rvabcd-{i}.0"), zone, Some(bridge))).unwrap();
        }
        assert_eq!(here.link_by_index(bridge).unwrap().unwrap().mac, mac);
    });
}

#[test]
fn many_links_in_one_dump_and_one_deletion() {
    in_new_netns(|| {
        let zone = new_netns();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        let mut made = Vec::new();
        for i in 0..200 {
            let (host, peer) = (format!("rvabcd-{i}.0"), format!("net{i}"));
            let veth = Veth { peer_name: &peer, peer_mac: None, ..veth(&host, &zone, Some(bridge)) };
            made.push(here.create_veth(&veth).unwrap());
        }
        let links = here.links().unwrap();
        assert_eq!(links.len(), 202, "lo, the bridge and 200 ends");
        let dump = median(20, || drop(here.links().unwrap()));
        eprintln!("links(): {dump:?} for 202 links");
        let began = Instant::now();
        made.push(999_999); // one that is gone already
        here.delete_all(&made).unwrap();
        eprintln!("delete_all: {:?} for 200 pairs", began.elapsed());
        assert_eq!(here.links().unwrap().len(), 2);
        here.delete_all(&made).unwrap();
    });
}

#[test]
fn a_veth_goes_with_its_namespace_and_is_seen_going() {
    in_new_netns(|| {
        let mut events = LinkEvents::open().unwrap();
        assert_eq!(events.drain().unwrap(), Drained::default());
        let zone = new_netns();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        here.add_address(bridge, ip("10.9.0.1"), 24).unwrap();
        let host = here.create_veth(&veth("rvabcd-1.0", &zone, Some(bridge))).unwrap();
        let seen = events.drain().unwrap();
        assert!(!seen.overrun);
        let alias = |e: &LinkEvent| matches!(e, LinkEvent::Changed(l) if l.alias.as_deref() == Some("reeve:abcd:web"));
        assert!(seen.events.iter().any(alias), "{seen:?}");
        let address = |e: &LinkEvent| matches!(e, LinkEvent::AddressAdded(a) if a.ip == ip("10.9.0.1"));
        assert!(seen.events.iter().any(address), "{seen:?}");

        // Leaving the bridge is no end of the link, though the kernel sends an RTM_DELLINK (of AF_BRIDGE) for it.
        here.set_master(host, 0).unwrap();
        let seen = events.drain().unwrap();
        assert!(seen.events.iter().all(|e| matches!(e, LinkEvent::Changed(_))), "{seen:?}");

        let began = Instant::now();
        drop(zone);
        let gone = |e: &LinkEvent| matches!(e, LinkEvent::Gone(l) if l.ifindex == host && l.name == "rvabcd-1.0");
        let mut all = Vec::new();
        wait("the end of the link", || {
            all.extend(events.drain().unwrap().events);
            all.iter().any(gone)
        });
        eprintln!("gone {:?} after its namespace", began.elapsed());
        assert_eq!(here.link_by_index(host).unwrap(), None);
    });
}

#[test]
fn events_that_were_lost_are_said() {
    in_new_netns(|| {
        let mut events = LinkEvents::open().unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&events, 2048).unwrap();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "x").unwrap();
        for _ in 0..50 {
            here.set_down(bridge).unwrap();
            here.set_up(bridge).unwrap();
        }
        assert!(events.drain().unwrap().overrun);
        assert!(!events.drain().unwrap().overrun);
    });
}

#[test]
fn an_answer_given_up_does_not_disturb_the_next() {
    in_new_netns(|| {
        let mut here = Rtnl::open().unwrap();
        for _ in 0..3 {
            assert_eq!(here.delete(4242).unwrap_err().errno(), Some(Errno::NODEV));
            assert_eq!(here.links().unwrap().len(), 1);
        }
        assert_eq!(here.delete_group(77).unwrap_err().errno(), Some(Errno::NODEV));
        assert_eq!(here.delete_group(0).unwrap_err().errno(), Some(Errno::PERM));
    });
}

#[test]
fn times() {
    in_new_netns(|| {
        const N: usize = 60;
        let zones: Vec<_> = (0..3 * N).map(|_| quiet_netns()).collect();
        let mut here = Rtnl::open().unwrap();
        let bridge = here.create_bridge("rvbr", "reeve:abcd:bridge").unwrap();
        for (word, idle) in [("back to back", 0), ("after 20 ms idle", 20)] {
            let mut times: [Vec<Duration>; 3] = Default::default();
            for i in 0..N / 2 {
                for (k, times) in times.iter_mut().enumerate() {
                    std::thread::sleep(Duration::from_millis(idle));
                    let name = format!("rv{idle}-{i}.{k}");
                    let zone = &zones[3 * (i + if idle == 0 { 0 } else { N / 2 }) + k];
                    let mut veth = veth(&name, zone, Some(bridge));
                    veth.without_ipv6 = k == 1;
                    let began = Instant::now();
                    here.create_veth(&veth).unwrap();
                    if k == 2 {
                        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
                    }
                    times.push(began.elapsed());
                }
            }
            for (what, mut times) in ["IPv6 left on", "addrgenmode none", "disable_ipv6 by /proc"].iter().zip(times) {
                times.sort();
                eprintln!("create_veth {word}, {what}: med {:?} min {:?}", times[times.len() / 2], times[0]);
            }
        }
        inside(&zones[0]);
        end_here_down(&mut here, &zones[3..43]);
    });
}

/// What a zone's side costs: a socket in its namespace, `lo`, address, up, default route.
fn inside(zone: &OwnedFd) {
    let open = median(20, || drop(Rtnl::open_in(zone.as_fd()).unwrap()));
    let mut there = Rtnl::open_in(zone.as_fd()).unwrap();
    let mut time = |what: &str, f: &mut dyn FnMut(&mut Rtnl)| {
        let began = Instant::now();
        f(&mut there);
        eprintln!("inside: {what} {:?}", began.elapsed());
    };
    eprintln!("inside: open_in {open:?}");
    let mut net0 = 0;
    time("lo_up", &mut |r| r.lo_up().unwrap());
    time("link_by_name", &mut |r| net0 = r.link_by_name("net0").unwrap().unwrap().ifindex);
    time("add_address", &mut |r| r.add_address(net0, ip("10.9.0.2"), 24).unwrap());
    time("set_up", &mut |r| r.set_up(net0).unwrap());
    time("add_default_route", &mut |r| r.add_default_route(ip("10.9.0.1"), net0).unwrap());
    time("flush_routes", &mut |r| r.flush_routes(net0).unwrap());
    time("flush_addresses", &mut |r| r.flush_addresses(net0).unwrap());
    time("set_down", &mut |r| r.set_down(net0).unwrap());
    time("set_up", &mut |r| r.set_up(net0).unwrap());
}

/// What the halt of a zone pays first: its end here down, while traffic could pass.
fn end_here_down(here: &mut Rtnl, zones: &[OwnedFd]) {
    for zone in zones {
        let mut there = Rtnl::open_in(zone.as_fd()).unwrap();
        let net0 = there.link_by_name("net0").unwrap().unwrap().ifindex;
        there.set_up(net0).unwrap();
    }
    let connected = |l: &Link| l.kind.as_deref() == Some("veth") && l.carrier;
    wait("carriers", || here.links().unwrap().into_iter().filter(connected).count() >= zones.len());
    let mut ends = here.links().unwrap().into_iter().filter(connected).map(|l| l.ifindex);
    let down = median(zones.len() / 2, || here.set_down(ends.next().unwrap()).unwrap());
    eprintln!("end here with carrier: set_down {down:?}");
    let down = median(zones.len() / 2 - 1, || {
        std::thread::sleep(Duration::from_millis(20));
        here.set_down(ends.next().unwrap()).unwrap();
    });
    eprintln!("end here with carrier: 20 ms idle and set_down {down:?}");
}

fn quiet_netns() -> OwnedFd {
    let netns = new_netns();
    in_netns(netns.as_fd(), disable_ipv6).unwrap();
    netns
}

fn median(n: usize, mut f: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..n)
        .map(|_| {
            let began = Instant::now();
            f();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[n / 2]
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(5), "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

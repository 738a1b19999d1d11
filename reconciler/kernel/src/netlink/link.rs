//! Links: veth pairs born across two namespaces, Reeve's bridge, up and down, deletion, and reading them all.

use super::Rtnl;
use super::message::{Attributes, Message, Requests, ifinfomsg, n, text, u32_at};
use crate::error::{Error, Result};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// Longest name of a link, in bytes (`IFNAMSIZ` less its NUL).
pub const HOST_NAME_MAX: usize = 15;

/// Longest alias of a link, in bytes (`IFALIASZ` less its NUL).
const ALIAS_MAX: usize = 255;

/// The group that links are put into to be deleted together; "Reev" as a number, so that nobody else has it.
const DYING: u32 = u32::from_be_bytes(*b"Reev");

/// A network link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Number of the link in its namespace, from 1.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its alias (`IFLA_IFALIAS`), by which Reeve knows its own.
    pub alias: Option<String>,
    /// Its kind, such as `veth` or `bridge`; none for hardware and `lo`.
    pub kind: Option<String>,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// The other side is there and up as well (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// The namespace of a veth's other end, as a number of this namespace; none when both ends are here.
    pub link_netnsid: Option<i32>,
    /// Its hardware address; none when it has none of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Largest packet in bytes.
    pub mtu: u32,
}

/// A veth pair to be made: one end here, the peer born in the zone.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// Name of the end here, 1 to 15 bytes.
    pub host_name: &'a str,
    /// Alias of the end here, up to 255 bytes.
    pub alias: &'a str,
    /// The bridge that the end here becomes a port of.
    pub master: Option<u32>,
    /// Name of the peer, 1 to 15 bytes.
    pub peer_name: &'a str,
    /// Network namespace in which the peer is born.
    pub peer_netns: BorrowedFd<'a>,
    /// Hardware address of the peer; the kernel chooses one at random without.
    pub peer_mac: Option<[u8; 6]>,
    /// Take IPv6 off the end here before anything can pass through it.
    pub without_ipv6: bool,
}

impl Rtnl {
    /// Makes a veth pair, end here up and in its bridge, peer (down) in its namespace, and says the ifindex of the
    /// end here.
    ///
    /// The pair comes from ONE message, `IFF_UP` included. That is safe without IPv6 as well: while the peer is down
    /// the end here has no carrier, so the kernel has formed no address when the second message switches
    /// the forming off. The second message also sets the alias, which the kernel ignores in the first: a link that
    /// was left between the two is known by its name alone.
    ///
    /// # Errors
    /// `EEXIST`: a link of that name is there. Nothing is left over when this fails.
    pub fn create_veth(&mut self, veth: &Veth<'_>) -> Result<u32> {
        check_name(veth.host_name)?;
        check_name(veth.peer_name)?;
        check_alias(veth.alias)?;
        let args = || format!("veth {} alias {}, peer {}", veth.host_name, veth.alias, veth.peer_name);
        self.begin();
        self.request(
            n::RTM_NEWLINK,
            n::NLM_F_CREATE | n::NLM_F_EXCL | n::NLM_F_ECHO,
            &ifinfomsg(n::AF_UNSPEC, 0, n::IFF_UP, n::IFF_UP),
            |out| write_veth(out, veth),
        );
        let mut ifindex = None;
        self.send("RTM_NEWLINK", args, |message| ifindex = echoed(message, veth.host_name).or(ifindex))?;
        let ifindex = self.index_of(veth.host_name, ifindex)?;
        if let Err(error) = self.mark(ifindex, veth.alias, veth.without_ipv6, |_| {}) {
            // The pair must not stay half made; what deleting it says matters less than why.
            let _ = self.delete(ifindex);
            return Err(error);
        }
        Ok(ifindex)
    }

    /// Makes a bridge of Reeve: no spanning tree, no delay before a port forwards, no IPv6 address formed on it, a
    /// hardware address that stays when ports come and go, and up. Says its ifindex.
    ///
    /// # Errors
    /// `EEXIST`: a link of that name is there.
    pub fn create_bridge(&mut self, name: &str, alias: &str) -> Result<u32> {
        check_name(name)?;
        check_alias(alias)?;
        self.begin();
        self.request(n::RTM_NEWLINK, n::NLM_F_CREATE | n::NLM_F_EXCL, &ifinfomsg(n::AF_UNSPEC, 0, 0, 0), |out| {
            out.attr_str(n::IFLA_IFNAME, name);
            let info = out.nest(n::IFLA_LINKINFO);
            out.attr_str(n::IFLA_INFO_KIND, "bridge");
            let data = out.nest(n::IFLA_INFO_DATA);
            out.attr_u32(n::IFLA_BR_FORWARD_DELAY, 0);
            out.attr_u32(n::IFLA_BR_STP_STATE, 0);
            out.attr(n::IFLA_BR_MCAST_SNOOPING, &[0]);
            out.end(data);
            out.end(info);
        });
        self.send("RTM_NEWLINK", || format!("bridge {name} alias {alias}"), |_| {})?;
        let link = self.link_by_name(name)?;
        let link = link.ok_or_else(|| Error::os("RTM_GETLINK", name, Errno::NODEV))?;
        let up = |out: &mut Requests| {
            // Set by hand it stays; otherwise the bridge takes the lowest address among its ports of the moment.
            if let Some(mac) = link.mac {
                out.attr(n::IFLA_ADDRESS, &mac);
            }
        };
        let finished = self.mark(link.ifindex, alias, true, up).and_then(|()| self.set_up(link.ifindex));
        if let Err(error) = finished {
            let _ = self.delete(link.ifindex);
            return Err(error);
        }
        Ok(link.ifindex)
    }

    /// Gives a link its alias and, if asked, forms no IPv6 address on it from now on (`INET6_ADDR_GEN_MODE` none). A
    /// kernel without IPv6 has nothing to switch off.
    fn mark(&mut self, ifindex: u32, alias: &str, no_ipv6: bool, more: impl Fn(&mut Requests)) -> Result<()> {
        let mut ask = |no_ipv6: bool| {
            self.begin();
            self.request(n::RTM_SETLINK, 0, &ifinfomsg(n::AF_UNSPEC, ifindex, 0, 0), |out| {
                out.attr_str(n::IFLA_IFALIAS, alias);
                more(out);
                if no_ipv6 {
                    let families = out.nest(n::IFLA_AF_SPEC);
                    let inet6 = out.nest(u16::from(n::AF_INET6));
                    out.attr(n::IFLA_INET6_ADDR_GEN_MODE, &[n::IN6_ADDR_GEN_MODE_NONE]);
                    out.end(inet6);
                    out.end(families);
                }
            });
            self.send("RTM_SETLINK", || format!("ifindex {ifindex} alias {alias}"), |_| {})
        };
        match ask(no_ipv6) {
            Err(error) if no_ipv6 && matches!(error.errno(), Some(Errno::AFNOSUPPORT | Errno::OPNOTSUPP)) => ask(false),
            result => result,
        }
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// `ENODEV`: no such link.
    pub fn set_up(&mut self, ifindex: u32) -> Result<()> {
        self.set_flags(ifindex, n::IFF_UP)
    }

    /// Sets a link down; its routes go with that.
    ///
    /// # Errors
    /// `ENODEV`: no such link.
    pub fn set_down(&mut self, ifindex: u32) -> Result<()> {
        self.set_flags(ifindex, 0)
    }

    /// Sets `lo` up: the first link of every network namespace.
    ///
    /// # Errors
    /// As [`Rtnl::set_up`].
    pub fn lo_up(&mut self) -> Result<()> {
        self.set_up(1)
    }

    /// Makes a link a port of a bridge, or with 0 of none.
    ///
    /// # Errors
    /// `ENODEV`: no such link or bridge.
    pub fn set_master(&mut self, ifindex: u32, master: u32) -> Result<()> {
        self.begin();
        self.request(n::RTM_SETLINK, 0, &ifinfomsg(n::AF_UNSPEC, ifindex, 0, 0), |out| {
            out.attr_u32(n::IFLA_MASTER, master);
        });
        self.send("RTM_SETLINK", || format!("ifindex {ifindex} master {master}"), |_| {})
    }

    /// Deletes a link at once. For a veth this waits 15 ms for a grace period: prefer the death of its
    /// namespace, or [`Rtnl::delete_all`] for several.
    ///
    /// # Errors
    /// `ENODEV`: no such link.
    pub fn delete(&mut self, ifindex: u32) -> Result<()> {
        self.begin();
        self.request(n::RTM_DELLINK, 0, &ifinfomsg(n::AF_UNSPEC, ifindex, 0, 0), |_| {});
        self.send("RTM_DELLINK", || format!("ifindex {ifindex}"), |_| {})
    }

    /// Deletes every link of a group in one message.
    ///
    /// # Errors
    /// `ENODEV`: the group has no link. `EPERM`: group 0, which is that of all links.
    pub fn delete_group(&mut self, group: u32) -> Result<()> {
        self.begin();
        self.request(n::RTM_DELLINK, 0, &ifinfomsg(n::AF_UNSPEC, 0, 0, 0), |out| out.attr_u32(n::IFLA_GROUP, group));
        self.send("RTM_DELLINK", || format!("group {group:#x}"), |_| {})
    }

    /// Deletes links together: puts them into a group of their own and deletes that (0.6 ms each, not 15). Those that
    /// are gone already are passed over.
    ///
    /// # Errors
    /// What the kernel refuses, other than `ENODEV`.
    pub fn delete_all(&mut self, links: &[u32]) -> Result<()> {
        let gone = |result: Result<()>| match result {
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(()),
            result => result,
        };
        for &ifindex in links {
            self.begin();
            self.request(n::RTM_SETLINK, 0, &ifinfomsg(n::AF_UNSPEC, ifindex, 0, 0), |out| {
                out.attr_u32(n::IFLA_GROUP, DYING);
            });
            gone(self.send("RTM_SETLINK", || format!("ifindex {ifindex}, group {DYING:#x}"), |_| {}))?;
        }
        if links.is_empty() { Ok(()) } else { gone(self.delete_group(DYING)) }
    }

    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// What the kernel refuses, other than `ENODEV`.
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>> {
        check_name(name)?;
        let fill = |out: &mut Requests| out.attr_str(n::IFLA_IFNAME, name);
        self.one_link(0, fill, || name.to_owned())
    }

    /// The link of that number, if there is one.
    ///
    /// # Errors
    /// What the kernel refuses, other than `ENODEV`.
    pub fn link_by_index(&mut self, ifindex: u32) -> Result<Option<Link>> {
        self.one_link(ifindex, |_| {}, || format!("ifindex {ifindex}"))
    }

    /// All links of the namespace, in one dump.
    ///
    /// # Errors
    /// What the kernel refuses; a dump that links changed under 16 times.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let body = ifinfomsg(n::AF_UNSPEC, 0, 0, 0);
        let fill = |out: &mut Requests| out.attr_u32(n::IFLA_EXT_MASK, n::RTEXT_FILTER_SKIP_STATS);
        self.dump("RTM_GETLINK", (n::RTM_GETLINK, &body), fill, |links: &mut Vec<Link>, message| {
            links.extend(read_link(message));
        })
    }

    /// All links of another namespace, by its number in this one; without going there.
    ///
    /// # Errors
    /// As [`Rtnl::links`]; `EINVAL`: no namespace has that number.
    pub fn links_in(&mut self, namespace: i32) -> Result<Vec<Link>> {
        let body = ifinfomsg(n::AF_UNSPEC, 0, 0, 0);
        let fill = |out: &mut Requests| {
            out.attr_u32(n::IFLA_EXT_MASK, n::RTEXT_FILTER_SKIP_STATS);
            out.attr_u32(n::IFLA_TARGET_NETNSID, namespace.cast_unsigned());
        };
        self.dump("RTM_GETLINK", (n::RTM_GETLINK, &body), fill, |links: &mut Vec<Link>, message| {
            links.extend(read_link(message));
        })
    }

    /// Gives a link another hardware address.
    ///
    /// # Errors
    /// `ENODEV`: no such link; what the kernel refuses.
    pub fn set_mac(&mut self, ifindex: u32, mac: [u8; 6]) -> Result<()> {
        self.change(ifindex, |out| out.attr(n::IFLA_ADDRESS, &mac))
    }

    /// Sets the largest packet of a link, in bytes.
    ///
    /// # Errors
    /// `ENODEV`: no such link; `EINVAL`: more or less than the link can.
    pub fn set_mtu(&mut self, ifindex: u32, mtu: u32) -> Result<()> {
        self.change(ifindex, |out| out.attr_u32(n::IFLA_MTU, mtu))
    }

    fn change(&mut self, ifindex: u32, fill: impl FnOnce(&mut Requests)) -> Result<()> {
        self.begin();
        self.request(n::RTM_SETLINK, 0, &ifinfomsg(n::AF_UNSPEC, ifindex, 0, 0), fill);
        self.send("RTM_SETLINK", || format!("ifindex {ifindex}"), |_| {})
    }

    fn one_link(
        &mut self,
        ifindex: u32,
        fill: impl FnOnce(&mut Requests),
        args: impl Fn() -> String,
    ) -> Result<Option<Link>> {
        let body = ifinfomsg(n::AF_UNSPEC, ifindex, 0, 0);
        let fill = |out: &mut Requests| {
            out.attr_u32(n::IFLA_EXT_MASK, n::RTEXT_FILTER_SKIP_STATS);
            fill(out);
        };
        let mut link = None;
        match self.ask("RTM_GETLINK", (n::RTM_GETLINK, &body), fill, args, |message| link = read_link(message)) {
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(None),
            result => result.map(|()| link),
        }
    }

    fn set_flags(&mut self, ifindex: u32, flags: u32) -> Result<()> {
        self.begin();
        self.request(n::RTM_SETLINK, 0, &ifinfomsg(n::AF_UNSPEC, ifindex, flags, n::IFF_UP), |_| {});
        let word = if flags & n::IFF_UP == 0 { "down" } else { "up" };
        self.send("RTM_SETLINK", || format!("ifindex {ifindex} {word}"), |_| {})
    }

    /// The number of a link just made: from the echo of its making, which kernels before 6.2 do not send, or asked.
    fn index_of(&mut self, name: &str, echoed: Option<u32>) -> Result<u32> {
        match echoed {
            Some(ifindex) => Ok(ifindex),
            None => match self.link_by_name(name)? {
                Some(link) => Ok(link.ifindex),
                None => Err(Error::os("RTM_GETLINK", name, Errno::NODEV)),
            },
        }
    }
}

fn write_veth(out: &mut Requests, veth: &Veth<'_>) {
    out.attr_str(n::IFLA_IFNAME, veth.host_name);
    if let Some(master) = veth.master {
        out.attr_u32(n::IFLA_MASTER, master);
    }
    let info = out.nest(n::IFLA_LINKINFO);
    out.attr_str(n::IFLA_INFO_KIND, "veth");
    let data = out.nest(n::IFLA_INFO_DATA);
    let peer = out.nest(n::VETH_INFO_PEER);
    out.raw(&ifinfomsg(n::AF_UNSPEC, 0, 0, 0));
    out.attr_str(n::IFLA_IFNAME, veth.peer_name);
    out.attr(n::IFLA_NET_NS_FD, &veth.peer_netns.as_raw_fd().to_ne_bytes());
    if let Some(mac) = veth.peer_mac {
        out.attr(n::IFLA_ADDRESS, &mac);
    }
    out.end(peer);
    out.end(data);
    out.end(info);
}

fn echoed(message: &Message<'_>, name: &str) -> Option<u32> {
    read_link(message).filter(|link| link.name == name).map(|link| link.ifindex)
}

/// The link in an `RTM_NEWLINK` or `RTM_DELLINK`; none in any other message, and none in those of family AF_BRIDGE:
/// there `RTM_DELLINK` says that a port left its bridge, not that the link is gone.
pub(super) fn read_link(message: &Message<'_>) -> Option<Link> {
    if !matches!(message.kind, n::RTM_NEWLINK | n::RTM_DELLINK) || message.payload.first() != Some(&n::AF_UNSPEC) {
        return None;
    }
    let flags = u32_at(message.payload, 8)?;
    let mut link = Link {
        ifindex: u32_at(message.payload, 4)?,
        up: flags & n::IFF_UP != 0,
        carrier: flags & n::IFF_LOWER_UP != 0,
        ..Link::default()
    };
    for (kind, payload) in Attributes::behind(message.payload, 16) {
        match kind {
            n::IFLA_IFNAME => link.name = text(payload),
            n::IFLA_IFALIAS => link.alias = Some(text(payload)),
            n::IFLA_ADDRESS => link.mac = payload.try_into().ok(),
            n::IFLA_MTU => link.mtu = u32_at(payload, 0).unwrap_or(0),
            n::IFLA_MASTER => link.master = u32_at(payload, 0).filter(|&index| index != 0),
            n::IFLA_LINK_NETNSID => link.link_netnsid = u32_at(payload, 0).map(u32::cast_signed),
            n::IFLA_LINKINFO => {
                let mut info = Attributes(payload);
                link.kind = info.find(|(kind, _)| *kind == n::IFLA_INFO_KIND).map(|(_, kind)| text(kind));
            }
            _ => {}
        }
    }
    Some(link)
}

fn check_name(name: &str) -> Result<()> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > HOST_NAME_MAX || name == "." || name == ".." || name.contains(bad) {
        return Err(Error::new("link name", name, "1 to 15 bytes without '/', ':' and spaces are a link's name"));
    }
    Ok(())
}

fn check_alias(alias: &str) -> Result<()> {
    if alias.len() > ALIAS_MAX || alias.contains('\0') {
        return Err(Error::new("link alias", alias, "an alias has at most 255 bytes and no NUL"));
    }
    Ok(())
}

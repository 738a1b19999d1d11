//! Netlink messages as bytes: writing requests with nested attributes, reading replies. Pure; every length that comes
//! from the kernel is checked before it is used. Layouts follow netlink(7) and rtnetlink(7).

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// Netlink and rtnetlink numbers that are used here, named as in the kernel's headers.
#[allow(missing_docs, reason = "the names are those of linux/netlink.h and linux/rtnetlink.h")]
pub(crate) mod n {
    pub const NLMSG_ERROR: u16 = 2;
    pub const NLMSG_DONE: u16 = 3;
    pub const NLMSG_OVERRUN: u16 = 4;

    pub const NLM_F_REQUEST: u16 = 0x1;
    pub const NLM_F_ACK: u16 = 0x4;
    pub const NLM_F_ECHO: u16 = 0x8;
    pub const NLM_F_DUMP_INTR: u16 = 0x10;
    pub const NLM_F_CAPPED: u16 = 0x100;
    pub const NLM_F_ACK_TLVS: u16 = 0x200;
    pub const NLM_F_DUMP: u16 = 0x300;
    pub const NLM_F_EXCL: u16 = 0x200;
    pub const NLM_F_CREATE: u16 = 0x400;

    pub const RTM_NEWLINK: u16 = 16;
    pub const RTM_DELLINK: u16 = 17;
    pub const RTM_GETLINK: u16 = 18;
    pub const RTM_SETLINK: u16 = 19;
    pub const RTM_NEWADDR: u16 = 20;
    pub const RTM_DELADDR: u16 = 21;
    pub const RTM_GETADDR: u16 = 22;
    pub const RTM_NEWROUTE: u16 = 24;
    pub const RTM_DELROUTE: u16 = 25;
    pub const RTM_GETROUTE: u16 = 26;

    pub const NLMSGERR_ATTR_MSG: u16 = 1;

    pub const IFLA_ADDRESS: u16 = 1;
    pub const IFLA_IFNAME: u16 = 3;
    pub const IFLA_MTU: u16 = 4;
    pub const IFLA_MASTER: u16 = 10;
    pub const IFLA_LINKINFO: u16 = 18;
    pub const IFLA_IFALIAS: u16 = 20;
    pub const IFLA_AF_SPEC: u16 = 26;
    pub const IFLA_GROUP: u16 = 27;
    pub const IFLA_NET_NS_FD: u16 = 28;
    pub const IFLA_EXT_MASK: u16 = 29;
    pub const IFLA_LINK_NETNSID: u16 = 37;
    pub const IFLA_TARGET_NETNSID: u16 = 46;
    pub const IFLA_INFO_KIND: u16 = 1;
    pub const IFLA_INFO_DATA: u16 = 2;
    pub const VETH_INFO_PEER: u16 = 1;
    pub const IFLA_BR_FORWARD_DELAY: u16 = 1;
    pub const IFLA_BR_STP_STATE: u16 = 5;
    pub const IFLA_BR_MCAST_SNOOPING: u16 = 23;
    pub const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
    pub const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
    pub const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

    pub const IFF_UP: u32 = 1;
    pub const IFF_LOWER_UP: u32 = 1 << 16;

    pub const IFA_ADDRESS: u16 = 1;
    pub const IFA_LOCAL: u16 = 2;
    pub const IFA_BROADCAST: u16 = 4;
    pub const IFA_FLAGS: u16 = 8;
    pub const IFA_F_NODAD: u32 = 0x02;
    pub const IFA_F_TENTATIVE: u32 = 0x40;

    pub const IFA_TARGET_NETNSID: u16 = 10;

    pub const RTA_DST: u16 = 1;
    pub const RTA_OIF: u16 = 4;
    pub const RTA_GATEWAY: u16 = 5;
    pub const RTA_PRIORITY: u16 = 6;
    pub const RTA_TABLE: u16 = 15;
    pub const RT_TABLE_MAIN: u8 = 254;
    pub const RTPROT_STATIC: u8 = 4;
    pub const RT_SCOPE_UNIVERSE: u8 = 0;
    pub const RTN_UNICAST: u8 = 1;
    pub const RTM_F_CLONED: u32 = 0x200;

    pub const AF_UNSPEC: u8 = 0;
    pub const AF_INET: u8 = 2;
    pub const AF_INET6: u8 = 10;
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// One datagram of requests being written. The buffer is kept between uses.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    start: usize,
    too_long: bool,
}

/// Where a nested attribute began; give it back to [`Requests::end`].
#[must_use]
pub(crate) struct Nest(usize);

impl Requests {
    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.too_long = false;
    }

    /// The datagram, or nothing when an attribute was longer than netlink's 16-bit length can say.
    pub fn bytes(&self) -> Option<&[u8]> {
        (!self.too_long).then_some(&self.bytes)
    }

    /// Begins a message; `body` is the fixed structure behind the header (`ifinfomsg` and the like).
    pub fn begin(&mut self, kind: u16, flags: u16, seq: u32, body: &[u8]) {
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&seq.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(body);
        self.pad();
    }

    /// Ends the message: its length is known now.
    pub fn finish(&mut self) {
        let len = self.bytes.len() - self.start;
        match u32::try_from(len) {
            Ok(len) => self.bytes[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
    }

    /// Adds an attribute.
    pub fn attr(&mut self, kind: u16, payload: &[u8]) {
        match u16::try_from(payload.len() + 4) {
            Ok(len) => self.bytes.extend_from_slice(&len.to_ne_bytes()),
            Err(_) => {
                self.too_long = true;
                return;
            }
        }
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.pad();
    }

    /// Adds a 32-bit attribute in host order.
    pub fn attr_u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    /// Adds a string attribute, NUL-terminated as the kernel's `NLA_NUL_STRING` wants it.
    pub fn attr_str(&mut self, kind: u16, value: &str) {
        let nest = self.nest(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.end(nest);
    }

    /// Begins a nested attribute.
    pub fn nest(&mut self, kind: u16) -> Nest {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&0u16.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        Nest(at)
    }

    /// Adds raw bytes inside a nest (the `ifinfomsg` of a veth's peer).
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// Ends a nested attribute.
    pub fn end(&mut self, nest: Nest) {
        match u16::try_from(self.bytes.len() - nest.0) {
            Ok(len) => self.bytes[nest.0..nest.0 + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.pad();
    }

    fn pad(&mut self) {
        // Messages begin aligned, so aligning the whole buffer aligns what is in it.
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }
}

/// `struct ifinfomsg`, 16 bytes.
pub(crate) fn ifinfomsg(family: u8, ifindex: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut body = [0u8; 16];
    body[0] = family;
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..16].copy_from_slice(&change.to_ne_bytes());
    body
}

/// One message that was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub seq: u32,
    pub payload: &'a [u8],
}

/// The messages of a datagram. A length that does not fit ends the iteration.
pub(crate) struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let len = u32_at(self.0, 0)? as usize;
        if len < HEADER || len > self.0.len() {
            return None;
        }
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            seq: u32_at(self.0, 8)?,
            payload: &self.0[HEADER..len],
        };
        self.0 = self.0.get(aligned(len)..).unwrap_or(&[]);
        Some(message)
    }
}

/// The attributes of a message or of a nested attribute, as (type without flags, payload).
pub(crate) struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes behind a fixed structure of `len` bytes; none when the message is shorter than that.
    pub fn behind(payload: &'a [u8], len: usize) -> Self {
        Self(payload.get(aligned(len)..).unwrap_or(&[]))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16_at(self.0, 0)?);
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are the two upper bits of the type.
        let kind = u16_at(self.0, 2)? & 0x3fff;
        if len < 4 || len > self.0.len() {
            return None;
        }
        let payload = &self.0[4..len];
        self.0 = self.0.get(aligned(len)..).unwrap_or(&[]);
        Some((kind, payload))
    }
}

/// The 16-bit number in host order at `at`, when it is there.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes)
}

/// The 32-bit number in host order at `at`, when it is there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes)
}

/// A string attribute: up to its NUL, what is not UTF-8 replaced.
pub(crate) fn text(payload: &[u8]) -> String {
    let end = payload.iter().position(|&b| b == 0).unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Requests::default();
        out.begin(n::RTM_NEWLINK, n::NLM_F_REQUEST, 7, &ifinfomsg(0, 3, 1, 1));
        out.attr_str(n::IFLA_IFNAME, "rv12-1.0");
        let info = out.nest(n::IFLA_LINKINFO);
        out.attr_str(n::IFLA_INFO_KIND, "veth");
        out.end(info);
        out.finish();
        out.begin(n::RTM_GETLINK, 0, 8, &ifinfomsg(0, 0, 0, 0));
        out.finish();

        let messages: Vec<_> = Messages(out.bytes().unwrap()).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].seq, messages[1].seq), (n::RTM_NEWLINK, 7, 8));
        let attributes: Vec<_> = Attributes::behind(messages[0].payload, 16).collect();
        assert_eq!(text(attributes[0].1), "rv12-1.0");
        let (kind, payload) = Attributes(attributes[1].1).next().unwrap();
        assert_eq!((kind, text(payload).as_str()), (n::IFLA_INFO_KIND, "veth"));
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        for bad in [&[0u8; 3][..], &[255; 64], &[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 0, 0, 0]] {
            assert_eq!(Messages(bad).count(), 0);
            assert!(Attributes(bad).count() <= 1);
        }
    }

    #[test]
    fn an_attribute_too_long_is_refused() {
        let mut out = Requests::default();
        out.begin(n::RTM_NEWLINK, 0, 1, &[]);
        out.attr(1, &vec![0; 70_000]);
        out.finish();
        assert!(out.bytes().is_none());
    }
}

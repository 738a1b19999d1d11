//! Network addresses: an address with the length of its network, and a hardware address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::text::{TextError, text_type};

/// An interface's address and the length of its network, such as `10.77.0.10/24` or `fd77::10/64`. It is an address
/// that a host can have: not unspecified, multicast, loopback or broadcast, nor its network's own first or last (v4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// An address in a network of this length; `None` if a host cannot have it.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if (1..=bits).contains(&prefix) { Self::checked(address, prefix).ok() } else { None }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits name the network: 1 to 32 (v4) or 128 (v6).
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether another address lies in the same network.
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The address and the length if a host can have them, else why not.
    fn checked(address: IpAddr, prefix: u8) -> Result<Self, String> {
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err(format!("{address} is no address that an interface can have"));
        }
        if let IpAddr::V4(v4) = address {
            let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            if prefix <= 30 && v4.to_bits() & host == 0 {
                return Err(format!("{address} is the network itself, not an address in it"));
            }
            if prefix <= 30 && v4.to_bits() & host == host {
                return Err(format!("{address} is the broadcast address of its network"));
            }
        }
        Ok(Self { address, prefix })
    }
}

impl FromStr for Cidr {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "an address with the length of its network, such as `10.77.0.10/24`";
        let Some((address, prefix)) = text.split_once('/') else {
            let help = match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => format!("the length too, such as `{text}/24`"),
                Ok(IpAddr::V6(_)) => format!("the length too, such as `{text}/64`"),
                Err(_) => RULE.to_owned(),
            };
            return Err(TextError::new(format!("`{text}` has no network length"), help));
        };
        let address: IpAddr =
            address.parse().map_err(|_| TextError::new(format!("`{address}` is no IP address"), RULE))?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let plain = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix.parse::<u8>() {
            Ok(length) if plain && (1..=bits).contains(&length) => length,
            _ => {
                return Err(TextError::new(
                    format!("`{prefix}` is no network length"),
                    format!("a length from 1 to {bits}"),
                ));
            }
        };
        Self::checked(address, prefix).map_err(|what| TextError::new(what, RULE))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

text_type!(
    Cidr,
    "Cidr",
    "^[0-9a-fA-F.:]+/[0-9]{1,3}$",
    "An IP address with the length of its network, such as `10.77.0.10/24`."
);

/// The hardware address of one interface (unicast, not all zeros), such as `02:00:5e:10:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The six bytes as they go over the wire.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        const RULE: &str = "six bytes in hexadecimal, such as `02:00:5e:10:00:01`";
        let wrong = || TextError::new(format!("`{text}` is no hardware address"), RULE);
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(wrong)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        if octets[0] & 1 == 1 {
            let help = "a first byte that is even, such as `02`";
            return Err(TextError::new(format!("`{text}` is a group address, not one interface's"), help));
        }
        if octets == [0; 6] {
            return Err(TextError::new("the hardware address is all zeros", RULE));
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

text_type!(
    Mac,
    "Mac",
    "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$",
    "A unicast hardware address, such as `02:00:5e:10:00:01`."
);

//! Whom the status page answers. A browser can be made to ask in the name of somebody else's page, whose own name then leads
//! to this host (DNS rebinding): such a request names that other host, and is refused.

use std::net::{IpAddr, SocketAddr};

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The socket in the run folder, which only root may open.
    Socket,
    /// A connection to this address of the host.
    Address(SocketAddr),
}

impl Door {
    /// Whether a request to this host, as the `Host` header (or the address in the request line) names it, is answered: it is
    /// `localhost`, a loopback address, the address that was connected to, or the host's own name. The port is not looked at,
    /// because a tunnel has another one. A request that names no host is from no browser.
    pub fn answers_to(self, host: Option<&str>, own: &str) -> bool {
        let (Door::Address(address), Some(host)) = (self, host) else { return true };
        let name = without_port(host).trim_end_matches('.');
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) => {
                let (ip, here) = (ip.to_canonical(), address.ip().to_canonical());
                ip.is_loopback() || ip == here
            }
            Err(_) => name.eq_ignore_ascii_case("localhost") || (!own.is_empty() && name.eq_ignore_ascii_case(own)),
        }
    }

    /// Whether only this host's own processes come in here.
    pub fn is_local(self) -> bool {
        match self {
            Door::Socket => true,
            Door::Address(address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') && (host.starts_with('[') || host.find(':') == Some(colon)) => {
            &host[..colon]
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_have_are_answered() {
        let door = |address: &str| Door::Address(address.parse().expect("an address"));
        let answers = |at: &str, host: &str| door(at).answers_to(Some(host), "db1");
        for host in
            ["localhost", "LocalHost:9680", "localhost.", "127.0.0.1:9680", "127.0.0.1", "[::1]:1", "[::1]", "DB1:80"]
        {
            assert!(answers("127.0.0.1:9680", host), "{host}");
            assert!(answers("192.0.2.1:9680", host), "a tunnel: {host}");
        }
        for host in [
            "example.org",
            "example.org:9680",
            "localhost.example.org",
            "db1.example.org",
            "192.0.2.1:9680",
            "",
            "::",
            "[",
            "127.0.0.1.example.org",
        ] {
            assert!(!answers("127.0.0.1:9680", host), "{host}");
        }
        assert!(answers("192.0.2.1:9680", "192.0.2.1:9680") && answers("[::ffff:192.0.2.1]:9680", "192.0.2.1"));
        assert!(answers("[2001:db8::1]:9680", "[2001:db8::1]:9680"));
        assert!(Door::Socket.answers_to(Some("reeve"), "") && door("127.0.0.1:1").answers_to(None, ""));
        assert!(!door("127.0.0.1:1").answers_to(Some(""), ""));
    }
}

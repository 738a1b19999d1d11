//! Decodes `health`.

use std::net::IpAddr;

use super::init;
use crate::manifest::{ExecCheck, Health, HttpCheck, TcpCheck};
use crate::node::Node;
use crate::quantity::TimeSpan;
use crate::reader::{Object, Reader};
use crate::shape::{Shape, may, must};
use crate::source::shown;

pub(super) const HEALTH: Shape = Shape {
    name: "Health",
    what: "`health`",
    fields: &[
        may("exec", "{command: [/usr/bin/true]}"),
        may("tcp", "{port: 5432}"),
        may("http", "{port: 80}"),
        may("every", "10s"),
        may("timeout", "2s"),
        may("failures", "3"),
        may("initialDelay", "5s"),
    ],
    later: &[],
    foreign: &[
        ("httpGet", "`http:`"),
        ("tcpSocket", "`tcp:`"),
        ("interval", "`every:`"),
        ("periodSeconds", "`every:`, such as `10s`"),
        ("timeoutSeconds", "`timeout:`, such as `2s`"),
        ("initialDelaySeconds", "`initialDelay:`, such as `5s`"),
        ("failureThreshold", "`failures:`"),
        ("retries", "`failures:`"),
    ],
};

pub(super) const EXEC: Shape = Shape {
    name: "ExecCheck",
    what: "`exec`",
    fields: &[must("command", "[/usr/bin/true]")],
    later: &[],
    foreign: &[],
};

pub(super) const TCP: Shape = Shape {
    name: "TcpCheck",
    what: "`tcp`",
    fields: &[must("port", "5432"), may("address", "127.0.0.1")],
    later: &[],
    foreign: &[("host", "`address:`")],
};

pub(super) const HTTP: Shape = Shape {
    name: "HttpCheck",
    what: "`http`",
    fields: &[must("port", "80"), may("address", "127.0.0.1"), may("path", "/"), may("status", "200")],
    later: &["headers", "tls"],
    foreign: &[("host", "`address:`"), ("url", "`port:` and `path:`"), ("scheme", "nothing: it is asked without TLS")],
};

/// Decodes `health`.
pub(super) fn health(r: &mut Reader, node: &Node) -> Option<Health> {
    let map = r.object(node, &HEALTH)?;
    let exec = map.optional(r, "exec", |r, node| {
        let map = r.object(node, &EXEC)?;
        let command = map.required(r, "command", |r, node| {
            let command = init::command(r, node)?;
            if command.is_empty() {
                r.problem(node.place, "the list is empty", "a program, such as [/usr/bin/true]");
                return None;
            }
            Some(command)
        })?;
        Some(ExecCheck { command })
    });
    let tcp = map.optional(r, "tcp", |r, node| {
        let map = r.object(node, &TCP)?;
        let (port, address) = (port(r, &map), address(r, &map));
        Some(TcpCheck { port: port?, address: address? })
    });
    let http = map.optional(r, "http", |r, node| {
        let map = r.object(node, &HTTP)?;
        let (port, address) = (port(r, &map), address(r, &map));
        let path = map.optional(r, "path", path);
        let status = map.optional(r, "status", |r, node| small(r, node, 100, 599));
        let path = path?.unwrap_or_else(Health::default_path);
        Some(HttpCheck { port: port?, address: address?, path, status: status? })
    });
    let every = map.optional(r, "every", |r, node| r.parsed(node));
    let timeout = map.optional(r, "timeout", |r, node| {
        let timeout: TimeSpan = r.parsed(node)?;
        // A zone can make each of its checks take this long.
        if !(1..=60_000).contains(&timeout.millis()) {
            let message = format!("a check cannot take {timeout}");
            r.problem(node.place, message, "from `1ms` to `1m`, such as `2s`");
            return None;
        }
        Some(timeout)
    });
    let failures = map.optional(r, "failures", |r, node| small(r, node, 1, 1000).map(u32::from));
    let initial_delay = map.optional(r, "initialDelay", |r, node| r.parsed(node));
    let kinds: Vec<&str> = ["exec", "tcp", "http"].into_iter().filter(|kind| map.key(kind).is_some()).collect();
    if kinds.len() != 1 {
        let message = match kinds.as_slice() {
            [] => "`health` says nothing to check".to_owned(),
            kinds => format!("`health` has {} checks: {}", kinds.len(), kinds.join(", ")),
        };
        r.problem(node.place, message, "one of `exec:`, `tcp:` and `http:`");
        return None;
    }
    Some(Health {
        exec: exec?,
        tcp: tcp?,
        http: http?,
        every: every?.unwrap_or_else(Health::default_every),
        timeout: timeout?.unwrap_or_else(Health::default_timeout),
        failures: failures?.unwrap_or_else(Health::default_failures),
        initial_delay: initial_delay?.unwrap_or_else(Health::default_initial_delay),
    })
}

fn small(r: &mut Reader, node: &Node, least: u16, most: u16) -> Option<u16> {
    u16::try_from(r.integer(node, least.into(), most.into())?).ok()
}

fn port(r: &mut Reader, map: &Object) -> Option<u16> {
    map.required(r, "port", |r, node| small(r, node, 1, 65535))
}

fn address(r: &mut Reader, map: &Object) -> Option<IpAddr> {
    let address = map.optional(r, "address", |r, node| {
        let text = r.text(node)?;
        let Ok(address) = text.parse::<IpAddr>() else {
            let help = "an IP address without a length, such as `127.0.0.1`";
            r.problem(node.place, format!("`{}` is no IP address", shown(text)), help);
            return None;
        };
        Some(address)
    });
    Some(address?.unwrap_or_else(Health::default_address))
}

/// The path of a request: what it is written into must not become another request.
fn path(r: &mut Reader, node: &Node) -> Option<String> {
    let text = r.text(node)?;
    let good = text.starts_with('/') && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !good {
        let help = "one that begins with `/`, of at most 1024 printable ASCII characters, such as `/healthz`";
        r.problem(node.place, format!("`{}` is no path of a request", shown(text)), help);
        return None;
    }
    Some(text.to_owned())
}

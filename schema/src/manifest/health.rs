//! How it is told that a running zone does its work.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::{Interval, TimeSpan};

/// A check of a running zone: exactly one of `exec`, `tcp` and `http`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// A program in the zone that exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
    /// A port in the zone's own network that takes connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// A web server in the zone's own network that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// How often it is checked: 1s to 24h, default 10s. Before the first success it is checked each second.
    #[serde(default = "Health::default_every")]
    pub every: Interval,
    /// How long a check may take: 1ms to 1m, default 2s.
    #[serde(default = "Health::default_timeout")]
    pub timeout: TimeSpan,
    /// So many failures in a row make the zone degraded: 1 to 1000, default 3.
    #[serde(default = "Health::default_failures")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// How long after the start of init the first check comes: default 0s.
    #[serde(default = "Health::default_initial_delay")]
    pub initial_delay: TimeSpan,
}

/// See [`Health::exec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecCheck {
    /// The program (an absolute path in the zone) and its arguments; it runs as a login does.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
}

/// See [`Health::tcp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpCheck {
    /// The port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The address, seen from within the zone: default 127.0.0.1.
    #[serde(default = "Health::default_address")]
    pub address: IpAddr,
}

/// See [`Health::http`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// The port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The address, seen from within the zone: default 127.0.0.1.
    #[serde(default = "Health::default_address")]
    pub address: IpAddr,
    /// What is asked for: default `/`.
    #[serde(default = "Health::default_path")]
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
    /// The status that is right: 100 to 599; default: any from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
}

impl Health {
    /// The `every` of a manifest that has none.
    #[must_use]
    pub fn default_every() -> Interval {
        Interval::from_millis(10_000)
    }

    /// The `timeout` of a manifest that has none.
    #[must_use]
    pub fn default_timeout() -> TimeSpan {
        TimeSpan::from_millis(2000)
    }

    /// The `failures` of a manifest that has none.
    #[must_use]
    pub fn default_failures() -> u32 {
        3
    }

    /// The `initialDelay` of a manifest that has none.
    #[must_use]
    pub fn default_initial_delay() -> TimeSpan {
        TimeSpan::from_millis(0)
    }

    /// The `address` of a check that has none.
    #[must_use]
    pub fn default_address() -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    /// The `path` of a check that has none.
    #[must_use]
    pub fn default_path() -> String {
        "/".to_owned()
    }
}

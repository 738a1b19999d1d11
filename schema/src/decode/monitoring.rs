//! Decodes `monitoring` of a host's configuration.

use super::absolute;
use super::configuration::listen;
use crate::configuration::{Monitoring, NotificationForm, NotifiedCondition, Receiver};
use crate::node::Node;
use crate::reader::Reader;
use crate::shape::{Shape, may, must};
use crate::text::TextError;

pub(super) const MONITORING: Shape = Shape {
    name: "Monitoring",
    what: "`monitoring`",
    fields: &[
        may("listen", "[\"127.0.0.1:9680\"]"),
        may("receivers", "[{url: \"https://hooks.example.org/reeve\", secretFile: /etc/reeve/receiver-secret}]"),
    ],
    later: &[],
    foreign: &[("port", "`listen:` with an address and a port"), ("notifications", "`receivers:`")],
};

pub(super) const RECEIVER: Shape = Shape {
    name: "Receiver",
    what: "a receiver of notifications",
    fields: &[
        must("url", "\"https://hooks.example.org/reeve\""),
        may("form", "generic"),
        may("conditions", "[HaltBlocked, GaveUp]"),
        may("after", "1m"),
        may("secretFile", "/etc/reeve/receiver-secret"),
    ],
    later: &[],
    foreign: &[
        ("type", "`form:`"),
        ("on", "`conditions:`"),
        ("for", "`after:`"),
        ("secret", "`secretFile:` with a file that has it"),
    ],
};

const FORMS: [(&str, NotificationForm); 3] = [
    ("generic", NotificationForm::Generic),
    ("slack", NotificationForm::Slack),
    ("alertmanager", NotificationForm::Alertmanager),
];

/// Decodes it.
pub(super) fn monitoring(r: &mut Reader, node: &Node) -> Option<Monitoring> {
    let map = r.object(node, &MONITORING)?;
    let listen = map.or_default(r, "listen", |r, node| r.list(node, |r, node| r.parsed_by(node, listen)));
    let receivers = map.or_default(r, "receivers", |r, node| r.list(node, receiver));
    Some(Monitoring { listen: listen?, receivers: receivers? })
}

fn receiver(r: &mut Reader, node: &Node) -> Option<Receiver> {
    let map = r.object(node, &RECEIVER)?;
    let url = map.required(r, "url", |r, node| r.parsed_by(node, url));
    let form = map.or_default(r, "form", |r, node| r.choice(node, "form of notifications", &FORMS));
    let words = NotifiedCondition::ALL.map(|one| (one.as_str(), one));
    let conditions = map.or_default(r, "conditions", |r, node| {
        r.list(node, |r, node| r.choice(node, "condition that is told of", &words))
    });
    let after = map.optional(r, "after", |r, node| r.parsed(node));
    let secret_file = map.optional(r, "secretFile", absolute);
    Some(Receiver {
        url: url?,
        form: form?,
        conditions: conditions?,
        after: after?.unwrap_or_else(Receiver::default_after),
        secret_file: secret_file?,
    })
}

/// Where requests go.
fn url(text: &str) -> Result<String, TextError> {
    let has_host = |rest: &str| !rest.is_empty() && !rest.starts_with('/');
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_some_and(has_host) && !text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Ok(text.to_owned());
    }
    Err(TextError::new(
        format!("`{text}` is no address of a receiver"),
        "`https://HOST/PATH`, or `http://` on a network of its own",
    ))
}

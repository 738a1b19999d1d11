//! What is sent, in the forms that receivers take.

use serde_json::{Value, json};

use super::{Notification, Subject};
use crate::time::Timestamp;

/// How long Alertmanager believes what it was told, in milliseconds.
const BELIEVED_MS: u64 = 5 * 60_000;
/// The most lines of one message for people.
const LINES: usize = 20;

/// The form of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Reeve's own, a JSON document.
    Generic,
    /// An incoming webhook of Slack, or of one that takes the same (Mattermost, Discord's /slack, Rocket.Chat).
    Slack,
    /// Alertmanager's API, `POST /api/v2/alerts`.
    Alertmanager,
}

/// The body of one request that tells of all of these.
pub fn body(form: Form, host: &str, notifications: &[Notification], now: Timestamp) -> Value {
    match form {
        Form::Generic => json!({
            "formatVersion": "1",
            "host": host,
            "at": now.utc(),
            "items": notifications.iter().map(generic).collect::<Vec<_>>(),
        }),
        Form::Slack => json!({ "text": slack(host, notifications) }),
        Form::Alertmanager => notifications.iter().map(|one| alert(host, one, now)).collect(),
    }
}

fn generic(one: &Notification) -> Value {
    json!({
        "status": if one.resolved { "resolved" } else { "firing" },
        "zone": one.subject.zone,
        "condition": one.subject.condition,
        "reason": one.trouble.reason,
        "message": one.trouble.message,
        "since": one.trouble.since.utc(),
        "command": command(&one.subject),
    })
}

fn slack(host: &str, notifications: &[Notification]) -> String {
    let line = |one: &Notification| {
        let name = one.subject.zone.as_deref().map_or_else(|| "source".into(), |zone| format!("zone {zone}"));
        let (condition, reason) = (one.subject.condition.as_str(), &one.trouble.reason);
        let text = match one.resolved {
            true => format!("resolved: {host}: {name}: {condition} ({reason})"),
            false => {
                let (message, command) = (&one.trouble.message, command(&one.subject));
                format!("{host}: {name}: {condition} ({reason}): {message} | {command}")
            }
        };
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', " ")
    };
    let mut lines: Vec<String> = notifications.iter().take(LINES).map(line).collect();
    if notifications.len() > LINES {
        lines.push(format!("and {} more: reeve get", notifications.len() - LINES));
    }
    lines.join("\n")
}

fn alert(host: &str, one: &Notification, now: Timestamp) -> Value {
    let condition = one.subject.condition.as_str();
    let mut labels = json!({ "host": host, "job": "reeve", "condition": condition });
    labels["alertname"] = match &one.subject.zone {
        Some(zone) => {
            labels["zone"] = json!(zone);
            json!(format!("Zone{condition}"))
        }
        None => json!(format!("Not{condition}")),
    };
    let ends = if one.resolved { now } else { now.plus(BELIEVED_MS) };
    json!({
        "labels": labels,
        "annotations": {
            "summary": format!("{condition}: {}", one.trouble.reason),
            "description": one.trouble.message,
            "runbook": format!("`{}`", command(&one.subject)),
        },
        "startsAt": one.trouble.since.utc(),
        "endsAt": ends.utc(),
    })
}

/// The command that says more.
fn command(subject: &Subject) -> String {
    match &subject.zone {
        Some(zone) => format!("reeve describe zone {zone}"),
        None => "reeve get source".into(),
    }
}

//! Decodes `drift`.

use crate::manifest::{Drift, Handling};
use crate::node::Node;
use crate::reader::Reader;
use crate::shape::{Shape, may};
use crate::source::shown;
use crate::suggest::nearest;
use crate::text::TextError;

pub(super) const DRIFT: Shape = Shape {
    name: "Drift",
    what: "`drift`",
    fields: &[may("default", "warn"), may("fields", "{hostname: ignore}"), may("maxPerHour", "5")],
    later: &[],
    foreign: &[("ignore", "`fields: {hostname: ignore}`"), ("heal", "`fields: {hostname: heal}`")],
};

/// What may be done about a field.
pub(super) const HANDLINGS: [(&str, Handling); 3] =
    [("heal", Handling::Heal), ("warn", Handling::Warn), ("ignore", Handling::Ignore)];

/// Decodes `drift`.
pub(super) fn drift(r: &mut Reader, node: &Node) -> Option<Drift> {
    let map = r.object(node, &DRIFT)?;
    let handling = |r: &mut Reader, node: &Node| r.choice(node, "way to handle drift", &HANDLINGS);
    let default = map.optional(r, "default", handling);
    let fields = map.or_default(r, "fields", |r, node| {
        r.map_of(node, "a map of field paths to `heal`, `warn` or `ignore`", path, |r, _, node| handling(r, node))
    });
    let max = map.optional(r, "maxPerHour", |r, node| r.integer(node, 1, 3600));
    let max = max?.and_then(|max| u32::try_from(max).ok()).unwrap_or_else(Drift::default_max_per_hour);
    Some(Drift { default: default?, fields: fields?, max_per_hour: max })
}

/// The rule for paths of fields: they begin with one that can drift.
fn path(path: &str) -> Result<(), TextError> {
    let root = path.split('.').next().unwrap_or_default();
    if Drift::FIELDS.contains(&root) && !path.ends_with('.') {
        return Ok(());
    }
    let help = match nearest(root, Drift::FIELDS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "such as `hostname`, `net.net0` or `fs./data`; docs/drift.md has them all".to_owned(),
    };
    Err(TextError::new(format!("no field `{}` can drift", shown(path)), help))
}

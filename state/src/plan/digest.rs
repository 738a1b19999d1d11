//! The digest of what is to be done with a zone: what somebody agrees to. It is the same for as long as the same steps
//! follow from the same differences, on whatever day and with whatever process IDs, and another one as soon as they do not.

use serde_json::{Value, json};

use super::{Step, ZonePlan};
use crate::difference::Difference;

/// The word in front of a digest where it is shown or written down.
pub const PREFIX: &str = "sha256:";

/// How many characters of the hexadecimal digits are enough to tell plans apart for people: a short form is these.
pub const SHORT: usize = 12;

/// The digest of a zone's plan, `sha256:` and 64 hexadecimal digits: over the zone's name, where it is, where it is wanted,
/// the steps by name with their transitions, the differences (field, recorded and desired value, cause, price) and the
/// digest of the desired manifest.
///
/// Not in it: why the zone waits (so that an approval, a window or a backoff changes nothing of what is waited with),
/// what was observed beyond the cause (numbers that move by themselves), estimates of time, the file that the manifest is
/// in, and words.
pub fn digest(plan: &ZonePlan) -> String {
    digest_of_steps(plan, &plan.steps)
}

/// The same for a plan whose steps were taken out because the zone waits: with the steps that it would have.
pub fn digest_of_steps(plan: &ZonePlan, steps: &[Step]) -> String {
    let differences: Vec<Value> = plan.differences.iter().filter(|one| one.field != "source").map(difference).collect();
    let document = json!({
        "name": plan.name,
        "from": plan.from.known(),
        "unknown": plan.from.why_unknown().is_some(),
        "goal": plan.goal,
        "steps": steps.iter().map(|step| json!([step.action, step.name])).collect::<Vec<_>>(),
        "differences": differences,
        "manifest": plan.digest,
    });
    format!("{PREFIX}{}", reeve_schema::digest_of(&document))
}

fn difference(one: &Difference) -> Value {
    json!({
        "field": one.field,
        "recorded": one.recorded,
        "desired": one.desired,
        "cause": one.cause,
        "price": one.price,
    })
}

/// A digest as people see it: `sha256:` and the first characters.
pub fn short(digest: &str) -> &str {
    match digest.char_indices().nth(PREFIX.len() + SHORT) {
        Some((end, _)) if digest.starts_with(PREFIX) => &digest[..end],
        _ => digest,
    }
}

/// Whether `given` is that digest, written out or in its short form or longer, with or without `sha256:`.
pub fn is_meant(digest: &str, given: &str) -> bool {
    let bare = |text: &str| text.strip_prefix(PREFIX).unwrap_or(text).to_ascii_lowercase();
    let (digest, given) = (bare(digest), bare(given));
    given.len() >= SHORT && digest.starts_with(&given)
}

//! Numbers of what is followed: whether it can be had, whether it is trusted, since when something is in force.

use super::{Input, Out, Sample, sample, seconds, whole};
use crate::condition::Condition;
use crate::source::SourceStatus;

pub(super) fn add<'a>(out: &mut Out<'a>, input: &Input<'a>) {
    match input.source {
        Some(source) => repository(out, source),
        None => {
            let rejected = input.counters.manifests_rejected.then(|| sample(["ManifestInvalid"], 1));
            out.family("reeve_source_rejected", rejected.into_iter());
        }
    }
}

fn repository<'a>(out: &mut Out<'a>, source: &'a SourceStatus) {
    out.family("reeve_source_info", [sample([&source.url, &source.reference], 1)].into_iter());
    out.family("reeve_source_condition", source.conditions.iter().map(condition));
    let rejected = source.rejected.as_ref();
    let reason = rejected.map(|rejected| Sample {
        labels: vec![format!("{:?}", rejected.reason).into()],
        value: super::Value::Number(1.0),
    });
    out.family("reeve_source_rejected", reason.into_iter());
    out.one("reeve_source_rejected_timestamp_seconds", rejected.map(|rejected| seconds(rejected.at)));
    let accepted = source.accepted.as_ref();
    out.one("reeve_source_accepted_timestamp_seconds", accepted.map(|accepted| seconds(accepted.accepted_at)));
    out.one("reeve_source_committed_timestamp_seconds", accepted.map(|accepted| seconds(accepted.info.committed_at)));
    out.one("reeve_source_last_attempt_timestamp_seconds", source.fetch.last_attempt.map(seconds));
    out.one("reeve_source_last_success_timestamp_seconds", source.fetch.last_success.map(seconds));
    out.one("reeve_source_fetch_failures", Some(whole(source.fetch.failures.into())));
}

fn condition(condition: &Condition) -> Sample<'_> {
    let (kind, status) = (condition.kind.as_str(), condition.status.as_str());
    sample([kind, status, &condition.reason], 1)
}

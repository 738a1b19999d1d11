//! Numbers of the controller itself: whether it is alive, whether it gets on, what it does.

use super::counters::StepKey;
use super::{Input, Out, Sample, Value, sample, seconds, whole};

pub(super) fn add<'a>(out: &mut Out<'a>, input: &Input<'a>) {
    let counters = input.counters;
    out.family("reeve_build_info", [sample([input.version], 1)].into_iter());
    out.family("reeve_pass_duration_seconds", [histogram([], &counters.passes)].into_iter());
    out.one("reeve_last_pass_timestamp_seconds", counters.last_pass.map(seconds));
    out.one("reeve_last_progress_timestamp_seconds", counters.last_progress.map(seconds));
    out.one("reeve_work_due", Some(whole(counters.busy)));
    out.one("reeve_queue_depth", Some(whole(counters.busy.saturating_sub(counters.working))));
    let steps = counters.steps.iter().map(|(step, took)| histogram(names(step), took));
    out.family("reeve_step_duration_seconds", steps);
    let failures = counters.failures.iter().map(|(step, count)| sample(names(step), whole(*count)));
    out.family("reeve_step_failures_total", failures);
    out.family("reeve_commit_to_converged_seconds", [histogram([], &counters.converged)].into_iter());
    out.one("reeve_retries_total", Some(whole(counters.retries)));
    let [sent, failed] = counters.notifications;
    let requests = [sample(["sent"], whole(sent)), sample(["failed"], whole(failed))];
    out.family("reeve_notifications_total", requests.into_iter());
    let overflows = counters.overflows.iter().map(|(watch, count)| sample([watch], whole(*count)));
    out.family("reeve_watch_overflows_total", overflows);
}

fn names(step: &StepKey) -> [&str; 2] {
    [step.0.map_or("live", |transition| transition.as_str()), &step.1]
}

fn histogram<'a, const N: usize>(labels: [&'a str; N], took: &'a super::Histogram) -> Sample<'a> {
    Sample { labels: labels.into_iter().map(Into::into).collect(), value: Value::Histogram(took) }
}

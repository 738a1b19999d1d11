//! THE table of metrics. The text for scrapers, docs/monitoring.md, and what the tests hold alerts and dashboard to are made from
//! it.

use super::{About, Kind};
use Kind::{Counter, Gauge, Histogram};

const fn about(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> About {
    About { name, kind, labels, help }
}

/// Every metric that there is.
pub const FAMILIES: &[About] = &[
    about("reeve_build_info", Gauge, &["version"], "1, with the program's version"),
    about("reeve_pass_duration_seconds", Histogram, &[], "How long passes took, without the walks"),
    about(
        "reeve_last_pass_timestamp_seconds",
        Gauge,
        &[],
        "When a pass last ended; one is due every minute at least, whatever happens",
    ),
    about(
        "reeve_last_progress_timestamp_seconds",
        Gauge,
        &[],
        "When a step of any zone last ended, or work came where there was none",
    ),
    about("reeve_work_due", Gauge, &[], "Zones that are being worked on or wait for their turn"),
    about("reeve_queue_depth", Gauge, &[], "Zones of these that wait for a worker"),
    about(
        "reeve_step_duration_seconds",
        Histogram,
        &["transition", "step"],
        "How long steps took that were done; `live` is no transition but a change on the zone as it is",
    ),
    about("reeve_step_failures_total", Counter, &["transition", "step"], "Steps that failed"),
    about(
        "reeve_commit_to_converged_seconds",
        Histogram,
        &[],
        "From a commit (or a saved file) being accepted to a zone that it changes being as it says",
    ),
    about("reeve_retries_total", Counter, &[], "Walks that were begun again after one that failed"),
    about(
        "reeve_watch_overflows_total",
        Counter,
        &["watch"],
        "Times that the kernel lost events of a watch (`links`, `manifests`), so that everything was looked at again",
    ),
    about(
        "reeve_notifications_total",
        Counter,
        &["outcome"],
        "Requests to receivers of notifications, `sent` and `failed`; what failed is tried again",
    ),
    about("reeve_source_info", Gauge, &["url", "reference"], "1, with the repository and what of it is followed"),
    about(
        "reeve_source_condition",
        Gauge,
        &["condition", "status", "reason"],
        "1 for each condition of the source as it is: `SourceVerified`, `SourceFresh`",
    ),
    about(
        "reeve_source_rejected",
        Gauge,
        &["reason"],
        "1 while the newest commit (or the folder of manifests as it is) is not applied, with the reason",
    ),
    about("reeve_source_rejected_timestamp_seconds", Gauge, &[], "When that commit was rejected first"),
    about("reeve_source_accepted_timestamp_seconds", Gauge, &[], "When the commit in force was accepted here"),
    about(
        "reeve_source_committed_timestamp_seconds",
        Gauge,
        &[],
        "When the commit in force was committed, as it says itself",
    ),
    about(
        "reeve_source_last_attempt_timestamp_seconds",
        Gauge,
        &[],
        "When the repository was last asked for something new",
    ),
    about("reeve_source_last_success_timestamp_seconds", Gauge, &[], "When it last answered"),
    about("reeve_source_fetch_failures", Gauge, &[], "Fetches that failed in a row"),
    about(
        "reeve_zone_state",
        Gauge,
        &["zone", "state"],
        "1, with the zone's state; `none` and `unknown` where it has none",
    ),
    about(
        "reeve_zone_desired_state",
        Gauge,
        &["zone", "state"],
        "1, with the state that the manifest wants; `none` where no manifest names the zone",
    ),
    about(
        "reeve_zone_condition",
        Gauge,
        &["zone", "condition", "status", "reason"],
        "1 for each condition of the zone as it is; one that is only there while True is not there else",
    ),
    about(
        "reeve_zone_condition_transition_timestamp_seconds",
        Gauge,
        &["zone", "condition"],
        "When the condition's status last changed",
    ),
    about(
        "reeve_zone_differences",
        Gauge,
        &["zone", "cause", "class", "handling"],
        "Fields that differ, by cause (`change`, `drift`, `both`, `hostBoot`, `adopted`, `unfinished`), class of field, and what is done about it (`apply`; of drift `heal`, `warn`, `ignore`, `returning`, `waiting`)",
    ),
    about(
        "reeve_zone_drift_mended_total",
        Counter,
        &["zone", "class"],
        "Fields of the zone, by their class, that drifted and were put right by this controller",
    ),
    about(
        "reeve_zone_suspension_end_timestamp_seconds",
        Gauge,
        &["zone"],
        "When the zone's suspension ends by itself; not there where somebody has to end it",
    ),
    about(
        "reeve_zone_restarts_total",
        Counter,
        &["zone"],
        "Starts of init that answered its end, since the manifest changed or somebody said retry",
    ),
    about("reeve_zone_walk_failures", Gauge, &["zone"], "Walks of the zone that failed in a row"),
    about(
        "reeve_zone_cpu_seconds_total",
        Counter,
        &["zone", "mode"],
        "Processor time of the zone, `user` and `system`",
    ),
    about(
        "reeve_zone_cpu_throttled_seconds_total",
        Counter,
        &["zone"],
        "Time in which its limit kept the zone from the processors",
    ),
    about("reeve_zone_memory_bytes", Gauge, &["zone"], "Memory of the zone, caches included"),
    about("reeve_zone_memory_limit_bytes", Gauge, &["zone"], "The most memory that it may have, where it has a limit"),
    about(
        "reeve_zone_oom_kills_total",
        Counter,
        &["zone"],
        "Processes of the zone that were killed because memory was short",
    ),
    about(
        "reeve_zone_tasks",
        Gauge,
        &["zone"],
        "Processes and threads in the zone, zsched and what waits to become init among them",
    ),
    about(
        "reeve_zone_pressure_waiting_seconds_total",
        Counter,
        &["zone", "resource"],
        "Time in which some task of the zone waited for `cpu`, `memory` or `io`",
    ),
    about(
        "reeve_usage_skipped_zones",
        Gauge,
        &[],
        "Zones whose use could not be read in the time that a scrape has for it",
    ),
    about("process_cpu_seconds_total", Counter, &[], "Processor time of the controller"),
    about("process_resident_memory_bytes", Gauge, &[], "Memory of the controller"),
    about("process_open_fds", Gauge, &[], "Open descriptors of the controller"),
    about("process_start_time_seconds", Gauge, &[], "When the controller was started"),
];

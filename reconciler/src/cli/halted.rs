//! A halt that cannot finish, for the one who has to do something about it: what holds it, and which commands help.

use std::fmt::Write;

use reeve::words;
use reeve_state::Timestamp;
use reeve_state::halt::{Evidence, HaltStatus};

use super::output::{Format, Table, bold};
use super::{safe_text, time};

/// Everything about it, most urgent first. What a zone or a process could have named itself is made safe to print.
pub fn text(halt: &HaltStatus, now: Timestamp, format: Format) -> String {
    let mut out = String::new();
    let mut fact = |name: &str, value: String| {
        let name = format!("{:<14}", format!("{name}:"));
        let name = if format == Format::Md { name } else { bold(&name) };
        let _ = writeln!(out, "{name} {value}");
    };
    fact("Held up by", format!("{:?}: {}", halt.reason, words::meaning(halt.reason)));
    fact("Step", format!("{} ({})", halt.step, words::halt_steps(halt)));
    fact("Object", safe_text::line(&halt.object));
    fact("Error", safe_text::line(&halt.error));
    let times = if halt.attempts == 1 { "once".to_owned() } else { format!("{} times", halt.attempts) };
    fact("Since", format!("{} ago ({}), tried {times}", time::age(halt.since, now), time::date(halt.since)));
    fact("Next try", words::next_try(halt, now));
    if !halt.detached.is_empty() {
        fact("Detached", safe_text::line(&halt.detached.join(", ")));
    }
    let reboot = if halt.safe_to_reboot_host { "would lose nothing of the zone" } else { "could lose data, or hang" };
    fact("Host reboot", reboot.to_owned());
    out += "\n";
    if halt.evidence.is_empty() {
        out += "Who holds it was not found: it may be a descriptor in a message on its way, io_uring, or the kernel itself.\n";
    } else {
        out += &evidence(&halt.evidence).render(format);
    }
    for why in &halt.unread {
        let _ = writeln!(out, "not read: {}", safe_text::line(why));
    }
    if !halt.commands.is_empty() {
        out += "\nWhat helps, one or more of these (the first one ends or changes what holds the zone):\n";
        halt.commands.iter().for_each(|command| out += &format!("  {command}\n"));
    }
    let killed = halt.completed.iter().any(|step| step == reeve_state::plan::step_name::HALT[0]);
    let alive = if killed { "Nothing of the zone runs any more" } else { "Processes of the zone are still there" };
    out + &format!("\n{alive}, and nothing can be started in it until the halt is done.\n")
}

fn evidence(found: &[Evidence]) -> Table {
    let mut table = Table::new(&["HELD AS", "OBJECT", "PATH", "PID", "COMMAND", "ZONE"]);
    for one in found {
        let holder = one.holder.as_ref();
        let unknown = || "unknown".to_owned();
        table.row([
            format!("{:?}", one.kind),
            one.object.clone(),
            one.path.clone().unwrap_or_default(),
            holder.map_or_else(unknown, |holder| holder.pid.to_string()),
            holder.map_or_else(String::new, |holder| holder.comm.clone()),
            holder.map_or_else(String::new, |holder| holder.zone.clone()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeve_state::halt::{EvidenceKind, FailedStep, Findings, Holder};

    fn stuck() -> HaltStatus {
        let failed = FailedStep {
            step: "unmount".into(),
            call: "umount2".into(),
            args: "/data".into(),
            errno: 16,
            reason: "Device or resource busy (os error 16)".into(),
        };
        let holder = Holder { pid: 4711, start_time: 7, comm: "ba\x1bsh".into(), zone: "global".into() };
        let evidence = Evidence {
            kind: EvidenceKind::Cwd,
            object: "mount 0:57 /".into(),
            path: Some("/data/\u{202e}x".into()),
            holder: Some(holder),
        };
        let completed = ["killProcesses", "unconfigureDevices", "unplumb"].map(str::to_owned).to_vec();
        let found = Findings { zone: "web".into(), failed, completed, evidence: vec![evidence], ..Findings::default() };
        HaltStatus::new(found, None, Timestamp(1_000))
    }

    #[test]
    fn an_operator_sees_who_and_what_to_do() {
        let halt = HaltStatus { next_retry: Some(Timestamp(9_000)), ..stuck() };
        let text = text(&halt, Timestamp(5_000), Format::Table);
        let expected = ["MountBusy", "unmount", "umount2(/data)", "4711", "kill 4711", "reeve retry web", "tried once"];
        for word in expected {
            assert!(text.contains(word), "no {word:?} in:\n{text}");
        }
        assert!(
            text.contains("done: killProcesses, unconfigureDevices, unplumb; to be done: unmount, destroy"),
            "{text}"
        );
    }

    #[test]
    fn what_a_process_calls_itself_does_not_act_on_the_terminal() {
        let text = text(&stuck(), Timestamp(5_000), Format::Table);
        assert!(!text.contains("ba\x1bsh") && text.contains("ba^[sh"), "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn an_unknown_holder_is_said_to_be_unknown() {
        let halt = HaltStatus { evidence: Vec::new(), commands: Vec::new(), ..stuck() };
        let text = text(&halt, Timestamp(5_000), Format::Table);
        assert!(text.contains("was not found") && !text.contains("What helps"), "{text}");
    }
}

//! `approve`: saying yes to what Reeve does not do by itself.

use reeve::controller::Controller;
use reeve::repository::record::Records;
use reeve::store::approvals::{self, Approved};
use reeve::store::{HostEvent, events};
use reeve_schema::schedule::ChangeDigest;
use reeve_state::source::short;

use super::failure::{Failure, exit};
use super::who::who;
use super::{Context, Done, output, zones};

/// What `approve` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Let the change of a zone be made that waits for approval, or for a window
    Zone {
        /// The zone
        #[arg(value_name = "ZONE")]
        zone: String,
        /// The digest of the change; without it, the change that waits now
        #[arg(value_name = "DIGEST")]
        digest: Option<ChangeDigest>,
        /// Let the data of the zone be lost by it
        #[arg(long)]
        data_loss: bool,
    },
    /// Let all zones, or most of them, lose their manifests in the folder that is followed
    Removal {
        /// The digest that the controller names: it is of exactly these zones
        #[arg(value_name = "DIGEST")]
        digest: ChangeDigest,
    },
    /// Let a commit take the place of the accepted one once, although it is older, of a rewritten history, or has no zone, or
    /// far fewer zones, for this host
    Source {
        /// The commit, all digits of it
        #[arg(value_name = "COMMIT")]
        commit: String,
    },
}

/// Says yes. What is approved is written down with who did it.
pub fn approve(context: &Context, arguments: &Arguments) -> Done {
    match &arguments.what {
        What::Zone { zone, digest, data_loss } => approve_zone(context, zone, digest.as_ref(), *data_loss),
        What::Removal { digest } => approve_removal(context, digest.as_str()),
        What::Source { commit } => approve_source(context, commit),
    }
}

fn approve_zone(context: &Context, zone: &str, digest: Option<&ChangeDigest>, data_loss: bool) -> Done {
    let host = context.host()?;
    let pending = zones::find(&host, zone).ok().and_then(|status| status.pending);
    let digest = match (digest, &pending) {
        (Some(digest), _) => digest.as_str().to_owned(),
        (None, Some(pending)) => pending.digest.clone(),
        (None, None) => {
            zones::find(&host, zone)?;
            let help = "what waits, and its digest: reeve plan PATH, or reeve describe zone NAME beside a controller";
            return Err(Failure::new(format!("no change of zone {zone} waits for approval")).help(help));
        }
    };
    if let Some(pending) = pending.filter(|pending| pending.digest == digest && pending.data_loss && !data_loss) {
        let message = format!("the data of zone {zone} would be lost by this ({})", pending.fields.join(", "));
        return Err(Failure::new(message).help(format!("if that is meant: reeve approve zone {zone} --data-loss")));
    }
    let by = who();
    approvals::keep(&context.places, &Approved::new(&digest, zone, data_loss, by.clone()))?;
    let but = if data_loss { ", its data may be lost" } else { "" };
    let who = by.as_deref().unwrap_or("somebody");
    let message = format!("{who} approved the change {digest}{but}");
    let event = HostEvent::new(reeve::store::now(), Some(zone), "Approved", message);
    events::add(context.places.state(), &event);
    let controller = Controller::connect(&context.places)?;
    let followed = controller.is_some();
    if let Some(mut controller) = controller {
        controller.look(zone)?;
    }
    if !context.quiet {
        let next = if followed { "it is made now" } else { "the next `reeve apply` or `reeve run` makes it" };
        output::complain(&format!("{zone}: {digest} is approved{but}; {next}, unless a window is waited for"));
    }
    Ok(exit::DONE)
}

fn approve_removal(context: &Context, digest: &str) -> Done {
    context.host()?;
    let by = who();
    approvals::keep(&context.places, &Approved::new(digest, "", false, by.clone()))?;
    let message = format!("{} approved the removal {digest}", by.as_deref().unwrap_or("somebody"));
    let event = HostEvent::new(reeve::store::now(), None, "RemovalApproved", message);
    events::add(context.places.state(), &event);
    if let Some(mut controller) = Controller::connect(&context.places)? {
        controller.reload()?;
    }
    if !context.quiet {
        output::complain("the zones may lose their manifests; what becomes of each is said by its `deletion`");
    }
    Ok(exit::DONE)
}

fn approve_source(context: &Context, commit: &str) -> Done {
    let is_name =
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_name {
        let help = "all 40 (or 64) hexadecimal digits of it, as `reeve get source -o json` has them";
        return Err(Failure::new("that is no commit's whole name").help(help));
    }
    context.host()?;
    Records::new(&context.places).allow(commit)?;
    let who = who().unwrap_or_else(|| "somebody".into());
    let message = format!("{who} approved it to take the place of the accepted one");
    let event = HostEvent::new(reeve::store::now(), None, "SourceApproved", message).by(Some(commit.to_owned()));
    events::add(context.places.state(), &event);
    if let Some(mut controller) = Controller::connect(&context.places)? {
        controller.notify(false)?;
    }
    if !context.quiet {
        output::complain(&format!("commit {} may be applied when it is the newest of what is followed", short(commit)));
    }
    Ok(exit::DONE)
}

//! `plan`: what would be done to take the host where the manifests want it, and what each step costs.

mod files;
mod markdown;
mod observed;
pub mod saved;
pub mod text;

use std::path::PathBuf;

use reeve::git::GitSource;
use reeve::host::Planned;
use reeve_schema::ManifestSet;
use reeve_schema::quantity::Interval;
use reeve_state::Timestamp;
use reeve_state::audit::Severity;
use reeve_state::plan::document::{ObservedHost, PlanDocument};

use super::failure::{Failure, exit};
use super::input::Manifests;
use super::output::{self, Format, FormatArguments};
use super::{Context, Done, wrap};
use saved::SavedPlan;

/// What `plan` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Where to: a manifest, or a folder of manifests and folders; with --to which part of it
    #[arg(value_name = "PATH", required_unless_present = "to")]
    path: Option<PathBuf>,
    /// Where from: `host`; or, which needs neither root nor a host, the path of manifests, `git:REV[:PATH]` or `index`
    #[arg(long, value_name = "SOURCE", default_value = "host")]
    from: String,
    /// Where to: the path of manifests, `git:REV[:PATH]` or `index`
    #[arg(long, value_name = "SOURCE")]
    to: Option<String>,
    #[command(flatten)]
    format: FormatArguments,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Save the plan: `reeve apply FILE` carries out this one and no other
    #[arg(long, value_name = "FILE", conflicts_with = "observed")]
    out: Option<PathBuf>,
    /// Plan for the hosts that published these files (`spec.publish` of their configurations), instead of this one; needs
    /// neither root nor a host
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "from")]
    observed: Vec<PathBuf>,
    /// The public keys of those hosts, each under the host's name (ssh-keygen(1), ALLOWED SIGNERS)
    #[arg(long, value_name = "FILE", requires = "observed")]
    allowed_signers: Option<PathBuf>,
    /// Warn of a host that looked longer ago than this
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "observed")]
    max_age: Interval,
}

/// The plan of one host.
pub struct HostPlan {
    /// Which, where it is not this one, and when it looked.
    host: Option<ObservedHost>,
    planned: Planned,
}

/// What is shown: one host's plan, or those of several.
pub struct Shown {
    /// Where the manifests are from, as it was said.
    source: String,
    commit: Option<String>,
    hosts: Vec<HostPlan>,
    now: Timestamp,
}

impl Shown {
    fn document(&self) -> PlanDocument {
        let mut document = PlanDocument::new(&self.source, self.commit.as_deref());
        for HostPlan { host, planned } in &self.hosts {
            let digest = planned.basis.digest(&planned.plan);
            document.add(host.as_ref().map(|host| host.name.as_str()), &planned.plan, &planned.findings, digest);
            document.hosts.extend(host.clone());
        }
        document
    }

    fn is_empty(&self) -> bool {
        self.hosts.iter().all(|host| host.planned.plan.is_empty())
    }

    fn is_fatal(&self) -> bool {
        self.hosts.iter().flat_map(|host| &host.planned.findings).any(|finding| finding.severity == Severity::Fatal)
    }
}

/// What a plan starts from or goes to.
enum Source {
    /// This host as it is.
    Host,
    /// Manifests in files.
    Files(Manifests),
    /// Manifests out of git.
    Git(GitSource),
}

impl Source {
    fn parse(text: &str) -> Result<Self, Failure> {
        Ok(match (text, GitSource::parse(text)?) {
            ("host", _) => Self::Host,
            (_, Some(git)) => Self::Git(git),
            (path, None) => Self::Files(Manifests { path: path.into() }),
        })
    }

    /// The manifests; none for the host.
    fn load(&self, context: &Context) -> Result<Option<ManifestSet>, Failure> {
        Ok(match self {
            Self::Host => None,
            Self::Files(manifests) => Some(manifests.load(context)?),
            Self::Git(git) => Some(git.load(&context.host_self()?, &context.places.zonepaths())?),
        })
    }
}

impl Arguments {
    /// Where from and where to. PATH is where to, or which part of what is out of git.
    fn sources(&self) -> Result<(Source, Source), Failure> {
        let narrowed = |source: Source| match (source, &self.path) {
            (Source::Git(git), Some(path)) if !git.has_path() => Ok(Source::Git(git.below(path)?)),
            (source, _) => Ok::<_, Failure>(source),
        };
        let from = narrowed(Source::parse(&self.from)?)?;
        let to = match (&self.to, &self.path) {
            (Some(to), path) => match (Source::parse(to)?, path) {
                (Source::Host, _) => {
                    let message = "--to host: what is wanted is said by manifests";
                    return Err(Failure::new(message).help("--to PATH, --to git:REV[:PATH] or --to index"));
                }
                (Source::Files(_), Some(path)) => {
                    let message = format!("--to {to} and {} both say where to", path.display());
                    return Err(Failure::new(message).help("leave one of them out"));
                }
                (source, _) => narrowed(source)?,
            },
            (None, Some(path)) => Source::Files(Manifests { path: path.clone() }),
            (None, None) => return Err(Failure::new("where to?").help("reeve plan PATH")),
        };
        Ok((from, to))
    }
}

/// Shows the plan; changes nothing and takes no lock.
pub fn plan(context: &Context, arguments: &Arguments) -> Done {
    let (from, to) = arguments.sources()?;
    let shown = match arguments.observed.is_empty() {
        true => for_one(context, arguments, &from, &to)?,
        false => observed::plan(arguments, &to)?,
    };
    let format = arguments.format.format;
    match format {
        Format::Json | Format::Yaml => output::print_document(format, &shown.document())?,
        Format::Md => output::print(&markdown::render(&shown))?,
        Format::Table => output::print(&text::render(&shown, context.verbose > 0, wrap::width()))?,
    }
    Ok(match () {
        () if shown.is_fatal() => exit::ERROR,
        () if arguments.detailed_exitcode && !shown.is_empty() => exit::TO_DO,
        () => exit::DONE,
    })
}

/// Plans for this host, or from one set of manifests to another.
fn for_one(context: &Context, arguments: &Arguments, from: &Source, to: &Source) -> Result<Shown, Failure> {
    let from = from.load(context)?;
    let (place, source, git) = match to {
        Source::Git(git) => (git.place()?, git.to_string(), Some(git)),
        Source::Files(manifests) => (manifests.source(), manifests.path.display().to_string(), None),
        Source::Host => (PathBuf::new(), String::new(), None),
    };
    let set = to.load(context)?.unwrap_or_default();
    let mut planned = match &from {
        Some(from) => files::plan_between(&context.places, from, &set),
        None => context.host()?.plan(&set, &place),
    };
    let commit = git.map(GitSource::commit).transpose()?.flatten();
    planned.basis.commit.clone_from(&commit);
    if let Some(path) = &arguments.out {
        if from.is_some() {
            return Err(Failure::new("only a plan that starts from this host can be saved").help("leave --from out"));
        }
        saved::write(path, &SavedPlan::new(&planned, &place, git))?;
        if !context.quiet {
            let shown = path.display();
            output::complain(&format!("saved in {shown}; to carry it out: reeve apply {shown}"));
        }
    }
    let hosts = vec![HostPlan { host: None, planned }];
    Ok(Shown { source, commit, hosts, now: reeve::store::now() })
}

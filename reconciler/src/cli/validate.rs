//! `validate` and `schema`: about manifests alone. They need neither root nor cgroups.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use reeve::git::GitSource;
use reeve::source::{self, LoadError};
use reeve_schema::{Checked, Described, Problems};
use reeve_state::schema::DOCUMENTS;

use super::failure::{Failure, exit};
use super::output::{self, Format, FormatArguments, List, Table, count};
use super::{Context, Done};

/// What `validate` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Manifests, or folders of them, which are checked as one set; or `git:REV[:PATH]` or `index`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    format: FormatArguments,
}

/// Says every problem of the manifests, for every host that they declare, or how much there is of them.
pub fn validate(context: &Context, arguments: &Arguments) -> Done {
    let format = arguments.format.format;
    let zonepaths = context.places.zonepaths();
    let git = match arguments.paths.as_slice() {
        [path] => path.to_str().map(GitSource::parse).transpose()?.flatten(),
        _ => None,
    };
    let checked = match git {
        Some(git) => git.check(&zonepaths),
        None => source::check(&arguments.paths, &zonepaths),
    };
    match checked {
        Ok(checked) => {
            right(context, format, &checked)?;
            Ok(exit::DONE)
        }
        Err(LoadError::Problems(problems)) => {
            wrong(format, problems)?;
            Ok(exit::ERROR)
        }
        Err(error) => Err(error.into()),
    }
}

fn right(context: &Context, format: Format, checked: &Checked) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Yaml => output::print_document(format, &List::<()>::new(Vec::new())),
        _ if context.quiet => Ok(()),
        // As where a folder's name is not the one that was meant.
        _ if checked.files == 0 => {
            output::complain("there is no manifest: they are in files whose names end in .yaml or .yml");
            Ok(())
        }
        _ => {
            let overlays = match checked.overlays {
                0 => String::new(),
                number => format!(" and {}", count(number, "overlay")),
            };
            let hosts = match checked.hosts {
                0 => String::new(),
                number => format!(", checked for {}", count(number, "host")),
            };
            let (zones, files) = (count(checked.zones, "zone"), count(checked.files, "file"));
            output::print(&format!("{zones}{overlays} in {files}{hosts}, no problem\n"))
        }
    }
}

fn wrong(format: Format, problems: Problems) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Yaml => output::print_document(format, &List::new(problems.0)),
        Format::Md => {
            let mut table = Table::new(&["PLACE", "FIELD", "PROBLEM", "HELP"]);
            for problem in problems.0 {
                let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
                table.row([place, problem.field, problem.message, problem.help]);
            }
            output::print(&table.render(format))
        }
        Format::Table => {
            output::complain(&output::paint_problems(&problems.to_string()));
            Ok(())
        }
    }
}

/// What `schema` takes.
#[derive(clap::Args, Debug)]
pub struct SchemaArguments {
    /// Of which document
    #[arg(value_name = "DOCUMENT", default_value = Described::default().as_str(), value_parser = described())]
    document: String,
}

/// The names of documents that have a schema.
fn described() -> PossibleValuesParser {
    PossibleValuesParser::new(Described::ALL.map(Described::as_str).into_iter().chain(DOCUMENTS))
}

/// Prints the JSON Schema, as it is checked in under `schema/json`.
pub fn schema(arguments: &SchemaArguments) -> Done {
    let wanted = Described::ALL.into_iter().find(|document| document.as_str() == arguments.document);
    let schema = match wanted {
        Some(document) => Some(reeve_schema::json_schema(document)),
        None => reeve_state::schema::json_schema(&arguments.document),
    };
    output::print_document(Format::Json, &schema)?;
    Ok(exit::DONE)
}

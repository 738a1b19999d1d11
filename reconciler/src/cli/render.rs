//! `render`: what a host gets of a set of manifests, with the place of every value that an overlay set. About manifests
//! alone: needs neither root nor a host.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use reeve::git::GitSource;
use reeve::source::{self, LoadError};
use reeve_schema::name::Hostname;
use reeve_schema::{Catalog, FieldOrigin, HostSelf, Limits, Origin, Problems, Rendered, Zone};
use serde::Serialize;
use serde_json::Value;

use super::failure::{Failure, exit};
use super::output::{self, Format};
use super::{Context, Done};

/// What `render` takes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The path of manifests, `git:REV[:PATH]` or `index`
    #[arg(value_name = "SOURCE", default_value = ".")]
    source: String,
    /// The host
    #[arg(long, value_name = "NAME")]
    host: String,
    /// A label that the host's own configuration gives it; as often as there are labels
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The format
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    format: Form,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Manifests, with the places as comments.
    #[default]
    Yaml,
    /// JSON, with the place of every value.
    Json,
}

/// A label of the command line.
fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is written KEY=VALUE, such as site=berlin".to_owned()),
    }
}

/// Prints what the host gets.
pub fn render(context: &Context, arguments: &Arguments) -> Done {
    let files = match GitSource::parse(&arguments.source)? {
        Some(git) => git.read()?,
        None => source::read_all(&[PathBuf::from(&arguments.source)])?,
    };
    let catalog = Catalog::read(&files, &Limits::default());
    let rendered = catalog.render(&who(&catalog, arguments)?, &context.places.zonepaths());
    let rendered = rendered.map_err(|problems| LoadError::Problems(Problems(problems)))?;
    match arguments.format {
        Form::Json => {
            let labels = catalog.labels(&who(&catalog, arguments)?);
            let items = rendered.iter().map(Item::of).collect();
            let document = Document { format_version: "1", host: &arguments.host, labels, items };
            output::print_document(Format::Json, &document)?;
        }
        Form::Yaml if rendered.is_empty() => {
            output::complain(&format!("no zone of the set is for host {}", printable(&arguments.host)));
        }
        Form::Yaml => {
            let documents = rendered.iter().map(yaml).collect::<Result<Vec<String>, Failure>>()?;
            output::print(&documents.join("---\n"))?;
        }
    }
    Ok(exit::DONE)
}

/// The host that is meant: one that the set declares, or one whose labels were said.
fn who(catalog: &Catalog, arguments: &Arguments) -> Result<HostSelf, Failure> {
    let name = &arguments.host;
    if !catalog.hosts().any(|host| host == name) {
        if arguments.labels.is_empty() {
            let near = catalog.near_hosts(name).join(", ");
            let help = match near.as_str() {
                "" => "declare it (kind: Host), or say its labels, such as --label site=berlin".to_owned(),
                near => format!("did you mean {near}? For a host that is not declared: --label KEY=VALUE"),
            };
            return Err(Failure::new(format!("the set declares no host {}", printable(name))).help(help));
        }
        let wrong = |error: reeve_schema::TextError| Failure::new(error.message).help(error.help);
        name.parse::<Hostname>().map_err(wrong)?;
    }
    Ok(HostSelf { name: name.clone(), labels: arguments.labels.iter().cloned().collect() })
}

/// The JSON document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'r> {
    format_version: &'static str,
    host: &'r str,
    labels: BTreeMap<String, String>,
    items: Vec<Item<'r>>,
}

/// A zone in it.
#[derive(Serialize)]
struct Item<'r> {
    manifest: &'r Zone,
    origin: String,
    fields: Vec<Field<'r>>,
}

/// A value in it. One that is not in the manifest was taken away by the overlay.
#[derive(Serialize)]
struct Field<'r> {
    field: &'r str,
    origin: String,
    overlay: Option<&'r str>,
}

impl<'r> Item<'r> {
    fn of(rendered: &'r Rendered) -> Self {
        let field = |field: &'r FieldOrigin| Field {
            field: &field.field,
            origin: place(&field.origin),
            overlay: field.overlay.as_deref(),
        };
        let fields = rendered.fields.iter().map(field).collect();
        Self { manifest: &rendered.zone, origin: place(&rendered.origin), fields }
    }
}

fn place(origin: &Origin) -> String {
    format!("{}:{}", origin.file, origin.line)
}

/// A text in which nothing ends a line or moves the cursor.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A zone as a YAML document with comments.
fn yaml(rendered: &Rendered) -> Result<String, Failure> {
    let mut text = format!("# {}\n", printable(&place(&rendered.origin)));
    let from = |field: &FieldOrigin| {
        let overlay = field.overlay.as_deref()?;
        Some(printable(&format!("{} (overlay {overlay})", place(&field.origin))))
    };
    let mut comments = BTreeMap::new();
    for field in &rendered.fields {
        match from(field) {
            Some(from) if field.removed => {
                let _ = writeln!(text, "# without {}: {from}", field.field);
            }
            Some(from) => drop(comments.insert(field.path.clone(), from)),
            None => {}
        }
    }
    let manifest = serde_json::to_value(&rendered.zone)
        .map_err(|error| Failure::new(format!("cannot be written as a document: {error}")))?;
    block(&manifest, 0, &mut Vec::new(), &comments, &mut text);
    Ok(text)
}

/// Writes the entries of a map, or the items of a list, each on lines of its own.
fn block(
    value: &Value,
    indent: usize,
    path: &mut Vec<String>,
    comments: &BTreeMap<Vec<String>, String>,
    out: &mut String,
) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                let _ = write!(out, "{:indent$}{}:", "", scalar(&Value::from(key.as_str())));
                let comment = comments.get(path).map(|comment| format!(" # {comment}")).unwrap_or_default();
                if is_flat(value) {
                    let _ = writeln!(out, " {}{comment}", scalar(value));
                } else {
                    let _ = writeln!(out, "{comment}");
                    block(value, indent + 2, path, comments, out);
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                // The first line of an item stands behind its dash.
                let mut text = String::new();
                if is_flat(item) {
                    text = format!("{:1$}{2}\n", "", indent + 2, scalar(item));
                } else {
                    block(item, indent + 2, path, &BTreeMap::new(), &mut text);
                }
                let _ = write!(out, "{:indent$}- {}", "", &text[indent + 2..]);
            }
        }
        plain => {
            let _ = writeln!(out, "{:indent$}{}", "", scalar(plain));
        }
    }
}

/// Whether a value stands on the line of its key.
fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// A value on one line. Text that could be taken for something else comes in quotes, as JSON has it: that is YAML too.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
    );
    if begins && plain && !word { text.clone() } else { quoted(text) }
}

/// Text in quotes. What JSON leaves as it is and YAML or a terminal would not is escaped as well.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use reeve_schema::SourceFile;

    use super::*;

    /// What is rendered is itself a set, and means the same.
    #[test]
    fn what_is_rendered_can_be_read_again() {
        let text = "apiVersion: reeve.dev/v1alpha1\nkind: Zone\nmetadata: {name: web, labels: {\"a b:c\": \"# x\"}}\n\
                    spec:\n  root: {hostUsr: {}}\n  cappedCpu: {ncpus: 1.5}\n  \
                    fs: [{dir: /data, type: tmpfs, options: [nosuid, size=1Mi]}, {dir: /b, type: tmpfs}]\n  \
                    init: {command: [/bin/sh, -c, \"a\\n\\tb\", \"yes\", \"12\", \"\", \"\\x85\\u2028\\x7f\", \"~\", \"- a\"]}\n";
        let text = text.replace("labels: {\"a b:c\"", "labels: {\"a:c\"");
        let files = [SourceFile { path: "a.yaml".into(), text }];
        let read = |files: &[SourceFile]| {
            let set = reeve_schema::load(files, &HostSelf::default(), "/zones", &Limits::default());
            set.unwrap_or_else(|problems| panic!("{}", Problems(problems)))
        };
        let catalog = Catalog::read(&files, &Limits::default());
        let rendered = catalog.render(&HostSelf::default(), "/zones").expect("it is right");
        let again = yaml(&rendered[0]).expect("a document");
        let digests =
            |files: &[SourceFile]| -> Vec<String> { read(files).zones.into_values().map(|zone| zone.digest).collect() };
        assert_eq!(digests(&files), digests(&[SourceFile { path: "b.yaml".into(), text: again.clone() }]), "{again}");
    }

    #[test]
    fn labels_are_taken_apart_at_the_first_sign() {
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("a="), Ok(("a".into(), String::new())));
        assert!(label("a").is_err() && label("=a").is_err());
    }
}

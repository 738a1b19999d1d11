//! YAML text to a tree that knows where each part stands, within limits. The parser's events are read one by one and
//! nothing is expanded: aliases, anchors, tags, directives and keys that are not plain text are problems, because a
//! manifest must mean what a reader sees.

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span};

use crate::load::{Limits, SourceFile};
use crate::source::{Place, Report, Spot, push_index, push_key, shown};

/// One value of a document and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A plain number, as written.
    Number(String),
    /// Text, quoted or plain.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their values, in the order written; a key may be there twice.
    Map(Vec<(Key, Node)>),
    /// Something whose problem has been noted already.
    Broken,
}

/// A key of a map and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// Where it begins.
    pub place: Place,
    /// Its text.
    pub text: String,
}

/// The documents of a file that could be read, empty ones left out. Notes what is wrong with the others.
pub(crate) fn documents(index: usize, file: &SourceFile, limits: &Limits, report: &mut Report) -> Vec<Node> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        emit_anchor_events: true,
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
    };
    let mut parser = Parser::new_from_str_with_options(&file.text, options);
    let mut documents = Vec::new();
    loop {
        let mut builder =
            Builder { file: index, report, stack: Vec::new(), root: None, anchored: String::new(), nodes: 0, limits };
        let again = match builder.read(&mut parser) {
            Ok(End::Document) => {
                documents.extend(builder.root.filter(|root| root.value != Value::Null));
                Ok(true)
            }
            Ok(End::Stream) => break,
            // Skipping goes on to the next `---`, in time that grows with what is skipped.
            Err(stop) => {
                let field = builder.path();
                stop.note(index, field, report, limits);
                parser.proceed_next_document()
            }
        };
        match again {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                Stop::Syntax(error).note(index, String::new(), report, limits);
                break;
            }
        }
    }
    documents
}

/// How reading ended well.
enum End {
    Document,
    Stream,
}

/// Why a document was given up.
enum Stop {
    Syntax(ScanError),
    TooManyNodes(Place),
    TooDeep(Place),
}

impl Stop {
    /// Notes it as a problem.
    fn note(self, file: usize, field: String, report: &mut Report, limits: &Limits) {
        let too_deep = |place| {
            (place, format!("lists and maps nest deeper than {}", limits.depth), "a flatter document".to_owned())
        };
        let (place, message, help) = match self {
            Self::TooDeep(place) => too_deep(place),
            Self::Syntax(error) if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) => {
                too_deep(place(file, *error.marker()))
            }
            Self::TooManyNodes(place) => {
                let message = format!("the document has more than {} keys, values and items", limits.nodes);
                (place, message, "several smaller documents".to_owned())
            }
            Self::Syntax(error) => {
                let help = syntax_help(error.kind());
                (place(file, *error.marker()), format!("this is not YAML: {}", error.kind()), help.to_owned())
            }
        };
        report.add(Spot { place, field }, message, help);
    }
}

/// What to do about the syntax errors that people make.
fn syntax_help(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => "indent with spaces",
        ErrorKind::UnclosedQuotedScalar => "close the quote where the text ends",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => "close every `[` and `{`, and put commas between the items",
        ErrorKind::MappingValueNotAllowed => {
            "put text that has `: ` in it in quotes, or indent this line as its neighbours are"
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockSequenceEntry => {
            "indent all keys of a map, and all items of a list, alike"
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "write `key: value` in one line, with a space after the colon"
        }
        ErrorKind::UnexpectedCharacter { .. } => "put text that begins with this character in quotes",
        ErrorKind::DirectiveDisallowed => "leave out lines that begin with `%`",
        ErrorKind::UnknownQuotedScalarEscape => "double the backslash, or use single quotes",
        _ => "a document of `key: value` lines, YAML 1.2",
    }
}

/// A place from the parser's mark.
fn place(file: usize, mark: Marker) -> Place {
    Place::new(file, mark.line(), mark.col() + 1, mark.byte_offset().unwrap_or(0))
}

/// A list or map that is not closed yet.
enum Frame {
    List(Place, Vec<Node>),
    Map(Place, Vec<(Key, Node)>, Option<Option<Key>>),
}

/// Builds the tree of one document from events, with a stack of its own: no depth of input can exhaust the thread's.
struct Builder<'b, 'r> {
    file: usize,
    report: &'b mut Report<'r>,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchored: String,
    nodes: usize,
    limits: &'b Limits,
}

impl Builder<'_, '_> {
    /// Reads one document, or the end of the stream.
    fn read<'t, I: granit_parser::BorrowedInput<'t>>(&mut self, parser: &mut Parser<'t, I>) -> Result<End, Stop> {
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(Stop::Syntax)?;
            let at = place(self.file, span.start);
            if event.is_node() {
                self.nodes += 1;
                if self.nodes > self.limits.nodes {
                    return Err(Stop::TooManyNodes(at));
                }
                self.refuse_tag(&event, &span);
                // An anchor's own event follows that of its node, which then may be finished.
                if event.anchor_id().is_some() {
                    self.anchored = self.path();
                }
            }
            match event {
                Event::StreamEnd => return Ok(End::Stream),
                Event::DocumentEnd => return Ok(End::Document),
                Event::Scalar(text, style, ..) => self.add(Node { place: at, value: scalar(&text, style) }),
                Event::SequenceStart(..) => self.open(Frame::List(at, Vec::new()), at)?,
                Event::MappingStart(..) => self.open(Frame::Map(at, Vec::new(), None), at)?,
                Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                    Some(Frame::List(place, items)) => self.add(Node { place, value: Value::List(items) }),
                    Some(Frame::Map(place, entries, _)) => self.add(Node { place, value: Value::Map(entries) }),
                    None => {}
                },
                Event::Anchor(..) => {
                    let spot = Spot { place: at, field: std::mem::take(&mut self.anchored) };
                    self.report.add(spot, "anchors (`&name`) are not read", "the value without an anchor");
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    self.problem(at, "aliases (`*name`) are not read", "the value itself, written out");
                    self.add(Node { place: at, value: Value::Broken });
                }
                _ => {}
            }
        }
        Ok(End::Stream)
    }

    /// Notes a tag.
    fn refuse_tag(&mut self, event: &Event, span: &Span) {
        if let Some(tag) = event.tag() {
            let at = place(self.file, span.tag_start().unwrap_or(span.start));
            self.problem(at, format!("tags (`{}`) are not read", shown(&tag.original())), "the value without a tag");
        }
    }

    /// Notes a problem of the field being read.
    fn problem(&mut self, place: Place, message: impl Into<String>, help: &str) {
        let field = self.path();
        self.report.add(Spot { place, field }, message, help);
    }

    /// The field being read, as a dotted path: the keys and indexes of what is open.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.stack {
            match frame {
                Frame::List(_, items) => push_index(&mut path, items.len()),
                Frame::Map(_, _, Some(Some(key))) => push_key(&mut path, &key.text),
                Frame::Map(..) => {}
            }
        }
        path
    }

    /// Begins a list or map.
    fn open(&mut self, frame: Frame, at: Place) -> Result<(), Stop> {
        if self.stack.len() >= self.limits.depth {
            return Err(Stop::TooDeep(at));
        }
        self.stack.push(frame);
        Ok(())
    }

    /// Puts a finished value where it belongs: into the list or map that is open, or at the root.
    fn add(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List(_, items)) => items.push(node),
            Some(Frame::Map(_, entries, pending)) => match pending.take() {
                Some(Some(key)) => entries.push((key, node)),
                Some(None) => {}
                None => {
                    let place = node.place;
                    let noted = node.value == Value::Broken;
                    let key = key_text(node.value);
                    let wrong = key.is_none() && !noted;
                    *pending = Some(key.map(|text| Key { place, text }));
                    if wrong {
                        self.problem(place, "a key must be plain text", "a field's name");
                    }
                }
            },
        }
    }
}

/// The text of a key. Numbers and the words of booleans are text in the place of a key.
fn key_text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Number(text) => Some(text),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Broken => None,
    }
}

/// What a scalar is, by the core schema of YAML 1.2: quoted text is text; `yes`, `no`, `on`, `off` are text as well.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

/// Whether a plain scalar is a number by the core schema of YAML 1.2 (10.3.2), decimal, octal, hexadecimal or floating.
fn is_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let exponent = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    let mantissa = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
    };
    mantissa && exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_core_schema() {
        for text in ["0", "-1", "+12", "1.5", ".5", "1.", "1e3", "1.5E-3", "0x1f", "0o17", ".inf", "-.inf", ".nan"] {
            assert!(is_number(text), "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "1e", "e3", "0x", "0o8", "10s", "1_000", "--1", "10.0.0.1/8", "-.nan"] {
            assert!(!is_number(text), "{text}");
        }
    }
}

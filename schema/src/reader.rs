//! Reading typed values out of a tree: every function notes what is wrong and gives `None`, and the caller goes on
//! with the next field, so that all problems of a document come at once.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::node::{Key, Node, Value};
use crate::shape::{Field, Shape};
use crate::source::{Place, Report, Spot, push_index, push_key, shown};
use crate::suggest::nearest;
use crate::text::TextError;

/// Reads one document: knows where it is in it, and the report.
pub(crate) struct Reader<'b, 'r> {
    /// Where problems go.
    pub report: &'b mut Report<'r>,
    /// The field being read, as a dotted path.
    path: String,
    /// The field with a value that would be right.
    example: String,
}

impl<'b, 'r> Reader<'b, 'r> {
    /// A reader at the top of a document of a kind.
    pub(crate) fn new(report: &'b mut Report<'r>, kind: &str) -> Self {
        let example = format!("`apiVersion: reeve.dev/v1alpha1`, `kind: {kind}`, ...");
        Self { report, path: String::new(), example }
    }

    /// The field being read with a value that would be right.
    pub(crate) fn example(&self) -> &str {
        &self.example
    }

    /// A place with the path of the field being read.
    pub(crate) fn spot(&self, place: Place) -> Spot {
        Spot { place, field: self.path.clone() }
    }

    /// Notes a problem of the field being read.
    pub(crate) fn problem(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let spot = self.spot(place);
        self.report.add(spot, message, help);
    }

    /// Runs `read` with the path one key further.
    pub(crate) fn at<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        push_key(&mut self.path, key);
        let value = read(self);
        self.path.truncate(length);
        value
    }

    /// Runs `read` with the path at an item of a list.
    fn at_index<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        push_index(&mut self.path, index);
        let value = read(self);
        self.path.truncate(length);
        value
    }

    /// A map of known fields. Notes keys that are unknown or there twice, and required ones that are missing.
    pub(crate) fn object<'n>(&mut self, node: &'n Node, shape: &'static Shape) -> Option<Object<'n>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, "a map of fields");
            return None;
        };
        let fields = self.unique(entries);
        for (text, (place, _)) in &fields {
            if shape.field(text).is_none() {
                self.unknown(*place, text, shape);
            }
        }
        for Field { name, example, .. } in shape.fields.iter().filter(|field| field.required) {
            if !fields.contains_key(name) {
                let message = format!("{} needs the field `{name}`", shape.what);
                self.at(name, |r| r.problem(node.place, message, format!("such as `{name}: {example}`")));
            }
        }
        Some(Object { fields, shape })
    }

    /// The entries of a map by key. Notes keys that are there twice; the first stays.
    fn unique<'n>(&mut self, entries: &'n [(Key, Node)]) -> BTreeMap<&'n str, (Place, &'n Node)> {
        let mut unique = BTreeMap::new();
        for (key, value) in entries {
            if let Some((first, _)) = unique.get(key.text.as_str()) {
                let first: &Place = first;
                let help = format!("only one; the first is on line {}", first.line);
                self.at(&key.text, |r| {
                    r.problem(key.place, format!("the key `{}` is there twice", shown(&key.text)), help)
                });
            } else {
                unique.insert(key.text.as_str(), (key.place, value));
            }
        }
        unique
    }

    /// Notes keys that are there twice, in all maps of a tree that is not decoded here.
    pub(crate) fn keys_once(&mut self, node: &Node) -> Option<()> {
        match &node.value {
            Value::Map(entries) => {
                let fields = self.unique(entries);
                let mut whole = (fields.len() == entries.len()).then_some(());
                for (key, (_, value)) in fields {
                    whole = self.at(key, |r| r.keys_once(value)).and(whole);
                }
                whole
            }
            Value::List(items) => {
                let whole: Vec<_> =
                    items.iter().enumerate().map(|(i, item)| self.at_index(i, |r| r.keys_once(item))).collect();
                whole.into_iter().collect()
            }
            Value::Broken => None,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Some(()),
        }
    }

    /// Notes an unknown key.
    pub(crate) fn unknown(&mut self, place: Place, key: &str, shape: &'static Shape) {
        let all = || shape.names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let no_field = format!("{} has no field `{}`", shape.what, shown(key));
        let (message, help) = if key == "<<" {
            ("merge keys (`<<`) are not read".to_owned(), "the fields themselves, written out".to_owned())
        } else if shape.later.contains(&key) {
            (format!("`{key}` is not supported yet by this version of Reeve"), "leave it out for now".to_owned())
        } else if let Some((_, instead)) = shape.foreign.iter().find(|(name, _)| *name == key) {
            (no_field, (*instead).to_owned())
        } else if let Some(near) = nearest(key, shape.names()) {
            (no_field, format!("did you mean `{near}`?"))
        } else if shape.fields.is_empty() {
            (no_field, "nothing: it has no fields".to_owned())
        } else {
            (no_field, format!("one of {}", all()))
        };
        self.at(key, |r| r.problem(place, message, help));
    }

    /// A list. `None` if it is none or any item is broken; all items are read either way.
    pub(crate) fn list<'n, T>(
        &mut self,
        node: &'n Node,
        mut read: impl FnMut(&mut Self, &'n Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(node)?;
        let values: Vec<Option<T>> =
            items.iter().enumerate().map(|(i, item)| self.at_index(i, |r| read(r, item))).collect();
        values.into_iter().collect()
    }

    /// The items of a list as they stand.
    fn items<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            _ => {
                self.wrong_type(node, "a list");
                None
            }
        }
    }

    /// A map of any keys to text.
    pub(crate) fn text_map(
        &mut self,
        node: &Node,
        check_key: impl Fn(&str) -> Result<(), TextError>,
    ) -> Option<BTreeMap<String, String>> {
        self.map_of(node, "a map of text to text", check_key, |r, _, node| r.text(node).map(str::to_owned))
    }

    /// A map of any keys to values that `read` takes, with the key.
    pub(crate) fn map_of<T>(
        &mut self,
        node: &Node,
        what: &str,
        check_key: impl Fn(&str) -> Result<(), TextError>,
        mut read: impl FnMut(&mut Self, &str, &Node) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, what);
            return None;
        };
        let entries = self.unique(entries);
        let mut whole = true;
        let mut map = BTreeMap::new();
        for (key, (place, value)) in entries {
            if let Err(error) = check_key(key) {
                self.at(key, |r| r.problem(place, error.message, error.help));
                whole = false;
            }
            match self.at(key, |r| read(r, key, value)) {
                Some(value) => drop(map.insert(key.to_owned(), value)),
                None => whole = false,
            }
        }
        whole.then_some(map)
    }

    /// Text, without zero bytes: the kernel's strings end at one.
    pub(crate) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let Value::Text(text) = &node.value else {
            match &node.value {
                Value::Number(number) => self.unquoted(node.place, "a number", number),
                Value::Bool(value) => self.unquoted(node.place, "true or false", &value.to_string()),
                _ => self.wrong_type(node, "text"),
            }
            return None;
        };
        if text.contains('\0') {
            self.problem(node.place, "the text has a zero byte in it", "text without `\\0`");
            return None;
        }
        Some(text)
    }

    /// Notes a number where text must be.
    fn unquoted(&mut self, place: Place, found: &str, text: &str) {
        self.problem(place, format!("found {found}, expected text"), format!("in quotes: \"{}\"", shown(text)));
    }

    /// Text of a type that parses itself.
    pub(crate) fn parsed<T: FromStr<Err = TextError>>(&mut self, node: &Node) -> Option<T> {
        self.parsed_by(node, str::parse)
    }

    /// Text that `parse` takes apart.
    pub(crate) fn parsed_by<T>(&mut self, node: &Node, parse: impl Fn(&str) -> Result<T, TextError>) -> Option<T> {
        // A bare number gets the type's own advice if quotes alone would not make it right (`haltTimeout: 10`).
        let result = match &node.value {
            Value::Number(text) => match parse(text) {
                Ok(_) => {
                    self.unquoted(node.place, "a number", text);
                    return None;
                }
                Err(error) => Err(error),
            },
            _ => parse(self.text(node)?),
        };
        result.map_err(|error: TextError| self.problem(node.place, error.message, error.help)).ok()
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let help = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) if words.len() > 1 => format!("did you mean `{near}`? (one of {all})"),
            _ if words.len() == 1 => all,
            _ => format!("one of {all}"),
        };
        self.problem(node.place, format!("`{}` is no {what}", shown(text)), help);
        None
    }

    /// True or false.
    pub(crate) fn truth(&mut self, node: &Node) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.wrong_type(node, "true or false");
                None
            }
        }
    }

    /// A whole number in a range, in decimal digits.
    pub(crate) fn integer(&mut self, node: &Node, least: u64, most: u64) -> Option<u64> {
        let help = format!("a whole number from {least} to {most}");
        let text = self.number(node, &help)?;
        // YAML 1.1 takes a leading zero for octal, 1.2 does not: nobody should have to know.
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        let what = match text.parse::<u64>() {
            Ok(number) if digits && (least..=most).contains(&number) => return Some(number),
            _ if digits => "is out of range",
            _ => "is no whole number in plain decimal digits",
        };
        self.problem(node.place, format!("`{}` {what}", shown(text)), help);
        None
    }

    /// A decimal number in a range.
    pub(crate) fn decimal(&mut self, node: &Node, least: f64, most: f64) -> Option<f64> {
        let help = format!("a number from {least} to {most}, such as 1.5");
        let text = self.number(node, &help)?;
        match text.parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.problem(node.place, format!("`{}` is out of range", shown(text)), help);
                None
            }
        }
    }

    /// The text of a number.
    fn number<'n>(&mut self, node: &'n Node, help: &str) -> Option<&'n str> {
        match &node.value {
            Value::Number(text) => Some(text),
            Value::Text(text) => {
                let help =
                    if text.parse::<f64>().is_ok() { format!("{help}, without quotes") } else { help.to_owned() };
                self.problem(node.place, format!("found text, `{}`, expected a number", shown(text)), help);
                None
            }
            _ => {
                self.wrong_type(node, "a number");
                None
            }
        }
    }

    /// Notes that a value is of another type than the field's.
    fn wrong_type(&mut self, node: &Node, expected: &str) {
        let found = match &node.value {
            Value::Null => "no value",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Broken => return,
        };
        let help = format!("such as {}", self.example);
        self.problem(node.place, format!("found {found}, expected {expected}"), help);
    }
}

/// The fields of a map that is being read.
pub(crate) struct Object<'n> {
    fields: BTreeMap<&'n str, (Place, &'n Node)>,
    shape: &'static Shape,
}

impl<'n> Object<'n> {
    /// A field that must be there (that it is missing was noted already).
    pub(crate) fn required<T>(
        &self,
        r: &mut Reader,
        key: &'static str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<T> {
        self.optional(r, key, read).flatten()
    }

    /// A field that may be there: `None` if broken, `Some(None)` if not there.
    #[allow(clippy::option_option, reason = "broken, not there and there are three answers, and `?` takes the first")]
    pub(crate) fn optional<T>(
        &self,
        r: &mut Reader,
        key: &'static str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<Option<T>> {
        let field = self.shape.field(key);
        debug_assert!(field.is_some(), "{key} is a field of {}", self.shape.name);
        let Some((place, node)) = self.fields.get(key) else {
            return Some(None);
        };
        let example = field.map_or_else(String::new, |field| format!("`{key}: {}`", field.example));
        if node.value == Value::Null {
            let or = if field.is_some_and(|field| field.required) { "" } else { ", or leave the field out" };
            r.at(key, |r| r.problem(*place, format!("`{key}` has no value"), format!("such as {example}{or}")));
            return None;
        }
        let outer = std::mem::replace(&mut r.example, example);
        let value = r.at(key, |r| read(r, node));
        r.example = outer;
        value.map(Some)
    }

    /// A field that has a default.
    pub(crate) fn or_default<T: Default>(
        &self,
        r: &mut Reader,
        key: &'static str,
        read: impl FnOnce(&mut Reader, &'n Node) -> Option<T>,
    ) -> Option<T> {
        Some(self.optional(r, key, read)?.unwrap_or_default())
    }

    /// Where a field's key stands, if it is there.
    pub(crate) fn key(&self, key: &str) -> Option<Place> {
        self.fields.get(key).map(|(place, _)| *place)
    }

    /// The value of a field as it stands.
    pub(crate) fn node(&self, key: &str) -> Option<&'n Node> {
        self.fields.get(key).map(|(_, node)| *node)
    }
}

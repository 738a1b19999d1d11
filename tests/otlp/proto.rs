//! Spans out of the body of a request as OTLP has it (opentelemetry/proto/collector/trace/v1), read by the numbers of its fields: an
//! opinion of its own on what the program under test wrote.

use std::collections::BTreeMap;

/// What arrived of a span.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub trace: Vec<u8>,
    pub id: Vec<u8>,
    pub parent: Vec<u8>,
    pub name: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    /// 2 is an error.
    pub status: u64,
}

/// The attributes of who told, and the spans.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub resource: BTreeMap<String, String>,
    pub spans: Vec<Span>,
}

enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl<'b> Value<'b> {
    fn bytes(&self) -> &'b [u8] {
        if let Value::Bytes(bytes) = self { bytes } else { &[] }
    }

    fn number(&self) -> u64 {
        if let Value::Number(number) = self { *number } else { 0 }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("UTF-8")
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a number ends in the middle");
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return number;
        }
    }
    panic!("a number that has no end")
}

fn taken<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at_checked(length).expect("a field ends in the middle");
    *bytes = rest;
    taken
}

/// The fields of a message, in their order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => Value::Number(u64::from_le_bytes(taken(&mut bytes, 8).try_into().expect("eight"))),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                Value::Bytes(taken(&mut bytes, length))
            }
            5 => Value::Number(u32::from_le_bytes(taken(&mut bytes, 4).try_into().expect("four")).into()),
            other => panic!("a field of kind {other}"),
        };
        found.push((key >> 3, value));
    }
    found
}

/// A `KeyValue`; numbers as text.
fn attribute(bytes: &[u8]) -> (String, String) {
    let (mut key, mut text) = (String::new(), String::new());
    for (number, value) in fields(bytes) {
        match number {
            1 => key = value.text(),
            2 => {
                for (kind, value) in fields(value.bytes()) {
                    text = if kind == 1 { value.text() } else { value.number().to_string() };
                }
            }
            _ => {}
        }
    }
    (key, text)
}

fn span(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    for (number, value) in fields(bytes) {
        match number {
            1 => span.trace = value.bytes().to_vec(),
            2 => span.id = value.bytes().to_vec(),
            4 => span.parent = value.bytes().to_vec(),
            5 => span.name = value.text(),
            7 => span.start = value.number(),
            8 => span.end = value.number(),
            9 => span.attributes.extend([attribute(value.bytes())]),
            15 => span.status = fields(value.bytes()).iter().find(|(n, _)| *n == 3).map_or(0, |(_, v)| v.number()),
            _ => {}
        }
    }
    span
}

/// What a request tells.
pub fn told(body: &[u8]) -> Told {
    let mut told = Told::default();
    for (_, of_resource) in fields(body).into_iter().filter(|(number, _)| *number == 1) {
        for (number, value) in fields(of_resource.bytes()) {
            let parts = fields(value.bytes());
            match number {
                1 => told.resource.extend(parts.iter().filter(|(n, _)| *n == 1).map(|(_, v)| attribute(v.bytes()))),
                2 => told.spans.extend(parts.iter().filter(|(n, _)| *n == 2).map(|(_, v)| span(v.bytes()))),
                _ => {}
            }
        }
    }
    told
}

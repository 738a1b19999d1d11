//! The fields of each kind of map, as data: what is read, what is shown when it is wrong, and what is not read yet.

/// A field of a map: its name, whether it must be there, and a value that would be right.
pub(crate) struct Field {
    /// The key.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// A right value, as problems show it.
    pub example: &'static str,
}

/// A field that must be there.
pub(crate) const fn must(name: &'static str, example: &'static str) -> Field {
    Field { name, required: true, example }
}

/// A field that may be there.
pub(crate) const fn may(name: &'static str, example: &'static str) -> Field {
    Field { name, required: false, example }
}

/// The fields of one kind of map: what the decoder takes from it, and the JSON Schema says the same (a test).
pub(crate) struct Shape {
    /// The type's name in the JSON Schema.
    pub name: &'static str,
    /// What a problem calls the map, such as `a network interface`.
    pub what: &'static str,
    /// What it takes.
    pub fields: &'static [Field],
    /// Fields of Reeve's design that this version does not act on yet, and so does not take.
    pub later: &'static [&'static str],
    /// Fields of other systems that people may bring along, with what to write here.
    pub foreign: &'static [(&'static str, &'static str)],
}

impl Shape {
    /// The field of a name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }
}

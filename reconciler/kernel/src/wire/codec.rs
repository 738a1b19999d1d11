//! Reading and writing of fields. A reader never trusts a length and never panics.

use std::fmt;

/// A message that does not have the form it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed message: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Collects the fields of one message.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// The message as bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends the field.
    pub fn put<T: Encode + ?Sized>(&mut self, value: &T) -> &mut Self {
        value.encode(self);
        self
    }
}

/// Takes a message apart, field by field.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next field.
    ///
    /// # Errors
    /// When the message ends too soon or the field is not valid.
    pub fn get<T: Decode>(&mut self) -> Result<T, Malformed> {
        T::decode(self)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed("too short"))?;
        self.0 = rest;
        Ok(head)
    }

    /// Checks that nothing is left over.
    ///
    /// # Errors
    /// When something is.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("too long")) }
    }
}

/// A value that can be a field.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, to: &mut Writer);
}

/// A field that can be read back.
pub trait Decode: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// When it is not there or not valid.
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Encode for $integer {
            fn encode(&self, to: &mut Writer) {
                to.0.extend_from_slice(&self.to_le_bytes());
            }
        }
        impl Decode for $integer {
            fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                let bytes = from.take(size_of::<$integer>())?;
                Ok(Self::from_le_bytes(bytes.try_into().map_err(|_| Malformed("integer"))?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i32);

impl Encode for bool {
    fn encode(&self, to: &mut Writer) {
        u8::from(*self).encode(to);
    }
}

impl Decode for bool {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match u8::decode(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("boolean")),
        }
    }
}

impl Encode for str {
    fn encode(&self, to: &mut Writer) {
        (self.len() as u32).encode(to);
        to.0.extend_from_slice(self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, to: &mut Writer) {
        self.as_str().encode(to);
    }
}

impl Decode for String {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let length = u32::decode(from)? as usize;
        let bytes = from.take(length)?;
        Self::from_utf8(bytes.to_vec()).map_err(|_| Malformed("not UTF-8"))
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, to: &mut Writer) {
        (self.len() as u32).encode(to);
        for item in self {
            item.encode(to);
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, to: &mut Writer) {
        self.as_slice().encode(to);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = u32::decode(from)? as usize;
        // Each item takes a byte at least, so a count above what is left is a lie and must not size an allocation.
        if count > from.0.len() {
            return Err(Malformed("count"));
        }
        (0..count).map(|_| T::decode(from)).collect()
    }
}

/// Texts that may be secrets: whatever shows a message does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub Vec<String>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hidden({})", self.0.len())
    }
}

impl Encode for Hidden {
    fn encode(&self, to: &mut Writer) {
        self.0.encode(to);
    }
}

impl Decode for Hidden {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Vec::decode(from).map(Self)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, to: &mut Writer) {
        self.is_some().encode(to);
        if let Some(value) = self {
            value.encode(to);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if bool::decode(from)? { Some(T::decode(from)?) } else { None })
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, to: &mut Writer) {
        self.0.encode(to);
        self.1.encode(to);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok((A::decode(from)?, B::decode(from)?))
    }
}

/// Declares a struct with its fields, documentation and all, and encodes it field by field in that order.
macro_rules! fields {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        impl $crate::wire::Encode for $name {
            fn encode(&self, to: &mut $crate::wire::Writer) { $(self.$field.encode(to);)* }
        }
        impl $crate::wire::Decode for $name {
            fn decode(from: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::Malformed> {
                Ok(Self { $($field: from.get()?,)* })
            }
        }
    };
}

/// Declares an enum whose variants have a number and unnamed fields, and encodes the number and then the fields.
macro_rules! variants {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident $(($($field:ident: $type:ty),+))? = $tag:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant $(($($type),+))?,)* }
        impl $crate::wire::Encode for $name {
            fn encode(&self, to: &mut $crate::wire::Writer) {
                match self { $(Self::$variant $(($($field),+))? => { to.put::<u8>(&$tag); $($(to.put($field);)+)? })* }
            }
        }
        impl $crate::wire::Decode for $name {
            fn decode(from: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::Malformed> {
                match from.get::<u8>()? {
                    $($tag => Ok(Self::$variant $(($(from.get::<$type>()?),+))?),)*
                    _ => Err($crate::wire::Malformed(concat!("no such ", stringify!($name)))),
                }
            }
        }
        impl $name {
            /// The message as bytes, version first.
            pub fn to_bytes(&self) -> Vec<u8> {
                let mut writer = $crate::wire::Writer::default();
                writer.put::<u8>(&$crate::wire::VERSION).put(self);
                writer.into_bytes()
            }

            /// Reads a whole message.
            ///
            /// # Errors
            /// When it is of another version or not of this form.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, $crate::wire::Malformed> {
                let mut reader = $crate::wire::Reader::new(bytes);
                if reader.get::<u8>()? != $crate::wire::VERSION {
                    return Err($crate::wire::Malformed("of another version"));
                }
                let value = reader.get()?;
                reader.end()?;
                Ok(value)
            }
        }
    };
}

pub(super) use {fields, variants};

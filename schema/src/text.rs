//! Values written as one piece of text: the error they share, and the macro that gives each of them serde and JSON
//! Schema from its `FromStr` and `Display`, so that parsing is written once per type and nowhere else.

use crate::source::printable;

/// Why a text is not a value of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; expected {help}")]
pub struct TextError {
    /// What is wrong with it.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl TextError {
    /// An error of these two halves. They may quote the text as it is: here it becomes one short printable line.
    pub(crate) fn new(message: impl AsRef<str>, help: impl AsRef<str>) -> Self {
        Self { message: printable(message.as_ref(), 200), help: printable(help.as_ref(), 200) }
    }
}

/// Gives a type that has `FromStr<Err = TextError>` and `Display` the traits of a string in serde and schemars.
macro_rules! text_type {
    ($type:ty, $name:literal, $pattern:expr, $description:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}
pub(crate) use text_type;

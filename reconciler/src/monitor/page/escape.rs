//! Text on the status page. Everything that a template puts in goes through here (`askama.toml`): what would be markup is
//! shown as it is written, and what would act on how the text is read is shown as the command line shows it.

use std::fmt::{self, Write};

use askama::filters::Escaper;

use crate::safe_text;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Shown;

/// What stands for a character that is markup, in text and in quoted attributes.
fn markup(character: char) -> Option<&'static str> {
    Some(match character {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

impl Escaper for Shown {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        let mut written = 0;
        for (at, character) in string.char_indices() {
            let acts = safe_text::acts(character);
            let markup = markup(character);
            if !acts && markup.is_none() {
                continue;
            }
            dest.write_str(&string[written..at])?;
            match markup {
                Some(markup) => dest.write_str(markup)?,
                None => dest.write_str(&safe_text::line(character.encode_utf8(&mut [0; 4])))?,
            }
            written = at + character.len_utf8();
        }
        dest.write_str(&string[written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_what_acts_are_shown() {
        let mut out = String::new();
        let text = "a<b>&\"'\u{202e}\x1b[31m\nä\u{feff}";
        Shown.write_escaped_str(&mut out, text).expect("a string takes all");
        assert_eq!(out, "a&lt;b&gt;&amp;&quot;&#39;\\u{202e}^[[31m^Jä\\u{feff}");
    }
}

//! Text from outside, made fit for a line of a log, an error or a terminal.
//!
//! A name or an error text of another node may be long, and may hold line breaks, terminal escapes
//! or marks that change the direction of writing. Shown unchanged, it forges log lines. Every such
//! text passes through [`foreign`].

use std::fmt::{self, Write};

/// Most bytes of a foreign text that are shown.
pub const FOREIGN_BYTES_MAX: usize = 512;

/// A text of another node, in a form that is safe to show.
#[derive(Debug, Clone, Copy)]
pub struct Foreign<'a>(&'a str);

/// Shows `text` safely: invisible characters are escaped, as in `\u{1b}`, and the text is cut after
/// [`FOREIGN_BYTES_MAX`] bytes; the full length then stands behind it.
///
/// ```
/// use antiphon_base::text::foreign;
///
/// assert_eq!(foreign("a\nb").to_string(), r"a\u{a}b");
/// ```
pub fn foreign(text: &str) -> Foreign<'_> {
    Foreign(text)
}

/// Returns whether a character is invisible, or changes how other characters are shown: controls,
/// line separators, marks of direction, characters without width.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The longest beginning of `text` that has at most `bytes_max` bytes.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = cut(self.0, FOREIGN_BYTES_MAX);
        for c in shown.chars() {
            if is_hidden(c) { write!(f, "{}", c.escape_unicode())? } else { f.write_char(c)? }
        }
        if shown.len() < self.0.len() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_terminal_escapes_and_marks_of_direction_are_escaped() {
        let shown = foreign("a\r\n\u{1b}[2Jb\u{202e}c").to_string();
        assert_eq!(shown, r"a\u{d}\u{a}\u{1b}[2Jb\u{202e}c");
        assert_eq!(foreign("Zürich `x` \"y\"").to_string(), "Zürich `x` \"y\"");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_how_long_it_was() {
        let shown = foreign(&"ü".repeat(1000)).to_string();
        assert_eq!(shown, format!("{}… (2000 bytes)", "ü".repeat(256)));
        assert_eq!(cut("aü", 2), "a");
        assert_eq!(cut("aü", 9), "aü");
    }
}

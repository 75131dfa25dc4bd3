//! Rust source text as tokens: identifiers, strings and punctuation, without comments.
//!
//! The rules of the house read code, not comments, and a word in a string is no identifier. This
//! lexer knows as much of the language as these rules need.

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword.
    Word,
    /// A string literal of any form, without its quotes.
    Text,
    /// A character, a number or a lifetime.
    Literal,
    /// `::`, or one other character.
    Sign,
}

/// A piece of code and its line, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: &'static str,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

/// The tokens of a source file.
pub(crate) fn tokens(source: &'static str) -> Vec<Token> {
    let mut lexer = Lexer { source, at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < source.len() {
        lexer.next();
    }
    lexer.tokens
}

struct Lexer {
    source: &'static str,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn rest(&self) -> &'static str {
        &self.source[self.at..]
    }

    /// Moves over the next bytes, and counts their lines.
    fn skip(&mut self, length: usize) -> &'static str {
        let text = &self.source[self.at..self.at + length];
        self.line += text.matches('\n').count();
        self.at += length;
        text
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let line = self.line;
        let text = self.skip(length);
        self.tokens.push(Token { kind, text, line });
    }

    fn next(&mut self) {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(comment_length(rest));
        } else if let Some((open, close)) = string_ends(rest) {
            self.string(open, &close);
        } else if first.is_alphabetic() || first == '_' {
            self.push(Kind::Word, word_length(rest));
        } else if first.is_ascii_digit() {
            self.push(Kind::Literal, word_length(rest));
        } else if first == '\'' {
            self.push(Kind::Literal, quote_length(rest));
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            self.push(Kind::Sign, length);
        }
    }

    /// A string whose opening has a length, and whose end is this text.
    fn string(&mut self, open: usize, close: &str) {
        self.skip(open);
        let rest = self.rest();
        let length = if close == "\"" {
            let mut escaped = false;
            let end = rest.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.unwrap_or(rest.len())
        } else {
            rest.find(close).unwrap_or(rest.len())
        };
        self.push(Kind::Text, length);
        self.skip(close.len().min(self.rest().len()));
    }
}

/// The length of the opening of a string literal, and its end.
fn string_ends(rest: &str) -> Option<(usize, String)> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if body.starts_with('"') {
        return Some((prefix + 1, "\"".into()));
    }
    let raw = body.strip_prefix('r')?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    raw[hashes..].starts_with('"').then_some((prefix + 2 + hashes, close))
}

fn word_length(rest: &str) -> usize {
    let raw = if rest.starts_with("r#") { 2 } else { 0 };
    let end = rest[raw..].find(|c: char| !c.is_alphanumeric() && c != '_');
    end.map_or(rest.len(), |end| end + raw)
}

/// The length of a block comment, which may have others in it.
fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a character literal or of a lifetime.
fn quote_length(rest: &str) -> usize {
    let mut inner = rest.char_indices().skip(1);
    match inner.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(rest.len(), |end| end + 4),
        Some((_, _)) => match inner.next() {
            Some((at, '\'')) => at + 1,
            Some(_) | None => 1 + word_length(&rest[1..]).max(1),
        },
        None => 1,
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let source =
        "//! a\nfn b(x: &'c str) { /* d /* e */ */ f::g('h', '\\'', b\"i \\\" j\", r#\"k\"\"#) }";
    let of = |kind| -> Vec<&str> {
        tokens(source).iter().filter(|token| token.kind == kind).map(|token| token.text).collect()
    };
    assert_eq!(of(Kind::Word), ["fn", "b", "x", "str", "f", "g"]);
    assert_eq!(of(Kind::Text), ["i \\\" j", "k\""]);
    assert_eq!(of(Kind::Literal), ["'c", "'h'", "'\\''"]);
    assert!(tokens(source).iter().all(|token| token.line == 2));
}

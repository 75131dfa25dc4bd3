//! A source file: its text, its tokens, and the lines that count as code.

use std::collections::BTreeSet;

use crate::lexer::{Token, tokens};
use crate::syntax::without_tests;

/// A source file.
pub(crate) struct Source {
    /// The path below the root, with `/`.
    pub(crate) name: String,
    pub(crate) text: &'static str,
    pub(crate) tokens: Vec<Token>,
    /// The code without items below `#[cfg(test)]`.
    pub(crate) code: Vec<Token>,
    /// The lines of those items.
    pub(crate) test_lines: BTreeSet<usize>,
    /// The file is compiled for tests or benchmarks only.
    pub(crate) is_test: bool,
}

impl Source {
    /// A file of this name with this text.
    pub(crate) fn new(name: &str, text: &'static str) -> Self {
        let tokens = tokens(text);
        let (code, test_lines) = without_tests(&tokens);
        let mut folders = name.split('/').rev().skip(1);
        let is_test = folders.any(|folder| folder == "tests" || folder == "benches");
        let is_test = is_test || name.ends_with("/tests.rs");
        Self { name: name.to_owned(), text, tokens, code, test_lines, is_test }
    }

    /// Lines of code without blank lines, comments, and items below `#[cfg(test)]`.
    pub(crate) fn code_lines(&self) -> usize {
        let lines = self.text.lines().enumerate();
        let lines = lines.filter(|(index, _)| !self.test_lines.contains(&(index + 1)));
        lines.filter(|(_, line)| is_code(line)).count()
    }

    /// The folder of the crate that the file belongs to, of these.
    pub(crate) fn crate_folder<'a>(&self, folders: &'a [String]) -> &'a str {
        let of = folders.iter().filter(|folder| is_below(&self.name, folder));
        of.max_by_key(|folder| folder.len()).map_or("", String::as_str)
    }
}

pub(crate) fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

pub(crate) fn is_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

//! The sizes of files and functions.

use crate::house::House;
use crate::measure::Measure;
use crate::source::{Source, is_code};
use crate::syntax::group_length;

/// Most code lines of a file.
const FILE_LINES_MAX: usize = 400;
/// Most code lines of the file in the middle of all.
const FILE_LINES_MEDIAN_MAX: usize = 100;
/// Most code lines that nine of ten files have.
const FILE_LINES_P90_MAX: usize = 260;
/// Most code lines of a function's body, of a test's too; `clippy.toml` has the same number.
const FUNCTION_LINES_MAX: usize = 70;

/// Code lines of all files, the fewest first.
fn file_lines(house: &House) -> Vec<usize> {
    let mut lines: Vec<usize> = house.sources.iter().map(Source::code_lines).collect();
    lines.sort_unstable();
    lines
}

fn quantile(sorted: &[usize], percent: usize) -> usize {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The functions of a file, each with the code lines of its body.
fn functions(source: &Source) -> Vec<(&'static str, usize, usize)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    for (at, pair) in source.tokens.windows(2).enumerate() {
        let [word, name] = pair else { continue };
        if !word.is_word("fn") || name.is("(") {
            continue;
        }
        let rest = &source.tokens[at..];
        let Some(body) = body(rest) else { continue };
        let (open, close) = (body[0].line, body[body.len() - 1].line);
        let inner = lines.iter().take(close - 1).skip(open);
        found.push((name.text, word.line, inner.filter(|line| is_code(line)).count()));
    }
    found
}

/// The body of the function that begins here; a declaration in a trait has none.
fn body(rest: &[crate::lexer::Token]) -> Option<&[crate::lexer::Token]> {
    let mut at = 1;
    while at < rest.len() {
        let token = &rest[at];
        if token.is(";") || token.is("}") {
            return None;
        }
        let length = group_length(&rest[at..]);
        if token.is("{") {
            return Some(&rest[at..at + length]);
        }
        at += length;
    }
    None
}

/// The functions over the limit, and the number of all functions.
fn long_functions(house: &House) -> (Vec<String>, usize) {
    let mut count = 0;
    let mut long = Vec::new();
    for source in &house.sources {
        for (name, line, lines) in functions(source) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{}:{line}: `{name}` has {lines} lines", source.name));
            }
        }
    }
    (long, count)
}

pub(crate) fn measures(house: &House) -> Vec<Measure> {
    let lines = file_lines(house);
    let (median, p90) = (quantile(&lines, 50), quantile(&lines, 90));
    let max = lines.last().copied().unwrap_or(0);
    let (long, functions) = long_functions(house);
    vec![
        Measure::new("code lines of a file: median", median, "100", median <= 100).of(lines.len()),
        Measure::new("code lines of a file: 90th percentile", p90, "260", p90 <= 260)
            .of(lines.len()),
        Measure::new("code lines of a file: most", max, "400", max <= FILE_LINES_MAX)
            .of(lines.len()),
        Measure::new("functions over 70 lines", long.len(), "0", long.is_empty()).of(functions),
    ]
}

#[test]
fn files_are_small() {
    let house = House::get();
    let large = house.sources.iter().filter(|source| source.code_lines() > FILE_LINES_MAX);
    let large: Vec<&str> = large.map(|source| source.name.as_str()).collect();
    assert!(large.is_empty(), "more than {FILE_LINES_MAX} code lines: {large:#?}");
    let lines = file_lines(house);
    let (median, p90) = (quantile(&lines, 50), quantile(&lines, 90));
    assert!(median <= FILE_LINES_MEDIAN_MAX, "median {median}, at most {FILE_LINES_MEDIAN_MAX}");
    assert!(p90 <= FILE_LINES_P90_MAX, "90th percentile {p90}, at most {FILE_LINES_P90_MAX}");
}

#[test]
fn functions_are_short() {
    let house = House::get();
    let (long, _) = long_functions(house);
    assert!(long.is_empty(), "more than {FUNCTION_LINES_MAX} lines:\n{}", long.join("\n"));
    // the lint of clippy must not be hidden either; generated code is the exception
    let hidden = house.sources.iter().filter(|source| {
        let generated = source.text.contains("reason = \"generated\"");
        !generated && source.tokens.iter().any(|token| token.is_word("too_many_lines"))
    });
    let hidden: Vec<&str> = hidden.map(|source| source.name.as_str()).collect();
    let hides = hidden.iter().filter(|name| **name != "tests/tidy/sizes.rs").collect::<Vec<_>>();
    assert!(hides.is_empty(), "`too_many_lines` is hidden in {hides:#?}");
}

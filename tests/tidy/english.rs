//! Plain English in comments: their width, how doc lines begin, and phrases that are riddles.
//!
//! A doc sentence begins with its noun or a verb and names the thing. These rules find the most
//! frequent faults only; a good comment needs more than to pass them.

use crate::house::House;
use crate::measure::Measure;

/// Most columns of a comment line.
const COLUMNS_MAX: usize = 100;

/// Most doc lines, of a thousand, that begin with one of `OPENINGS`.
const OPENINGS_MAX_PER_THOUSAND: usize = 15;

/// Words that begin a riddle more often than a sentence.
const OPENINGS: [&str; 19] = [
    "What", "Who", "Whom", "Whose", "Whoever", "Whatever", "It", "Those", "That", "They",
    "Whether", "How", "One", "Where", "When", "Which", "This", "These", "There",
];

const BANNED: [&str; 8] = [
    "that which",
    "what may be",
    "the one that which",
    "middle of nowhere",
    "the one which",
    "is no end",
    "one may begin",
    "somebody else has",
];

/// The faults of all comments.
#[derive(Default)]
struct Found {
    wide: Vec<String>,
    banned: Vec<String>,
    openings: Vec<String>,
    doc_lines: usize,
}

fn found(house: &House) -> Found {
    let mut found = Found::default();
    for source in house.sources.iter().filter(|source| source.name != "tests/tidy/english.rs") {
        for (number, line) in source.text.lines().enumerate() {
            let at = || format!("{}:{}: {}", source.name, number + 1, line.trim());
            let comment = line.trim_start();
            if !comment.starts_with("//") {
                continue;
            }
            if line.chars().count() > COLUMNS_MAX {
                found.wide.push(at());
            }
            let lower = comment.to_lowercase();
            for phrase in BANNED.iter().filter(|phrase| lower.contains(**phrase)) {
                found.banned.push(format!("`{phrase}`: {}", at()));
            }
            let doc = comment.strip_prefix("/// ").or_else(|| comment.strip_prefix("//! "));
            let Some(doc) = doc else { continue };
            found.doc_lines += 1;
            if doc.split_whitespace().next().is_some_and(|first| OPENINGS.contains(&first)) {
                found.openings.push(at());
            }
        }
    }
    found
}

impl Found {
    fn openings_hold(&self) -> bool {
        self.openings.len() * 1000 <= self.doc_lines * OPENINGS_MAX_PER_THOUSAND
    }
}

pub(crate) fn measures(house: &House) -> Vec<Measure> {
    let found = found(house);
    let (wide, banned) = (found.wide.len(), found.banned.len());
    let openings = found.openings.len() * 1000 / found.doc_lines.max(1);
    let of = found.doc_lines;
    vec![
        Measure::new("riddles among 1000 openings of docs", openings, "15", found.openings_hold())
            .of(of),
        Measure::new("comments over 100 columns", wide, "0", wide == 0).of(of),
        Measure::new("banned phrases", banned, "0", banned == 0).of(of),
    ]
}

#[test]
fn comments_are_plain_english() {
    let found = found(House::get());
    assert!(found.doc_lines > 5_000, "only {} doc lines found", found.doc_lines);
    let (wide, banned) = (found.wide.join("\n"), found.banned.join("\n"));
    assert!(found.wide.is_empty(), "more than {COLUMNS_MAX} columns:\n{wide}");
    assert!(found.banned.is_empty(), "banned phrases:\n{banned}");
    assert!(
        found.openings_hold(),
        "{} of {} doc lines begin with a riddle:\n{}",
        found.openings.len(),
        found.doc_lines,
        found.openings.join("\n")
    );
}

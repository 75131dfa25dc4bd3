//! Plain English in comments: their width, how doc lines begin, and phrases that are riddles.
//!
//! A doc sentence begins with its noun or a verb and names the thing. These rules find the most
//! frequent faults only; a good comment needs more than to pass them.

use super::{collect, root};

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

#[test]
fn comments_are_plain_english() {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &mut files);
    let (mut complaints, mut openings, mut doc_lines) = (Vec::new(), Vec::new(), 0);
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let name = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        if name == "tests/tidy/english.rs" {
            continue;
        }
        let text = std::fs::read_to_string(file).expect("a readable file");
        for (number, line) in text.lines().enumerate() {
            let at = || format!("{name}:{}: {}", number + 1, line.trim());
            let comment = line.trim_start();
            if !comment.starts_with("//") {
                continue;
            }
            if line.chars().count() > COLUMNS_MAX {
                complaints.push(format!("more than {COLUMNS_MAX} columns: {}", at()));
            }
            let lower = comment.to_lowercase();
            for phrase in BANNED.iter().filter(|phrase| lower.contains(**phrase)) {
                complaints.push(format!("`{phrase}`: {}", at()));
            }
            let doc = comment.strip_prefix("/// ").or_else(|| comment.strip_prefix("//! "));
            let Some(doc) = doc else { continue };
            doc_lines += 1;
            if doc.split_whitespace().next().is_some_and(|first| OPENINGS.contains(&first)) {
                openings.push(at());
            }
        }
    }
    assert!(doc_lines > 5_000, "only {doc_lines} doc lines found below {}", root.display());
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(
        openings.len() * 1000 <= doc_lines * OPENINGS_MAX_PER_THOUSAND,
        "{} of {doc_lines} doc lines begin with a riddle:\n{}",
        openings.len(),
        openings.join("\n")
    );
}

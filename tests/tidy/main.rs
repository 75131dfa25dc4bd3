//! Rules of the house that neither rustfmt nor clippy knows.
//!
//! - every source file starts with a module doc;
//! - no file has more than 400 code lines (tests below `#[cfg(test)]` not counted);
//! - a pure core (a file with a `pub fn step(`) has no `async`, no clock, no randomness, no hash
//!   order;
//! - no member manifest names a version: versions are in the root manifest;
//! - comments are plain English ([`english`]).

mod english;

use std::fs;
use std::path::{Path, PathBuf};

const CODE_LINES_MAX: usize = 400;
const FORBIDDEN_IN_CORES: [&str; 7] =
    ["async ", ".await", "ractor::", "::now(", "rand::", "HashMap", "HashSet"];

#[test]
fn every_source_file_keeps_the_rules_of_the_house() {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "only {} files found below {}", files.len(), root.display());

    let complaints: Vec<String> = files.iter().flat_map(|file| complaints(&root, file)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, files);
            }
        } else if name == "Cargo.toml" || name.ends_with(".rs") {
            files.push(path);
        }
    }
}

fn complaints(root: &Path, file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a readable file");
    let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
    if name.ends_with("Cargo.toml") {
        return manifest_complaints(&name, &text);
    }
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!("{name}: the first line is no module doc (`//!`)"));
    }
    let code: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
        .collect();
    if code.len() > CODE_LINES_MAX {
        found.push(format!("{name}: {} code lines, at most {CODE_LINES_MAX}", code.len()));
    }
    if code.iter().any(|(_, line)| line.trim_start().starts_with("pub fn step(")) {
        for (number, line) in code {
            for word in FORBIDDEN_IN_CORES.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{name}:{}: `{word}` in a pure core", number + 1));
            }
        }
    }
    found
}

fn manifest_complaints(name: &str, text: &str) -> Vec<String> {
    if name == "Cargo.toml" {
        return Vec::new();
    }
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.contains("version = \"") || line.contains("= \"="))
        .map(|(number, line)| {
            format!("{name}:{}: a version belongs into the root: {line}", number + 1)
        })
        .collect()
}

//! The catalogue, the page that is written from it, and the source text are the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{AREAS, Entry, Kind, find};

const PAGE: &str = "docs/metrics.md";
const HEAD: &str = "\
# Metrics

`/metrics` of a node has these families. The page is written from `runtime/src/metrics/catalogue`:
`UPDATE=1 cargo test -p antiphon-runtime catalogue` writes it anew. The metrics of `antiphon-replicator`
are in [operations.md](replicator/operations.md).
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    AREAS.iter().flat_map(|area| area.entries)
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for area in AREAS {
        write!(page, "\n## {}\n\n", area.title).unwrap();
        page.push_str("| metric | kind | unit | labels | meaning | series | what to do |\n");
        page.push_str("|---|---|---|---|---|---|---|\n");
        for entry in area.entries {
            let labels: Vec<String> =
                entry.labels.iter().map(|label| format!("`{label}`")).collect();
            let Entry { name, kind, unit, help, series, action, .. } = entry;
            let kind = format!("{kind:?}").to_lowercase();
            let labels = labels.join(", ");
            writeln!(
                page,
                "| `{name}` | {kind} | {unit} | {labels} | {help} | {series} | {action} |"
            )
            .unwrap();
        }
    }
    page
}

/// The files below `folder` that end with `ending`, without tests and build output.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_skipped = ["target", "tests", "benches", "examples", "node_modules"];
        if path.is_dir() {
            if !name.starts_with('.') && !is_skipped.contains(&name.as_str()) {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The text of a string literal that begins at the start of `text`, and the rest behind it.
fn literal(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start().strip_prefix('"')?;
    text.split_once('"')
}

#[derive(Debug)]
struct Registration<'a> {
    name: &'a str,
    kind: Kind,
    /// Its text and labels, unless they are those of the catalogue.
    own: Option<(&'a str, Vec<&'a str>)>,
}

fn registrations(source: &str) -> Vec<Registration<'_>> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = Vec::new();
    for (call, kind, has_labels) in [
        ("counters", Kind::Counter, true),
        ("counter", Kind::Counter, false),
        ("gauges", Kind::Gauge, true),
        ("gauge", Kind::Gauge, false),
        ("histograms", Kind::Histogram, true),
        ("histogram", Kind::Histogram, false),
    ] {
        for (suffix, is_own) in [("(", true), ("_of(", false)] {
            for (at, call) in source.match_indices(&format!(".{call}{suffix}")) {
                let is_update = source[..at].ends_with('.');
                let Some((name, rest)) = literal(&source[at + call.len()..]) else { continue };
                if is_update {
                    continue;
                }
                let own = is_own.then(|| {
                    let (help, rest) = literal(rest.trim_start_matches(',')).expect(name);
                    let labels = rest.split_once("&[").map_or("", |(_, rest)| rest);
                    let labels = labels.split_once(']').map_or("", |(labels, _)| labels);
                    let labels = if has_labels { labels } else { "" };
                    let names = labels.split(',').map(|label| label.trim().trim_matches('"'));
                    (help, names.filter(|name| !name.is_empty()).collect())
                });
                found.push(Registration { name, kind, own });
            }
        }
    }
    found
}

#[test]
fn page_about_the_metrics_is_that_of_the_catalogue() {
    let path = root().join(PAGE);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page(),
        "{PAGE} is not that of the catalogue: `UPDATE=1 cargo test -p antiphon-runtime catalogue`"
    );
}

#[test]
fn every_metric_of_the_source_is_in_the_catalogue_and_the_other_way_round() {
    let mut sources = Vec::new();
    for folder in ["runtime", "cluster", "sharding", "node", "persistence", "antiphon"] {
        files(&root().join(folder), ".rs", &mut sources);
    }
    let mut registered = BTreeSet::new();
    for path in &sources {
        let source = std::fs::read_to_string(path).unwrap();
        for Registration { name, kind, own } in registrations(&source) {
            if !name.starts_with("antiphon_") {
                continue;
            }
            let path = path.display();
            let entry = find(name).unwrap_or_else(|| panic!("{path}: {name} is not listed"));
            assert_eq!(entry.kind, kind, "{path}: {name}");
            if let Some((help, labels)) = own {
                assert_eq!((entry.help, entry.labels), (help, &labels[..]), "{path}: {name}");
            }
            registered.insert(name.to_owned());
        }
    }
    // the node makes the names of the journal's counts from the names that its store gives them
    let is_made = |name: &str| {
        name == "antiphon_journal_{count}" || name.starts_with("antiphon_journal_statement_")
    };
    let listed: BTreeSet<String> =
        entries().map(|entry| entry.name.to_owned()).filter(|name| !is_made(name)).collect();
    assert_eq!(listed, registered, "listed, and registered in the source");
}

#[test]
fn every_metric_that_a_page_names_is_in_the_catalogue() {
    let mut pages = Vec::new();
    files(&root().join("docs"), ".md", &mut pages);
    files(&root().join("deploy"), ".md", &mut pages);
    files(&root().join("persistence"), ".md", &mut pages);
    let mut count = 0;
    for path in pages {
        let page = std::fs::read_to_string(&path).unwrap();
        for part in page.split('`').skip(1).step_by(2) {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let name: String = part.chars().take_while(|c| is_name(*c)).collect();
            let is_crate = root().join(name.replace("antiphon_", "")).is_dir()
                || ["antiphon_replicator", "antiphon_eventstore"].contains(&name.as_str());
            if name.starts_with("antiphon_") && !is_crate && !part.contains("::") {
                let is_count = name.starts_with("antiphon_journal_") && part.contains("{count}");
                assert!(is_count || find(&name).is_some(), "{}: {name}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 10, "the pages name metrics");
}

#[test]
fn entries_are_sorted_and_complete() {
    for area in AREAS {
        assert!(area.entries.is_sorted_by(|a, b| a.name < b.name), "{}", area.title);
    }
    for entry in entries() {
        assert!(entry.name.starts_with("antiphon_"), "{}", entry.name);
        let is_total = entry.name.ends_with("_total");
        assert_eq!(is_total, entry.kind == Kind::Counter, "{}", entry.name);
        for text in [entry.unit, entry.help, entry.series, entry.action] {
            assert!(!text.is_empty() && !text.contains('|'), "{}: {text:?}", entry.name);
        }
    }
}

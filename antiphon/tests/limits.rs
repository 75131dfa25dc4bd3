//! `docs/guide/limits.md` lists every bound of a setting as `deploy/node.toml` documents it, and
//! the bounds that are constants. `UPDATE=1` writes the page anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write;

use antiphon::persistence::codec::{
    DEPTH_MAX, EMPTY_ELEMENTS_MAX, PAYLOAD_BYTES_MAX, STATE_BYTES_MAX,
};
use antiphon::persistence::event::{
    MANIFEST_BYTES_MAX, METADATA_BYTES_MAX, METADATA_COUNT_MAX, METADATA_KEY_BYTES_MAX,
    TAG_BYTES_MAX, TAGS_MAX,
};
use antiphon::persistence::shape::EVENT_KINDS_MAX;

const SETTINGS: &str = include_str!("../../deploy/node.toml");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/limits.md");

const HEAD: &str = "# Limits\n\nEach queue, buffer, retry and wait has a bound. This page is written by a test from [deploy/node.toml](../../deploy/node.toml), which explains every setting, and from the constants of the code:\n`UPDATE=1 cargo test -p antiphon --test limits`.\n";

/// A setting with a bound.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    default: String,
    most: String,
    meaning: String,
}

/// The settings whose comments say `At most`.
fn limits(text: &str) -> Vec<Limit> {
    let (mut limits, mut table, mut comment) = (Vec::new(), String::new(), String::new());
    for line in text.lines() {
        let optional = line.strip_prefix("# ").filter(|rest| is_setting(rest));
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned();
            comment.clear();
        } else if let Some((name, default)) = optional
            .or(Some(line))
            .filter(|line| is_setting(line))
            .and_then(|it| it.split_once(" = "))
        {
            if let Some((_, most)) = comment.split_once("At most ") {
                let most = most.split(". ").next().unwrap_or(most).trim_end_matches('.');
                let meaning = comment.split(". ").next().unwrap_or(&comment).trim_end_matches('.');
                limits.push(Limit {
                    name: if table.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{table}.{name}")
                    },
                    default: default.split("  #").next().unwrap_or(default).trim().to_owned(),
                    most: most.to_owned(),
                    meaning: meaning.to_owned(),
                });
            }
            comment.clear();
        } else if let Some(more) = line.strip_prefix("# ") {
            comment += if comment.is_empty() { "" } else { " " };
            comment += more;
        } else {
            comment.clear();
        }
    }
    limits
}

/// Returns whether a line sets a key: a name of small letters, and a value.
fn is_setting(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|it| it.is_ascii_lowercase() || it == '_')
    })
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let constants: [(&str, usize, &str); 11] = [
        (
            "EVENT_KINDS_MAX",
            EVENT_KINDS_MAX,
            "kinds of events (manifest and version) of an entity type, by place",
        ),
        ("MANIFEST_BYTES_MAX", MANIFEST_BYTES_MAX, "bytes of a manifest"),
        (
            "PAYLOAD_BYTES_MAX",
            PAYLOAD_BYTES_MAX,
            "bytes of an encoded event; a store may have less",
        ),
        ("STATE_BYTES_MAX", STATE_BYTES_MAX, "bytes of an encoded state; a store may have less"),
        ("DEPTH_MAX", DEPTH_MAX, "levels of nesting of an encoded value"),
        ("EMPTY_ELEMENTS_MAX", EMPTY_ELEMENTS_MAX, "elements without a byte in an encoded value"),
        ("TAGS_MAX", TAGS_MAX, "tags of an event"),
        ("TAG_BYTES_MAX", TAG_BYTES_MAX, "bytes of a tag"),
        ("METADATA_COUNT_MAX", METADATA_COUNT_MAX, "entries of metadata"),
        ("METADATA_KEY_BYTES_MAX", METADATA_KEY_BYTES_MAX, "bytes of a key of metadata"),
        ("METADATA_BYTES_MAX", METADATA_BYTES_MAX, "bytes of all keys and values of metadata"),
    ];
    page += "\n## Events and states\n\n| constant | value | what |\n|---|---|---|\n";
    for (name, value, what) in constants {
        writeln!(page, "| `{name}` | {value} | {what} |").unwrap();
    }
    page += "\n## Settings\n\n| setting | default | at most | what |\n|---|---|---|---|\n";
    for Limit { name, default, most, meaning } in limits(SETTINGS) {
        let [most, meaning] = [most, meaning].map(|text| text.replace('|', "\\|"));
        writeln!(page, "| `{name}` | `{default}` | {most} | {meaning} |").unwrap();
    }
    page
}

#[test]
fn the_page_of_limits_is_that_of_the_settings_and_the_constants() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(page, written)| page != written);
    assert!(written == page, "run it with UPDATE=1: {differs:?}");
}

#[test]
fn a_bound_is_read_with_its_default_and_its_table() {
    let text = "# How many. At most 5.\ncount = 2\n[a.b]\n# A wait. It is long. At most 1h.\n# wait = \"1s\"  # or more\n# No bound.\nfree = 1\n";
    let limit = |name: &str, default: &str, most: &str, meaning: &str| Limit {
        name: name.into(),
        default: default.into(),
        most: most.into(),
        meaning: meaning.into(),
    };
    let expected =
        [limit("count", "2", "5", "How many"), limit("a.b.wait", "\"1s\"", "1h", "A wait")];
    assert_eq!(limits(text), expected);
    assert!(limits(SETTINGS).len() > 100, "only {}", limits(SETTINGS).len());
}

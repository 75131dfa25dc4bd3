//! Files that name a kind of store: a new store must need no edit in them.

use crate::house::House;
use crate::lexer::Kind;
use crate::measure::Measure;
use crate::source::is_below;

/// Most files that name a kind of store, outside the crate of that kind.
const FILES_MAX: usize = 2;
/// The kinds, and where each is named rightly: its own crate, and examples about it.
const KINDS: [(&str, &[&str]); 2] = [
    ("cassandra", &["persistence/cassandra", "examples/move-to-cassandra"]),
    ("sqlite", &["persistence/sqlite", "examples/move-to-cassandra"]),
];

/// Files without tests and benchmarks that have the kind in an identifier or a string.
fn files(house: &House) -> Vec<&str> {
    let names = |name: &str, text: &str| {
        let text = text.to_lowercase();
        KINDS.iter().any(|(kind, rooms)| {
            text.contains(kind) && !rooms.iter().any(|room| is_below(name, room))
        })
    };
    let files = house.sources.iter().filter(|source| !source.is_test).filter(|source| {
        let code = source.code.iter().filter(|token| matches!(token.kind, Kind::Word | Kind::Text));
        code.into_iter().any(|token| names(&source.name, token.text))
    });
    files.map(|source| source.name.as_str()).collect()
}

pub(crate) fn measure(house: &House) -> Measure {
    let files = files(house).len();
    Measure::new("files that name a kind of store", files, "2", files <= FILES_MAX)
        .of(house.sources.len())
}

#[test]
fn kinds_of_stores_are_named_in_two_files() {
    let files = files(House::get());
    assert!(files.len() <= FILES_MAX, "{} files name a kind of store: {files:#?}", files.len());
}

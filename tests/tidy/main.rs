//! Rules of the house that neither rustfmt nor clippy knows, and measures of the house.
//!
//! - every source file starts with a module doc and belongs to a crate;
//! - no member manifest names a version: versions are in the root manifest;
//! - files and functions are small ([`sizes`]), and no more than two files need each other
//!   ([`circles`]);
//! - a pure core has no `async`, no clock, no randomness, no hash order, and checks itself
//!   ([`cores`]); the stores assert what data hangs on ([`assertions`]);
//! - two files at most name a kind of store outside its crate ([`kinds`]);
//! - the replicator has a limit of its own ([`replicator`]);
//! - comments are plain English ([`english`]); the names that documents mention exist, and tests
//!   are named after behaviour ([`names`]); each item of the prelude has an example ([`prelude`]).
//!
//! `cargo test -p antiphon-tests --test tidy -- --nocapture` prints all measures ([`table`]).

mod assertions;
mod circles;
mod cores;
mod english;
mod house;
mod kinds;
mod lexer;
mod measure;
mod modules;
mod names;
mod prelude;
mod reader;
mod replicator;
mod sizes;
mod source;
mod syntax;
mod table;

use house::House;

#[test]
fn every_source_file_has_a_module_doc_and_a_crate() {
    let house = House::get();
    let mut complaints = Vec::new();
    for (index, source) in house.sources.iter().enumerate() {
        if !source.text.starts_with("//!") {
            complaints.push(format!("{}: the first line is no `//!`", source.name));
        }
        if !house.modules.by_file.contains_key(&index) {
            complaints.push(format!("{}: no crate has this file", source.name));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn versions_are_in_the_root_manifest() {
    let members = House::get().manifests.iter().filter(|(name, _)| *name != "Cargo.toml");
    let mut complaints = Vec::new();
    for (name, text) in members {
        let versions = text.lines().enumerate();
        let versions =
            versions.filter(|(_, line)| line.contains("version = \"") || line.contains("= \"="));
        complaints.extend(versions.map(|(number, line)| format!("{name}:{}: {line}", number + 1)));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

//! Each item of the prelude has an example in its documentation.

use crate::house::House;
use crate::source::Source;

/// Items that are defined under another name.
const RENAMED: [(&str, &str); 1] = [("AskError", "ReplyError")];

/// The names of the items in `pub mod prelude`.
fn items(text: &str) -> Vec<String> {
    let begin = text.find("pub mod prelude {").expect("a prelude");
    let body = &text[begin..];
    let body = &body[..body.find("\n}").expect("its end")];
    let words = body.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let is_item = |word: &&str| word.starts_with(char::is_uppercase);
    words.filter(is_item).map(str::to_owned).collect()
}

/// Returns whether the file has the item, with an example before it; `None`: it has not the item.
fn has_example(source: &Source, item: &str) -> Option<bool> {
    let lines: Vec<&str> = source.text.lines().collect();
    let is_item = |line: &&str| {
        let name = ["struct", "enum", "trait", "type"]
            .into_iter()
            .find_map(|kind| line.strip_prefix(&format!("pub {kind} {item}")));
        name.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let at = lines.iter().position(is_item)?;
    let before = lines[..at].iter().rev();
    let docs = before
        .take_while(|line| ["///", "#[", " ", ")]"].iter().any(|begin| line.starts_with(begin)));
    Some(docs.into_iter().any(|line| line.starts_with("/// ```")))
}

#[test]
fn each_item_of_the_prelude_has_an_example() {
    let house = House::get();
    let library = house.sources.iter().find(|source| source.name == "antiphon/src/lib.rs");
    let items = items(library.expect("the library").text);
    assert!(items.len() > 30, "{items:?}");
    let mut complaints = Vec::new();
    for item in &items {
        let renamed = RENAMED.iter().find(|(name, _)| name == item);
        let name = renamed.map_or(item.as_str(), |(_, name)| *name);
        let crates = ["base/", "persistence/src/", "runtime/", "sharding/"];
        let sources = house.sources.iter().filter(|source| {
            !source.is_test && crates.iter().any(|folder| source.name.starts_with(folder))
        });
        let found: Vec<bool> = sources.filter_map(|source| has_example(source, name)).collect();
        if !found.contains(&true) {
            complaints
                .push(format!("`{item}`: found {} times, never with an example", found.len()));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

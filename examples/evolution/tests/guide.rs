//! Each snippet of Rust in `docs/guide/evolution.md` is a part of this example, which is compiled
//! and tested.

const GUIDE: &str = include_str!("../../../docs/guide/evolution.md");
const SOURCES: [&str; 4] = [
    include_str!("../src/one.rs"),
    include_str!("../src/two.rs"),
    include_str!("../src/recipes.rs"),
    include_str!("../src/settings.rs"),
];

/// The lines without their indentation.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_snippet_of_the_guide_is_code_of_this_example() {
    let sources = SOURCES.map(lines);
    let snippets: Vec<&str> = GUIDE.split("```rust\n").skip(1).collect();
    assert!(snippets.len() >= 8, "only {} snippets", snippets.len());
    for snippet in snippets {
        let (snippet, _) = snippet.split_once("```").expect("an end of the snippet");
        // dots stand for code that is left out
        for part in snippet.split("// ..") {
            let part = lines(part);
            assert!(sources.iter().any(|source| source.contains(&part)), "not in `src`:\n{part}");
        }
    }
}

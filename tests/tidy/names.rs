//! Names in prose: files, modules and items that documents and comments mention exist, and tests
//! are named after behaviour.

use std::collections::BTreeSet;
use std::fs;

use crate::house::House;
use crate::lexer::Kind;
use crate::measure::Measure;
use crate::modules::DEPTH;
use crate::source::Source;

/// Documents about the past, which name what is gone.
const HISTORY: [&str; 1] = ["CHANGELOG.md"];

/// A name in backticks, in prose.
struct Mention {
    place: String,
    /// The module of the source file, for paths that begin with `super`.
    module: Option<usize>,
    /// The text before the name.
    before: String,
    name: String,
}

/// All names in backticks in documents and comments.
fn mentions(house: &House) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let documents = house.files.iter().filter(|name| name.ends_with(".md"));
    for name in documents.filter(|name| !HISTORY.contains(&name.as_str())) {
        let text = fs::read_to_string(house.root.join(name)).expect("a readable document");
        for (number, line) in text.lines().enumerate() {
            add(&mut mentions, line, format!("{name}:{}", number + 1), None);
        }
    }
    for (index, source) in house.sources.iter().enumerate() {
        let module = house.modules.by_file.get(&index).map(|modules| modules[0]);
        for (number, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("//") {
                add(&mut mentions, line, format!("{}:{}", source.name, number + 1), module);
            }
        }
    }
    mentions
}

fn add(mentions: &mut Vec<Mention>, line: &str, place: String, module: Option<usize>) {
    let parts: Vec<&str> = line.split('`').collect();
    for (at, name) in parts.iter().enumerate().skip(1).step_by(2) {
        let before = parts[at - 1];
        let is_closed = at + 1 < parts.len();
        if is_closed && !name.is_empty() {
            let (before, name) = (before.to_owned(), (*name).to_owned());
            mentions.push(Mention { place: place.clone(), module, before, name });
        }
    }
}

impl Mention {
    /// The reason why the mentioned thing is not there.
    fn lacks(&self, house: &House, known: &Known) -> Option<&'static str> {
        let name = self.name.trim_end_matches('/');
        let is_path = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        if is_path && (name.ends_with(".rs") || known.is_below_a_folder(name)) {
            return (!known.is_file(name)).then_some("no such file");
        }
        let is_code = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if !is_code {
            return None;
        }
        let path: Vec<&str> = name.split("::").collect();
        let says_module = ["module ", "modules "].iter().any(|word| self.before.ends_with(word));
        if says_module && path.len() == 1 {
            return (!known.modules.contains(name)).then_some("no such module");
        }
        let is_own =
            ["crate", "super", "self"].contains(&path[0]) || path[0].starts_with("antiphon");
        if path.len() > 1 && is_own {
            let module = self.module.unwrap_or(0);
            let found = house.modules.resolve(module, &path, DEPTH);
            return found.is_none().then_some("no such item");
        }
        let is_item =
            self.module.is_none() && path.len() > 1 && path[0].starts_with(char::is_uppercase);
        (is_item && !path.iter().all(|part| known.words.contains(part))).then_some("no such name")
    }
}

/// The names that exist.
struct Known<'a> {
    files: BTreeSet<&'a str>,
    folders: BTreeSet<&'a str>,
    /// Folders and files at the root.
    top: BTreeSet<&'a str>,
    modules: BTreeSet<&'a str>,
    /// All words of the code.
    words: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(house: &'a House) -> Self {
        let files: BTreeSet<&str> = house.files.iter().map(String::as_str).collect();
        let mut folders = BTreeSet::new();
        for file in &files {
            let mut path = *file;
            while let Some((folder, _)) = path.rsplit_once('/') {
                folders.insert(folder);
                path = folder;
            }
        }
        let top = folders.iter().filter(|folder| !folder.contains('/')).copied().collect();
        let modules = house.modules.all.iter().flat_map(|module| module.children.keys().copied());
        let words = house.sources.iter().flat_map(|source| &source.tokens);
        let words = words.filter(|token| token.kind == Kind::Word).map(|token| token.text);
        Self { files, folders, top, modules: modules.collect(), words: words.collect() }
    }

    fn is_below_a_folder(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(first, _)| self.top.contains(first))
    }

    /// A file or folder of this name is there, seen from the root or from any folder.
    fn is_file(&self, name: &str) -> bool {
        let is_end = |path: &&str| {
            path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        self.files.iter().any(is_end) || self.folders.iter().any(is_end)
    }
}

/// The mentions of things that are not there, and the number of all mentions.
fn lacking(house: &House) -> (Vec<String>, usize) {
    let (known, mentions) = (Known::of(house), mentions(house));
    let lacking = mentions.iter().filter_map(|mention| {
        let reason = mention.lacks(house, &known)?;
        Some(format!("{}: `{}`: {reason}", mention.place, mention.name))
    });
    (lacking.collect(), mentions.len())
}

/// A key like `s7` or `P3`: a letter of a list that the reader does not have.
fn is_key(word: &str) -> bool {
    let digits = word.strip_prefix(['s', 'S', 'p', 'P']).unwrap_or_default();
    !digits.is_empty() && digits.len() < 3 && digits.chars().all(|c| c.is_ascii_digit())
}

/// The functions whose name begins with a key, and the comments that name one.
fn keys(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for pair in source.tokens.windows(2) {
        let [word, name] = pair else { continue };
        let is_function = word.is_word("fn") && name.kind == Kind::Word;
        let begin = name.text.split_once('_').map_or("", |(begin, _)| begin);
        if is_function && is_key(begin) {
            found.push(format!("{}:{}: `{}`", source.name, name.line, name.text));
        }
    }
    for (number, line) in source.text.lines().enumerate() {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        let words = comment.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.collect();
        let opens =
            line.trim_start().starts_with("///") && words.first().is_some_and(|w| is_key(w));
        let is_pitfall = words.windows(2).any(|pair| pair[0] == "pitfall" && is_key(pair[1]));
        if opens || is_pitfall {
            found.push(format!("{}:{}: {}", source.name, number + 1, line.trim()));
        }
    }
    found
}

pub(crate) fn measures(house: &House) -> Vec<Measure> {
    let (lacking, count) = lacking(house);
    let keys: usize = house.sources.iter().map(|source| keys(source).len()).sum();
    let lacking = lacking.len();
    vec![
        Measure::new("names in prose of things that are gone", lacking, "0", lacking == 0)
            .of(count),
        Measure::new("tests named by a key", keys, "0", keys == 0).of(house.sources.len()),
    ]
}

#[test]
fn names_in_prose_exist() {
    let (lacking, count) = lacking(House::get());
    assert!(count > 1_000, "only {count} names found");
    assert!(lacking.is_empty(), "\n{}", lacking.join("\n"));
}

#[test]
fn tests_are_named_after_behaviour() {
    let keys: Vec<String> = House::get().sources.iter().flat_map(keys).collect();
    assert!(keys.is_empty(), "\n{}", keys.join("\n"));
}

#[test]
fn a_key_is_a_letter_and_a_number() {
    assert!(["s1", "s24", "P3"].iter().all(|word| is_key(word)));
    assert!(["s", "p2p", "sha1", "a1", "p999", ""].iter().all(|word| !is_key(word)));
}

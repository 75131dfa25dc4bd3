//! Reads the modules of the workspace: follows `mod` from the roots of all crates, tests and
//! examples included.

use std::collections::BTreeMap;

use crate::lexer::{Kind, Token};
use crate::modules::{Module, Modules, Path};
use crate::source::Source;
use crate::syntax::{
    Attributes, attribute_length, branches, group_length, inherent_type, is_module, item_length,
};

/// The modules of these source files.
pub(crate) fn read(sources: &[Source], manifests: &BTreeMap<String, String>) -> Modules {
    let files = sources.iter().enumerate().map(|(index, s)| (s.name.as_str(), index)).collect();
    let mut reader = Reader { sources, files, modules: Modules::default() };
    for root in roots(sources, manifests) {
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let module = reader.file(root, folder, None, false);
        if let Some(name) = library(root, manifests) {
            reader.modules.crates.insert(name, module);
        }
    }
    reader.modules
}

/// The name in code of the library with this root file.
fn library(root: &str, manifests: &BTreeMap<String, String>) -> Option<String> {
    let (folder, _) = root.strip_suffix("/lib.rs")?.rsplit_once('/')?;
    let manifest = manifests.get(&format!("{folder}/Cargo.toml"))?;
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \""))?;
    Some(name.trim_end_matches('"').replace('-', "_"))
}

/// The root files of all crates, tests, examples and binaries, by the conventions of cargo.
fn roots<'a>(sources: &'a [Source], manifests: &BTreeMap<String, String>) -> Vec<&'a str> {
    let mut roots = Vec::new();
    for (name, manifest) in manifests {
        let folder = name.strip_suffix("Cargo.toml").unwrap_or(name);
        let named = manifest.lines().filter_map(|line| {
            let path = line.strip_prefix("path = \"")?.strip_suffix('"')?;
            path.ends_with(".rs").then_some(path)
        });
        let named: Vec<&str> = named.collect();
        for source in sources {
            let Some(path) = source.name.strip_prefix(folder) else { continue };
            let parts: Vec<&str> = path.split('/').collect();
            let is_root = match parts.as_slice() {
                ["build.rs"] | ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] => true,
                [kind @ ("tests" | "examples" | "benches"), _]
                | [kind @ ("tests" | "examples" | "benches"), _, "main.rs"] => {
                    !manifest.contains(&format!("auto{kind} = false"))
                }
                _ => false,
            };
            if is_root || named.contains(&path) {
                roots.push(source.name.as_str());
            }
        }
    }
    roots
}

struct Reader<'a> {
    sources: &'a [Source],
    files: BTreeMap<&'a str, usize>,
    modules: Modules,
}

impl Reader<'_> {
    /// Reads a file whose child modules are in the folder.
    fn file(&mut self, name: &str, folder: &str, parent: Option<usize>, is_test: bool) -> usize {
        let file = self.files[name];
        let module = self.modules.all.len();
        self.modules.all.push(Module { file, parent, is_test, ..Module::default() });
        self.modules.by_file.entry(file).or_default().push(module);
        let tokens = self.sources[file].tokens.as_slice();
        self.items(tokens, module, folder);
        module
    }

    /// Reads the items of a module, and all paths in them.
    fn items(&mut self, tokens: &[Token], module: usize, folder: &str) {
        let (mut at, mut depth) = (0, 0_usize);
        let mut attributes = Attributes::default();
        while at < tokens.len() {
            let rest = &tokens[at..];
            if rest[0].is("#") {
                let length = attribute_length(rest);
                attributes.add(&rest[..length]);
                at += length;
                continue;
            }
            if attributes.is_test && !is_module(rest) {
                at += item_length(rest);
                attributes = Attributes::default();
                continue;
            }
            match rest[0].text {
                "{" if rest[0].kind == Kind::Sign => depth += 1,
                "}" if rest[0].kind == Kind::Sign => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += self.item(rest, depth, module, folder, &mut attributes).max(1);
        }
    }

    /// Reads what begins here, and returns its length.
    fn item(
        &mut self,
        rest: &[Token],
        depth: usize,
        module: usize,
        folder: &str,
        attributes: &mut Attributes,
    ) -> usize {
        if rest[0].kind != Kind::Word {
            return 1;
        }
        match rest[0].text {
            "pub" => {
                let is_limited = rest.get(1).is_some_and(|next| next.is("("));
                let length = if is_limited { 1 + group_length(&rest[1..]) } else { 1 };
                let is_import = rest.get(length).is_some_and(|next| next.is_word("use"));
                length + if is_import { self.import(&rest[length..], module, true) } else { 0 }
            }
            "use" => {
                *attributes = Attributes::default();
                self.import(rest, module, false)
            }
            "mod" if is_module(rest) => self.module(rest, module, folder, attributes),
            word => {
                *attributes = Attributes::default();
                let of = &mut self.modules.all[module];
                if depth == 0 {
                    of.define(word, rest);
                }
                of.path(rest)
            }
        }
    }

    /// Reads an import, and returns its length.
    fn import(&mut self, rest: &[Token], module: usize, is_public: bool) -> usize {
        let length = rest.iter().position(|token| token.is(";")).unwrap_or(rest.len());
        let mut read = Module::default();
        import(&rest[1..length], &Path::new(), &mut read);
        let of = &mut self.modules.all[module];
        if is_public {
            of.re_exports.extend(read.imports.keys());
        }
        of.imports.append(&mut read.imports);
        of.globs.append(&mut read.globs);
        length
    }

    fn module(
        &mut self,
        rest: &[Token],
        module: usize,
        folder: &str,
        attributes: &mut Attributes,
    ) -> usize {
        let name = rest[1].text;
        let Attributes { is_test, path } = std::mem::take(attributes);
        let is_test = is_test || name == "tests" || self.modules.all[module].is_test;
        let file = self.modules.all[module].file;
        if rest[2].is("{") {
            let length = group_length(&rest[2..]);
            let child = self.modules.all.len();
            let new = Module { file, parent: Some(module), is_test, ..Module::default() };
            self.modules.all.push(new);
            self.modules.all[module].children.insert(name, child);
            self.items(&rest[3..1 + length], child, &format!("{folder}/{name}"));
            return 2 + length;
        }
        let here = self.sources[file].name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let inner = format!("{folder}/{name}");
        let candidates = match path {
            Some(path) => vec![(format!("{here}/{path}"), here.to_owned())],
            None => vec![
                (format!("{inner}.rs"), inner.clone()),
                (format!("{inner}/mod.rs"), inner.clone()),
            ],
        };
        let found = candidates.iter().find(|(name, _)| self.files.contains_key(name.as_str()));
        if let Some((file, folder)) = found {
            let child = self.file(file, folder, Some(module), is_test);
            self.modules.all[module].children.insert(name, child);
        }
        3
    }
}

impl Module {
    /// Takes the definition of an item that may begin here.
    fn define(&mut self, word: &str, rest: &[Token]) {
        let defines = matches!(
            word,
            "struct" | "enum" | "union" | "fn" | "trait" | "type" | "const" | "static"
        );
        let name = match word {
            "macro_rules" => rest.get(2),
            "impl" => inherent_type(rest),
            _ if defines => rest.get(1),
            _ => None,
        };
        let Some(name) = name.filter(|name| name.kind == Kind::Word) else { return };
        if word == "impl" {
            self.inherent.insert(name.text);
        } else {
            self.items.insert(name.text, word == "trait");
        }
    }

    /// Takes the path that begins with this word, and returns its length in tokens.
    fn path(&mut self, rest: &[Token]) -> usize {
        let mut path = vec![rest[0].text];
        let mut length = 1;
        while let [sign, word, ..] = &rest[length..]
            && sign.is("::")
            && word.kind == Kind::Word
        {
            path.push(word.text);
            length += 2;
        }
        self.paths.insert(path);
        length
    }
}

/// Takes the names of a `use` tree.
fn import(tree: &[Token], before: &Path, module: &mut Module) {
    let mut path = before.clone();
    let mut at = 0;
    while at < tree.len() {
        let token = &tree[at];
        if token.is("{") {
            let length = group_length(&tree[at..]);
            for branch in branches(&tree[at + 1..at + length - 1]) {
                import(branch, &path, module);
            }
            return;
        }
        if token.is("*") {
            module.globs.push(path);
            return;
        }
        if token.is_word("as") {
            let name = tree.get(at + 1).map_or("_", |name| name.text);
            add_import(module, name, path);
            return;
        }
        if token.kind == Kind::Word {
            path.push(token.text);
        } else if at == 0 {
            // `::name` is another crate
            path.push("");
        }
        at += 1;
    }
    if path.len() > 1 && path.last() == Some(&"self") {
        path.pop();
    }
    if let Some(name) = path.last().copied() {
        add_import(module, name, path);
    }
}

fn add_import(module: &mut Module, name: &'static str, path: Path) {
    // several traits may be imported as `_`
    let name = if name == "_" { path.last().copied().unwrap_or(name) } else { name };
    module.imports.insert(name, path);
}

//! The modules of the workspace: their files, their items, and the paths that their code names.
//!
//! [`crate::reader`] fills them. A path is
//! looked up as the compiler does it, as far as files need it: through imports, re-exports and
//! globs, to the module that defines the name.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Path = Vec<&'static str>;

/// A module: a file, or a block in a file.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: usize,
    pub(crate) parent: Option<usize>,
    /// The module is compiled for tests only.
    pub(crate) is_test: bool,
    pub(crate) children: BTreeMap<&'static str, usize>,
    /// The items by name, and whether each is a trait.
    pub(crate) items: BTreeMap<&'static str, bool>,
    /// The imported names, with the path of each.
    pub(crate) imports: BTreeMap<&'static str, Path>,
    /// The imported names that are passed on.
    pub(crate) re_exports: BTreeSet<&'static str>,
    pub(crate) globs: Vec<Path>,
    /// The paths in the code outside imports; a single word is a path of one.
    pub(crate) paths: BTreeSet<Path>,
    /// The types of `impl Type` blocks, without traits.
    pub(crate) inherent: BTreeSet<&'static str>,
}

/// The thing that a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Module(usize),
    /// An item of this module, and whether it is a trait.
    Item(usize, bool),
}

/// All modules.
#[derive(Default)]
pub(crate) struct Modules {
    pub(crate) all: Vec<Module>,
    pub(crate) by_file: BTreeMap<usize, Vec<usize>>,
    /// The root modules of libraries by the name that code uses.
    pub(crate) crates: BTreeMap<String, usize>,
}

impl Modules {
    /// Every module of the file is compiled for tests only.
    pub(crate) fn is_test_file(&self, file: usize) -> bool {
        let of = self.by_file.get(&file).into_iter().flatten();
        let mut of = of.map(|module| self.all[*module].is_test).peekable();
        of.peek().is_some() && of.all(|is_test| is_test)
    }

    /// The end of a path that code in a module names; `None` for a path to another crate.
    pub(crate) fn resolve(&self, module: usize, path: &[&str], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let mut target = match *first {
            "crate" => Target::Module(self.root(module)),
            "self" => Target::Module(module),
            "super" => Target::Module(self.all[module].parent?),
            "" => return None,
            name => match self.lookup(module, name, rest.is_empty(), depth) {
                Some(target) => target,
                None => Target::Module(*self.crates.get(name)?),
            },
        };
        for (index, name) in rest.iter().enumerate() {
            let Target::Module(at) = target else { break };
            target = match *name {
                "self" => target,
                "super" => Target::Module(self.all[at].parent?),
                name => self.lookup(at, name, index + 1 == rest.len(), depth)?,
            };
        }
        Some(target)
    }

    /// The thing that a name stands for in a module. At the end of a path, an imported function is
    /// meant before a module of the same name.
    fn lookup(&self, module: usize, name: &str, is_last: bool, depth: usize) -> Option<Target> {
        let of = &self.all[module];
        if let Some(child) = of.children.get(name) {
            let path = of.imports.get(name).filter(|path| is_last && path.len() > 1);
            let imported = path.and_then(|path| self.resolve(module, path, depth.checked_sub(1)?));
            return imported.or(Some(Target::Module(*child)));
        }
        if let Some(is_trait) = of.items.get(name) {
            return Some(Target::Item(module, *is_trait));
        }
        // imports that lead to each other end here
        let depth = depth.checked_sub(1)?;
        if let Some(path) = of.imports.get(name) {
            let own = path.first() == Some(&name);
            return if own { None } else { self.resolve(module, path, depth) };
        }
        of.globs.iter().find_map(|glob| match self.resolve(module, glob, depth)? {
            Target::Module(at) if at != module => self.lookup(at, name, is_last, depth),
            Target::Module(_) | Target::Item(..) => None,
        })
    }

    fn root(&self, module: usize) -> usize {
        self.all[module].parent.map_or(module, |parent| self.root(parent))
    }

    /// The files that a module's code needs, each with the names that it takes from there.
    pub(crate) fn needs(&self, module: usize) -> BTreeMap<usize, BTreeSet<String>> {
        let of = &self.all[module];
        let mut needs = BTreeMap::<usize, BTreeSet<String>>::new();
        let mut need = |path: &Path, target: Option<Target>| {
            if let Some(Target::Item(at, _)) = target {
                let file = self.all[at].file;
                if file != of.file {
                    needs.entry(file).or_default().insert(path.join("::"));
                }
            }
        };
        for path in &of.paths {
            need(path, self.resolve(module, path, DEPTH));
        }
        // a trait is used without its name; any other import without a use is for children, and
        // whoever uses what is passed on needs the file with the item
        for (name, path) in &of.imports {
            let target = self.resolve(module, path, DEPTH);
            let is_trait = matches!(target, Some(Target::Item(_, true)));
            if is_trait && !of.re_exports.contains(name) && !of.paths.contains(&vec![*name]) {
                need(path, target);
            }
        }
        needs
    }
}

/// Most imports on the way to a name.
pub(crate) const DEPTH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader;
    use crate::source::Source;

    fn needs(files: &[(&str, &'static str)]) -> Vec<(String, String)> {
        let sources: Vec<_> = files.iter().map(|(name, text)| Source::new(name, text)).collect();
        let manifest = ("a/Cargo.toml".to_owned(), "name = \"a\"".to_owned());
        let modules = reader::read(&sources, &BTreeMap::from([manifest]));
        let code = (0..modules.all.len()).filter(|module| !modules.all[*module].is_test);
        let all = code.flat_map(|module| {
            let file = modules.all[module].file;
            modules.needs(module).into_keys().map(move |needed| (file, needed))
        });
        let name = |file: usize| sources[file].name.rsplit('/').next().unwrap_or("").to_owned();
        all.map(|(file, needed)| (name(file), name(needed))).collect()
    }

    fn pair(file: &str, needed: &str) -> (String, String) {
        (file.to_owned(), needed.to_owned())
    }

    #[test]
    fn a_name_that_is_passed_on_needs_the_file_that_defines_it() {
        let found = needs(&[
            ("a/src/lib.rs", "mod b;\nmod c;\nmod d;\npub use b::{B, Make};\npub use d::*;"),
            ("a/src/b.rs", "pub struct B;\npub trait Make {}\nuse super::c::C as _;"),
            ("a/src/c.rs", "use super::B;\npub trait C {}\nfn f(_: B) {}"),
            ("a/src/d.rs", "mod e;\npub use e::E;"),
            (
                "a/src/d/e.rs",
                "pub struct E;\nimpl E { fn g() -> crate::B { super::super::c::f() } }",
            ),
        ]);
        assert_eq!(
            found,
            [
                pair("b.rs", "c.rs"),
                pair("c.rs", "b.rs"),
                pair("e.rs", "b.rs"),
                pair("e.rs", "c.rs")
            ]
        );
    }

    #[test]
    fn names_come_through_globs_and_modules_and_tests_need_nothing() {
        let found = needs(&[
            (
                "a/src/lib.rs",
                "mod b;\nmod c;\n#[cfg(test)]\nmod tests { use super::b::B; fn f(_: B) {} }",
            ),
            ("a/src/b.rs", "pub struct B;\n#[cfg(test)]\nuse super::c::D;"),
            ("a/src/c.rs", "use super::b::*;\nuse crate::b;\npub struct D(B, b::B);"),
        ]);
        assert_eq!(found, [pair("c.rs", "b.rs")]);
    }
}

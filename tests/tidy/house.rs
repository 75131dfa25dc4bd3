//! The source files of the workspace, read once for all rules.
//!
//! `TIDY_ROOT=folder` measures another checkout, for a figure of before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::modules::Modules;
use crate::reader;
use crate::source::Source;

/// The workspace as the rules see it.
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) sources: Vec<Source>,
    /// The manifests by path below the root.
    pub(crate) manifests: BTreeMap<String, String>,
    /// All other files, for names that documents mention.
    pub(crate) files: Vec<String>,
    pub(crate) modules: Modules,
}

impl House {
    /// The house of this checkout.
    pub(crate) fn get() -> &'static Self {
        static HOUSE: OnceLock<House> = OnceLock::new();
        HOUSE.get_or_init(|| Self::read(&root()))
    }

    fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        collect(root, root, &mut files);
        files.sort();
        let read = |name: &str| fs::read_to_string(root.join(name)).expect("a readable file");
        let sources = files.iter().filter(|name| name.ends_with(".rs"));
        let sources = sources.map(|name| Source::new(name, Box::leak(read(name).into_boxed_str())));
        let mut sources: Vec<Source> = sources.collect();
        let manifests = files.iter().filter(|name| name.ends_with("Cargo.toml"));
        let manifests = manifests.map(|name| (name.clone(), read(name))).collect();
        let modules = reader::read(&sources, &manifests);
        for (index, source) in sources.iter_mut().enumerate() {
            source.is_test |= modules.is_test_file(index);
        }
        assert!(sources.len() > 20, "only {} files found below {}", sources.len(), root.display());
        Self { root: root.to_owned(), sources, manifests, files, modules }
    }

    /// The folders of all crates.
    pub(crate) fn crates(&self) -> Vec<String> {
        let folders = self.manifests.keys().filter_map(|name| name.strip_suffix("/Cargo.toml"));
        folders.map(str::to_owned).collect()
    }
}

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("TIDY_ROOT").map_or(own, PathBuf::from)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                collect(root, &path, files);
            }
        } else {
            let below = path.strip_prefix(root).expect("a path below the root");
            files.push(below.to_string_lossy().into_owned());
        }
    }
}

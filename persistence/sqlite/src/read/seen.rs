//! The files that were read so far: a file that takes the place of another is a replacement, after
//! which every check of the store must be made again.

use crate::file::Identity;

/// The files that were read so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The files that were opened last and are known.
    files: Option<Identity>,
    /// The files were gone since, or unknown ones were read: those that are opened next may be
    /// others, also with the same identity.
    is_unsure: bool,
    /// Number of times that other files were, or may have been, opened.
    pub(super) replacements: u64,
}

impl Seen {
    /// Records a look at the path.
    pub(super) fn look(&mut self, files: Option<Identity>) {
        self.is_unsure |= files.is_none() && self.files.is_some();
    }

    /// Records the files that a new connection reads; `None` for unknown ones. Returns the number
    /// of replacements that belongs to them.
    pub(super) fn open(&mut self, files: Option<Identity>) -> u64 {
        let is_other = self.files.is_some() && self.files != files;
        if self.is_unsure || is_other || files.is_none() {
            self.replacements += 1;
        }
        self.is_unsure = files.is_none();
        self.files = files.or(self.files);
        assert!(self.files.is_some() || self.replacements > 0, "unknown files count as replaced");
        self.replacements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SqliteSettings, SqliteStores};

    #[test]
    fn files_that_were_gone_or_unknown_count_as_replaced_also_with_the_same_identity() {
        let folder = tempfile::tempdir().unwrap();
        let files = |name: &str| {
            let path = folder.path().join(name);
            drop(SqliteStores::open(&path, SqliteSettings::default()).unwrap());
            for suffix in ["-wal", "-shm"] {
                std::fs::write(format!("{}{suffix}", path.display()), "").unwrap();
            }
            Some(Identity::of(&path).unwrap())
        };
        let (one, other) = (files("a.db"), files("b.db"));
        let mut seen = Seen::default();
        seen.look(None);
        assert_eq!((seen.open(one), seen.open(one)), (0, 0), "nothing was read before");
        seen.look(one);
        assert_eq!(seen.open(one), 0);

        seen.look(None);
        assert_eq!((seen.open(one), seen.open(one)), (1, 1), "gone in between");
        assert_eq!((seen.open(other), seen.open(other)), (2, 2), "others");
        assert_eq!((seen.open(None), seen.open(other)), (3, 4), "unknown in between");
    }
}

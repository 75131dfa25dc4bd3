//! Whether the file of a journal is still the one that was opened.
//!
//! A file that is moved or deleted goes on to exist for whoever has it open: SQLite would write into it, sync it and call it
//! durable, and nobody would ever find it again. The same holds for the two files beside it, the write-ahead log and its index. So
//! the three are compared, by device and inode, with those that were opened. What is found missing or another one stays so: the
//! store takes nothing any more, also when somebody moves the file back.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_persistence::{Error, Result};

use super::owner::beside;

/// One file: device and inode. No other file has the same ones while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that is at a path now, at the end of links.
    ///
    /// # Errors
    /// Why it cannot be looked at.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        std::fs::metadata(path).map(|found| Self::from(&found))
    }
}

impl From<&Metadata> for FileId {
    fn from(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// The three files of a database in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity([FileId; 3]);

const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

impl Identity {
    /// The files that are at a path now. A connection must have read from them, since SQLite makes the two beside at the first read.
    ///
    /// # Errors
    /// Why one cannot be looked at.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let real = real(path)?;
        let mut ids = [FileId { device: 0, inode: 0 }; 3];
        for (id, suffix) in ids.iter_mut().zip(SUFFIXES) {
            *id = FileId::of(&beside(&real, suffix))?;
        }
        Ok(Self(ids))
    }

    /// The database among them.
    pub(crate) fn database(self) -> FileId {
        self.0[0]
    }
}

/// The path beside which SQLite puts its two other files: the end of a link.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return path.canonicalize();
    }
    Ok(path.to_path_buf())
}

/// Compares the files at a path with those that were opened.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    files: Identity,
    /// The most bytes that the file was seen to have. It never shrinks by itself.
    bytes: AtomicU64,
    lost: OnceLock<String>,
}

impl Watch {
    /// Watches the files of a connection that has read from them.
    ///
    /// # Errors
    /// `Unavailable` when they are gone already.
    pub(crate) fn start(path: &Path) -> Result<Self> {
        let gone = |error: std::io::Error| {
            let path = path.display();
            Error::unavailable(format!("`{path}` was moved or deleted while it was opened"))
                .with_source(error)
        };
        let files = Identity::of(path).map_err(gone)?;
        let path = path.to_path_buf();
        Ok(Self { path, files, bytes: AtomicU64::new(0), lost: OnceLock::new() })
    }

    /// Looks at the files. Cheap: three calls of the operating system.
    ///
    /// # Errors
    /// `Fenced` from the first time on that one of the files was missing or another one.
    pub(crate) fn check(&self) -> Result<()> {
        self.known()?;
        let Some(real) = self.there(&self.path, real(&self.path))? else { return Ok(()) };
        // before the look: another thread may find a larger file meanwhile
        let bytes = self.bytes.load(Ordering::Acquire);
        for (index, suffix) in SUFFIXES.into_iter().enumerate() {
            let path = beside(&real, suffix);
            let Some(found) = self.there(&path, std::fs::metadata(&path))? else { continue };
            if FileId::from(&found) != self.files.0[index] {
                self.lose(&path, "is another file now: it was replaced")?;
            }
            if index == 0 {
                if found.len() < bytes {
                    self.lose(&path, "became smaller: another file was copied over it")?;
                }
                self.bytes.fetch_max(found.len(), Ordering::AcqRel);
            }
        }
        Ok(())
    }

    /// What was found; `None` when that says nothing about the file, as when a disk does not answer, or a folder was closed.
    fn there<T>(&self, path: &Path, found: std::io::Result<T>) -> Result<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                self.lose(path, "is gone: it was moved or deleted").map(|()| None)
            }
            Err(_) => Ok(None),
        }
    }

    /// What was found before, without looking again.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn known(&self) -> Result<()> {
        self.lost.get().map_or(Ok(()), |reason| Err(Error::fenced(reason.clone())))
    }

    /// Takes the file as lost from now on.
    ///
    /// # Errors
    /// Always, and `Fenced`.
    pub(crate) fn lose(&self, path: &Path, why: &str) -> Result<()> {
        let reason = format!(
            "`{}` {why} while the journal was open: nothing is taken any more, since it would be lost; put the right file there and start again",
            path.display()
        );
        if self.lost.set(reason.clone()).is_ok() {
            tracing::error!(%reason, "the journal is lost");
        }
        self.known()
    }
}

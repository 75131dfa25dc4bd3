//! Checks whether the file of a journal is still the one that was opened.
//!
//! A file that was moved or deleted still exists for a process that has it open: SQLite would write
//! into it, sync it and call it durable, and no other process would ever find it. The same holds
//! for the two files beside it, the write-ahead log and its index. So the three files are compared,
//! by device, inode and birth, with those that were opened. A missing or different file ends the
//! store for good: it takes nothing any more, also when the file is moved back.
//!
//! A file that is copied over the journal in place keeps its inode. It is noticed when it is
//! smaller than before, or when its newest batch is older (`writer/group.rs`), and else not: a
//! checkpoint, also one of another process, changes the size and the times of the file in the same
//! way.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_base::{Error, Result};
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use rustix::io::Errno;

use super::owner::beside;

/// Identity of a file: device, inode and birth. While the file is open, no other file has the same
/// identity. Afterwards a new file often gets the inode of the file that was removed last, and then
/// only the birth differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: (u32, u32),
    inode: u64,
    /// Seconds and nanoseconds. `None` in a file system that does not keep it.
    birth: Option<(i64, u32)>,
}

impl FileId {
    /// The file at a path, after following links.
    ///
    /// # Errors
    /// The system's error, when the file cannot be looked at.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        look(path, AtFlags::empty()).map(|found| found.id)
    }
}

/// The result of a look at a path.
struct Found {
    id: FileId,
    bytes: u64,
    is_link: bool,
}

/// Looks at a path.
///
/// Asks for no time of change: a kernel that was asked for it (Linux 6.13 and later) gives the next
/// write a new time, and the sync of that write then also waits for the file system's journal,
/// which made each commit a fifth slower.
fn look(path: &Path, flags: AtFlags) -> std::io::Result<Found> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE | StatxFlags::BTIME;
    let found = match statx(CWD, path, flags, wanted) {
        Err(Errno::NOSYS) => return look_by_stat(path, flags),
        found => found?,
    };
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(Found {
        id: FileId {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            birth: has_birth.then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec)),
        },
        bytes: found.stx_size,
        is_link: FileType::from_raw_mode(found.stx_mode.into()) == FileType::Symlink,
    })
}

/// The same where the call `statx` is forbidden, as in some sandboxes.
fn look_by_stat(path: &Path, flags: AtFlags) -> std::io::Result<Found> {
    let found = if flags.contains(AtFlags::SYMLINK_NOFOLLOW) {
        std::fs::symlink_metadata(path)?
    } else {
        std::fs::metadata(path)?
    };
    let device = found.dev();
    Ok(Found {
        id: FileId {
            device: (rustix::fs::major(device), rustix::fs::minor(device)),
            inode: found.ino(),
            birth: None,
        },
        bytes: found.len(),
        is_link: found.is_symlink(),
    })
}

/// The three files of a database in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity([FileId; 3]);

const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

impl Identity {
    /// The files at a path now. A connection must have read from them, because SQLite makes the two
    /// files beside the database at the first read.
    ///
    /// # Errors
    /// The system's error, when a file cannot be looked at.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let real = real(path)?;
        let mut ids = [FileId { device: (0, 0), inode: 0, birth: None }; 3];
        for (id, suffix) in ids.iter_mut().zip(SUFFIXES) {
            *id = FileId::of(&beside(&real, suffix))?;
        }
        Ok(Self(ids))
    }

    /// The database file.
    pub(crate) fn database(self) -> FileId {
        self.0[0]
    }
}

/// The path beside which SQLite puts its two other files: the end of a link.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    if look(path, AtFlags::SYMLINK_NOFOLLOW)?.is_link {
        return path.canonicalize();
    }
    Ok(path.to_path_buf())
}

/// Compares the files at a path with those that were opened.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    files: Identity,
    /// The greatest size of the file so far, in bytes. The file never shrinks by itself.
    bytes: AtomicU64,
    lost: OnceLock<String>,
}

impl Watch {
    /// Watches the files of a connection that has read from them.
    ///
    /// # Errors
    /// `Unavailable` when a file is gone already.
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

    /// Checks the files. Cheap: three calls of the operating system, a few more for a link.
    ///
    /// # Errors
    /// `Fenced` from the first time on that one of the files was missing or different.
    pub(crate) fn check(&self) -> Result<()> {
        self.known()?;
        // read before the look, because another thread may find a larger file meanwhile
        let bytes = self.bytes.load(Ordering::Acquire);
        let first = look(&self.path, AtFlags::SYMLINK_NOFOLLOW);
        let Some(first) = self.there(&self.path, first)? else { return Ok(()) };
        if first.is_link {
            let Some(real) = self.there(&self.path, self.path.canonicalize())? else {
                return Ok(());
            };
            let database = look(&real, AtFlags::empty());
            self.check_files(&real, database, bytes)
        } else {
            self.check_files(&self.path, Ok(first), bytes)
        }
    }

    /// Checks the three files. `bytes` is the least size of the database.
    fn check_files(&self, real: &Path, database: std::io::Result<Found>, bytes: u64) -> Result<()> {
        if let Some(found) = self.there(real, database)? {
            self.check_file(real, 0, &found)?;
            if found.bytes < bytes {
                self.lose(real, "became smaller: another file was copied over it")?;
            }
            self.bytes.fetch_max(found.bytes, Ordering::AcqRel);
        }
        for (index, suffix) in SUFFIXES.into_iter().enumerate().skip(1) {
            let path = beside(real, suffix);
            if let Some(found) = self.there(&path, look(&path, AtFlags::empty()))? {
                self.check_file(&path, index, &found)?;
            }
        }
        Ok(())
    }

    fn check_file(&self, path: &Path, index: usize, found: &Found) -> Result<()> {
        if found.id == self.files.0[index] {
            return Ok(());
        }
        self.lose(path, "is another file now: it was replaced")
    }

    /// Returns what was found. `None` when the error says nothing about the file: a disk that does
    /// not answer, or a closed folder.
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

    /// The result of earlier checks, without a new look.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn known(&self) -> Result<()> {
        self.lost.get().map_or(Ok(()), |reason| Err(Error::fenced(reason.clone())))
    }

    /// Records that the file is lost from now on.
    ///
    /// # Errors
    /// Always `Fenced`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_with_the_inode_of_a_removed_one_is_another_file() {
        // enough for a file system that uses inodes again; another one proves nothing here
        const TRIES: usize = 2_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::fs::write(&path, "").unwrap();
        let first = FileId::of(&path).unwrap();
        for _ in 0..TRIES {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "").unwrap();
            let next = FileId::of(&path).unwrap();
            if next.inode == first.inode && next.birth != first.birth {
                assert_ne!(first, next);
                return;
            }
        }
    }
}

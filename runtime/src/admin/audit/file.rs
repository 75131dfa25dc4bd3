//! The files of the audit log: lines are added, and a full file makes room for the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::settings::AuditSettings;

/// The newest file of the log, and the rules for the others.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    files_max: usize,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The bytes of whole lines; `None` for a device, which has no end and no successor.
    length: Option<u64>,
}

impl LogFile {
    pub(super) fn new(settings: &AuditSettings) -> Self {
        let AuditSettings { file, bytes_max, files_max, .. } = settings.clone();
        Self { path: file, bytes_max, files_max, open: None }
    }

    /// Opens the file, and makes it if it is missing, unless it is open. A file that was moved away
    /// or deleted meanwhile is made anew.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if let Some(open) = &self.open {
            let inode = |found: fs::Metadata| (found.dev(), found.ino());
            let there = fs::metadata(&self.path).ok().map(inode);
            if there == open.file.metadata().ok().map(inode) {
                return Ok(());
            }
        }
        self.open = None;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(&self.path)?;
        let found = file.metadata()?;
        let length = found.is_file().then_some(found.len());
        let mut open = Open { file, length };
        if length.is_some_and(|length| length > 0) && !ends_with_a_line(&self.path)? {
            // a crash left half a line
            open.write(b"\n")?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Adds a line with its end. After an error no part of the line is there.
    ///
    /// # Errors
    /// The error of the operating system, such as that of a full disk.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.open()?;
        let length = self.open.as_ref().and_then(|open| open.length).unwrap_or_default();
        let added = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if length > 0 && length.saturating_add(added) > self.bytes_max {
            self.open = None;
            rotate(&self.path, self.files_max)?;
            self.open()?;
        }
        let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        let written = open.write(line);
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

impl Open {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(line);
        let Some(length) = &mut self.length else { return written };
        match written {
            Ok(()) => *length += u64::try_from(line.len()).unwrap_or_default(),
            Err(_) => self.file.set_len(*length)?,
        }
        written
    }
}

fn ends_with_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The path of an older file; number 1 is the newest of them.
fn older(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Gives each file the next number, so that there is no newest one. The oldest one is deleted.
fn rotate(path: &Path, files_max: usize) -> io::Result<()> {
    for number in (1..files_max.saturating_sub(1)).rev() {
        match fs::rename(older(path, number), older(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, older(path, 1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn log(folder: &Path, bytes_max: u64, files_max: usize) -> LogFile {
        LogFile { path: folder.join("audit.log"), bytes_max, files_max, open: None }
    }

    fn texts(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_and_the_oldest_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 9, 3);
        for number in 1..=7 {
            log.write(format!("no {number}\n").as_bytes()).unwrap();
        }
        let expected =
            [("audit.log", "no 7\n"), ("audit.log.1", "no 6\n"), ("audit.log.2", "no 5\n")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(texts(folder.path()), expected);
        let mode = fs::metadata(folder.path().join("audit.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_is_longer_than_a_file_is_written_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 4, 2);
        log.write(b"a long line\n").unwrap();
        log.write(b"b\n").unwrap();
        assert_eq!(texts(folder.path())[1].1, "a long line\n");
    }

    #[test]
    fn a_file_is_continued_also_after_half_a_line_and_made_anew_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        fs::write(&path, "whole\nhal").unwrap();
        let mut log = log(folder.path(), 1000, 2);
        log.write(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
        fs::rename(&path, folder.path().join("moved")).unwrap();
        log.write(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "more\n");
    }

    #[test]
    fn a_full_disk_and_a_missing_folder_are_errors_and_the_log_goes_on_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let mut full = LogFile { path: "/dev/full".into(), ..log(folder.path(), 1000, 2) };
        assert_eq!(full.write(b"x\n").unwrap_err().kind(), io::ErrorKind::StorageFull);

        let later = folder.path().join("later");
        let mut missing = log(&later, 1000, 2);
        assert_eq!(missing.write(b"x\n").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(&later).unwrap();
        missing.write(b"y\n").unwrap();
        assert_eq!(texts(&later)[0].1, "y\n");
    }
}

//! The files of the audit log: lines are added, and a full file makes room for the next one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::place;
use super::settings::AuditSettings;

/// The newest file of the log, and the rules for the others.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    files_max: usize,
    open: Option<Open>,
    /// True when a device or a pipe took a part of a line only.
    is_cut: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The bytes of whole lines; `None` for a device and for a link, which has no successor: its
    /// file is not ours to rename or to cut.
    length: Option<u64>,
}

impl LogFile {
    pub(super) fn new(settings: &AuditSettings) -> Self {
        let AuditSettings { file, bytes_max, files_max, .. } = settings.clone();
        Self { path: file, bytes_max, files_max, open: None, is_cut: false }
    }

    /// Opens the file, and makes it if it is missing, unless it is open. A file that was moved away
    /// or deleted meanwhile is made anew.
    ///
    /// # Errors
    /// The error of the operating system.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if let Some(open) = &self.open {
            let is_file = open.length.is_some();
            let there =
                if is_file { fs::symlink_metadata(&self.path) } else { fs::metadata(&self.path) };
            if place::identity(there) == place::identity(open.file.metadata()) {
                return Ok(());
            }
        }
        self.open = None;
        let file = place::open(&self.path)?;
        let found = file.metadata()?;
        let length = (found.is_file() && place::is_file(&self.path)).then_some(found.len());
        let mut open = Open { file, length };
        if length.is_some_and(|length| length > 0) && !ends_with_a_line(&self.path)? {
            // a crash left half a line
            open.write(b"\n", &mut false)?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Adds a line with its end. After an error no part of the line is there; a device or a pipe
    /// may have a part, which the next line ends.
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
        let written = open.write(line, &mut self.is_cut);
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

impl Open {
    fn write(&mut self, line: &[u8], is_cut: &mut bool) -> io::Result<()> {
        let Some(length) = &mut self.length else { return stream(&mut self.file, line, is_cut) };
        let written = self.file.write_all(line);
        match written {
            Ok(()) => *length += u64::try_from(line.len()).unwrap_or_default(),
            Err(_) => self.file.set_len(*length)?,
        }
        written
    }
}

/// Writes a line to a file that cannot be cut.
fn stream(file: &mut impl Write, line: &[u8], is_cut: &mut bool) -> io::Result<()> {
    let text = if *is_cut { [b"\n", line].concat() } else { line.to_vec() };
    let mut rest = &text[..];
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                rest = &rest[taken..];
                *is_cut = !rest.is_empty();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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

/// The path of a full file on its way to number 1.
fn moving(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".moving");
    name.into()
}

/// Gives each file the next number, so that there is no newest one. The oldest one is deleted, once
/// the newest one has left its place. A second call goes on where a failed one ended.
fn rotate(path: &Path, files_max: usize) -> io::Result<()> {
    let moving = moving(path);
    if fs::symlink_metadata(&moving).is_ok() {
        shift(path, &moving, files_max)?;
    }
    fs::rename(path, &moving)?;
    shift(path, &moving, files_max)
}

/// Gives the file on its way number 1. Only the files up to the first free number move.
fn shift(path: &Path, moving: &Path, files_max: usize) -> io::Result<()> {
    let last = files_max.saturating_sub(1);
    let is_free = |number: &usize| fs::symlink_metadata(older(path, *number)).is_err();
    let free = (1..last).find(is_free).unwrap_or(last);
    for number in (1..free).rev() {
        fs::rename(older(path, number), older(path, number + 1))?;
    }
    fs::rename(moving, older(path, 1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn log(folder: &Path, bytes_max: u64, files_max: usize) -> LogFile {
        let path = folder.join("audit.log");
        LogFile { path, bytes_max, files_max, open: None, is_cut: false }
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
    fn a_link_is_never_renamed_and_its_file_gets_all_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("audit.log"));
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut log = log(folder.path(), 4, 3);
        for _ in 0..5 {
            log.write(b"line\n").unwrap();
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "line\n".repeat(5));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(!place::is_file(Path::new("/dev/stdout")));
        assert!(!place::is_file(Path::new("/proc/self/comm")));
    }

    #[test]
    fn a_rotation_that_fails_deletes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for number in 1..=3 {
            fs::write(older(&path, number), format!("old {number}")).unwrap();
        }
        let before = texts(folder.path());
        // nothing is there that could become number 1
        for _ in 0..5 {
            rotate(&path, 4).unwrap_err();
        }
        assert_eq!(texts(folder.path()), before);
        // a full file was left on its way, with number 1 free already
        fs::remove_file(older(&path, 1)).unwrap();
        fs::write(moving(&path), "left").unwrap();
        rotate(&path, 4).unwrap_err();
        let now: Vec<String> = texts(folder.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(now, ["left", "old 2", "old 3"]);
    }

    #[test]
    fn a_line_that_a_pipe_took_half_is_ended_before_the_next() {
        struct Full(Vec<u8>, usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.1);
                if taken == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.0.extend(&bytes[..taken]);
                self.1 -= taken;
                Ok(taken)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut pipe, mut is_cut) = (Full(Vec::new(), 2), false);
        stream(&mut pipe, b"line\n", &mut is_cut).unwrap_err();
        stream(&mut pipe, b"line\n", &mut is_cut).unwrap_err();
        pipe.1 = 100;
        stream(&mut pipe, b"line\n", &mut is_cut).unwrap();
        assert_eq!((pipe.0, is_cut), (b"li\nline\n".to_vec(), false));
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

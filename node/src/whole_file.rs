//! Files that are there as a whole, or not at all.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use antiphon::prelude::*;

/// Writes a file beside its place, and then puts it there: a node never sees half of it. The mode
/// is that of a new file.
///
/// # Errors
/// `Rejected`, naming the file.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = (|| {
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|error| cannot(path, &error))
}

/// The error for a file.
pub(crate) fn cannot(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::rejected(format!("{}: {error}", path.display()))
}

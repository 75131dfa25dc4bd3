//! Files that are replaced as a whole, and their names.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file by `bytes`, or leaves it as it is: written to a temporary file, synced, renamed,
/// and the folder synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Number of bytes up to the end of the last whole line. A crash may have cut off what follows.
pub(crate) fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

/// A file name made from `name`: valid everywhere, and different for different names.
pub(crate) fn file_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut text = String::new();
    for c in name.chars() {
        if is_plain(c) {
            text.push(c);
        } else {
            text.push_str(&format!("%{:X}", u32::from(c)));
        }
    }
    text
}

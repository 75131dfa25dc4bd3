//! Files that are replaced as a whole, and their names.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh64::xxh64;

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

/// Largest number of characters of a name in a file name. The limit of a file system is 255.
const NAME_MAX: usize = 160;

/// A file name made from `name`: valid everywhere, and different for different names. A long name
/// is cut, and ends with its hash; `~` is in no other name.
pub(crate) fn file_name(name: &str) -> String {
    let text = escaped(name, |c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    if text.len() <= NAME_MAX {
        return text;
    }
    let (start, hash) = (&text[..NAME_MAX - 33], |seed| xxh64(name.as_bytes(), seed));
    format!("{start}~{:016x}{:016x}", hash(0), hash(1))
}

/// A text with each byte that is not plain as `%` and two digits.
pub(crate) fn escaped(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) && byte.is_ascii() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_every_kind_have_short_file_names() {
        assert_eq!(file_name("$ce-customer::a/b"), "%24ce-customer%3A%3Aa%2Fb");
        for long in ["x".repeat(300), "\u{6f22}".repeat(60), "%".repeat(100)] {
            let name = file_name(&long);
            assert!(name.len() == NAME_MAX && name.is_ascii(), "{name}");
            assert_ne!(name, file_name(&format!("{long}x")));
        }
    }

    proptest! {
        #[test]
        fn different_names_have_different_file_names(
            one in "[a%2/\u{2fb}\u{2FBC}\u{e9}~FBC]{0,4}", other in "[a%2/\u{2fb}\u{2FBC}\u{e9}~FBC]{0,4}",
        ) {
            prop_assert_eq!(file_name(&one) == file_name(&other), one == other);
        }
    }
}

//! Output of the commands.
//!
//! `println!` and `eprintln!` panic when their text cannot be written: to a pipe whose reader
//! ended, such as `head`, or to a full disk. The functions here return such an error instead. A
//! reader that ended needs no more text, so its command goes on without output, and ends as it
//! would have ended.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::prelude::*;

/// Prints one line as [`println!`] does, and returns `Result<()>`.
macro_rules! say {
    ($($text:tt)*) => { $crate::app::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use say;

/// Prints a text to the standard output, at once.
///
/// # Errors
/// `Unavailable` when the text cannot be written, except to a pipe whose reader ended.
pub fn print(text: fmt::Arguments<'_>) -> Result<()> {
    as_printed(write(&mut io::stdout().lock(), text))
}

/// Returns whether the standard output is a terminal, on which a line can be written again.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints a line of a node to the standard output. A node works without its output, so an error is
/// logged, together with the line.
pub(crate) fn tell(line: &str) {
    if let Err(error) = write(&mut io::stdout().lock(), format_args!("{line}\n")) {
        tracing::warn!(%error, line, "the standard output takes nothing: the node goes on without it");
    }
}

/// Writes a text to a place, at once.
pub fn write(to: &mut impl Write, text: fmt::Arguments<'_>) -> io::Result<()> {
    to.write_fmt(text).and_then(|()| to.flush())
}

fn as_printed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::unavailable("the standard output cannot be written").with_source(error))
        }
        _ => Ok(()),
    }
}

/// Prints a line to the standard error. An error is ignored: there is no other place to report it.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = write(&mut io::stderr().lock(), format_args!("{text}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_ended_is_no_error_and_a_full_disk_is_one() {
        as_printed(Err(ErrorKind::BrokenPipe.into())).expect("the reader had enough");

        let mut full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
        let error = as_printed(write(&mut full, format_args!("x"))).expect_err("not written");
        assert!(error.to_string().contains("standard output"), "{error}");
        assert!(std::error::Error::source(&error).is_some(), "the cause is named");
    }
}

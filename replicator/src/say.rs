//! Lines for the user of a command.

use std::io::Write;

use crate::{Error, Result};

/// Prints a line on the standard output; a closed one ends the program.
pub(crate) fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Error::unavailable("standard output").with_source(error))
}

//! `antiphon schema`: the tables of a journal on a server.

use crate::Journal;
use crate::prelude::*;

use crate::app::config::ConfigFile;
use crate::app::output::say;

/// Creates the tables that are missing, and what they need.
///
/// # Errors
/// `Rejected` when the configuration has a journal that makes its tables by itself, or settings
/// that the store refuses; `Unavailable` when no server answers.
pub async fn apply(file: &ConfigFile) -> Result<bool> {
    let report = journal(file)?.apply_schema().await;
    for line in report.map_err(|error| file.error(&error))? {
        say!("{line}")?;
    }
    Ok(true)
}

/// Prints the statements that [`apply`] would send.
///
/// # Errors
/// `Rejected` when the configuration has a journal that makes its tables by itself.
pub fn show(file: &ConfigFile) -> Result<bool> {
    for statement in journal(file)?.schema().map_err(|error| file.error(&error))? {
        say!("{statement};")?;
    }
    Ok(true)
}

fn journal(file: &ConfigFile) -> Result<Journal> {
    file.load()?.own_journal()
}

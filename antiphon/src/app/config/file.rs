//! The file of a configuration.

use std::path::{Path, PathBuf};

use crate::prelude::*;

use super::{Config, Known, parse};

/// The file of a configuration, and the names that it may use.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    known: Known,
}

impl ConfigFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>, known: impl Into<Known>) -> Self {
        Self { path: path.into(), known: known.into() }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file and the environment, and makes all checks that need no other file.
    ///
    /// # Errors
    /// `Rejected`, naming the file, the key, the value and what was expected. Values that may be
    /// secrets are not shown.
    pub fn load(&self) -> Result<Config> {
        let refused = |why: String| self.error(&Error::rejected(why));
        let cannot = |error: std::io::Error| refused(format!("cannot be read: {error}"));
        // a pipe without a writer would be waited for without end
        if !std::fs::metadata(&self.path).map_err(cannot)?.is_file() {
            return Err(refused("expected a file, actual a folder, a device or a pipe".to_owned()));
        }
        let text = std::fs::read_to_string(&self.path).map_err(cannot)?;
        let variables = parse::texts(std::env::vars_os());
        let parsed = variables.and_then(|texts| parse(&text, texts, &self.known));
        parsed.map_err(|error| self.error(&error))
    }

    /// Reads as [`Self::load`], and checks the addresses, files and folders that the configuration
    /// names. A node starts only with a configuration that passes, and `antiphon check` reports
    /// exactly these errors. Only the start of a node finds out that a port is in use, and the
    /// state of a server. Nothing is created or changed.
    ///
    /// # Errors
    /// As [`Self::load`]; `Unavailable` or `Corrupt` when a file cannot be inspected.
    pub fn load_checked(&self) -> Result<Config> {
        let config = self.load()?;
        config.check_files().map_err(|error| self.error(&error))?;
        Ok(config)
    }

    /// An error that names the file.
    pub(crate) fn error(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("configuration {}: {error}", self.path.display()))
    }
}

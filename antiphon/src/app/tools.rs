//! The commands of an application on the command line.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use super::config::{ConfigFile, Known};
use crate::persistence::store::Registry;
use crate::prelude::*;

pub(super) type Running = Pin<Box<dyn Future<Output = Result<bool>> + Send>>;

type Run =
    Box<dyn FnOnce(&clap::ArgMatches, Tools) -> std::result::Result<Running, clap::Error> + Send>;

/// A command of an application.
pub(super) struct OwnCommand {
    pub(super) command: clap::Command,
    pub(super) run: Run,
}

/// The parts of the program that its own commands may need.
#[derive(Debug, Clone)]
pub struct Tools {
    pub(super) known: Known,
}

impl Tools {
    /// The kinds of stores.
    pub fn stores(&self) -> Registry {
        self.known.stores.clone()
    }

    /// The file of a configuration of this application.
    pub fn config(&self, path: impl Into<PathBuf>) -> ConfigFile {
        ConfigFile::new(path, self.known.clone())
    }
}

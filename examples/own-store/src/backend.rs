//! The door: a node opens the log through these traits.

use std::path::PathBuf;
use std::sync::Arc;

use antiphon::persistence::store::{Backend, OpenBackend, Role, Stores};
use antiphon::prelude::*;
use async_trait::async_trait;

use crate::LogStores;

/// A journal in a log file.
#[derive(Debug, Clone)]
pub struct LogJournal {
    /// The log; all nodes of the place use the same one.
    pub path: PathBuf,
}

#[async_trait]
impl Backend for LogJournal {
    fn kind(&self) -> &'static str {
        "log"
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn identity(&self) -> Option<String> {
        let path = std::path::absolute(&self.path).ok()?;
        let real = match path.canonicalize() {
            Ok(real) => real,
            // the file does not exist yet
            Err(_) => path.parent()?.canonicalize().ok()?.join(path.file_name()?),
        };
        Some(format!("{real:?}"))
    }

    fn check(&self, _role: Role) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if self.path.file_name().is_none() || folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Error::rejected(format!(
                "`path`: expected a file in a folder that is there, actual {:?}",
                self.path
            )));
        }
        Ok(())
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn OpenBackend>> {
        let path = self.path.clone();
        let opening = tokio::task::spawn_blocking(move || LogStores::open(&path, role));
        let opened = opening.await.map_err(|error| Error::unavailable(error.to_string()))?;
        Ok(Arc::new(opened?))
    }
}

#[async_trait]
impl OpenBackend for LogStores {
    fn stores(&self) -> Stores {
        Self::stores(self)
    }

    fn check(&self) -> Result<()> {
        self.check_file()
    }
}

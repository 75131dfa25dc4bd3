//! Another process of this program.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::{Error, Result};

pub(super) struct Child(tokio::process::Child);

impl Child {
    /// Starts `run` in a folder, without the settings of this process's environment.
    pub(super) fn start(folder: &Path, variables: &[(String, String)]) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::unavailable(format!("the replicator's process: {error}")).with_source(error)
        };
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--directory").arg(folder).current_dir(folder);
        command.stdin(Stdio::null()).kill_on_drop(true);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("Ditto_")) {
            command.env_remove(name);
        }
        command.envs(variables.iter().cloned());
        command.spawn().map(Self).map_err(failed)
    }

    /// Kills the process without a warning, as a power cut would.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.0.kill().await.map_err(|error| {
            Error::unavailable("the replicator's process cannot be killed").with_source(error)
        })
    }

    /// Asks the process to stop; returns whether it stopped in time and with success.
    pub(super) async fn terminate(mut self, patience: Duration) -> Result<bool> {
        let Some(id) = self.0.id() else { return Ok(false) };
        let asked = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
        asked.map_err(|error| Error::unavailable("`kill`").with_source(error))?;
        match tokio::time::timeout(patience, self.0.wait()).await {
            Ok(Ok(status)) => Ok(status.success()),
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }
}

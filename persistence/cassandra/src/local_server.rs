//! A Cassandra server on this machine for a demo, started and stopped by `deploy/cassandra`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use antiphon_base::{Error, Result};
use antiphon_persistence::store::{LocalServer, Table};

/// The script that `make cassandra-up` runs.
const SCRIPT: &str = include_str!("server");
/// The addresses of the server are 127.0.9.x, so that it can run beside other servers.
const NET: &str = "9";

/// A server that runs; its drop stops it.
struct Running {
    script: PathBuf,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = command(&self.script, &self.folder).arg("down").stdin(Stdio::null()).status();
    }
}

/// A server that is about to start.
pub(crate) struct Starting {
    script: PathBuf,
    folder: PathBuf,
}

impl Starting {
    /// Prepares a server whose files are in `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let (script, data) = (folder.join("cassandra.sh"), folder.join("cassandra"));
        let written =
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&script, SCRIPT));
        written.map_err(|error| {
            Error::rejected(format!("{}: cannot be written: {error}", script.display()))
        })?;
        Ok(Self { script, folder: data })
    }

    /// The call that starts the server and blocks until it answers, and the server. The drop of the
    /// server stops it, also one that did not come up.
    pub(crate) fn up(self) -> (impl FnOnce() -> Result<()> + Send + 'static, LocalServer) {
        let Self { script, folder } = self;
        let mut up = command(&script, &folder);
        let points = vec![format!("127.0.{NET}.1:9042")];
        let options = Table::from_iter([("contact_points".to_owned(), points.into())]);
        let running = Box::new(Running { script, folder });
        let call = move || {
            let output = up.arg("up").stdout(Stdio::null()).output();
            let output = output.map_err(|error| Error::unavailable(format!("bash: {error}")))?;
            if output.status.success() {
                return Ok(());
            }
            let why = String::from_utf8_lossy(&output.stderr);
            Err(Error::unavailable(format!("no Cassandra: {}", why.trim())))
        };
        (call, LocalServer { options, running })
    }
}

fn command(script: &Path, folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(script).env("CASSANDRA_DIR", folder).env("CASSANDRA_NET", NET);
    command
}

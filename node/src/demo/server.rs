//! The database of the demo, which the demo starts and stops itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;
use clap::ValueEnum;

use super::DemoArguments;
use crate::cluster::LocalJournals;
use crate::output::say;

/// The script that `make cassandra-up` runs.
const SCRIPT: &str = include_str!("../../../deploy/cassandra");
/// The addresses of the demo's server are 127.0.9.x, so that it can run beside other servers.
const NET: &str = "9";

/// The kind of journal for the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JournalKind {
    /// An SQLite file for each replica.
    Sqlite,
    /// A place for each replica in a keyspace of Apache Cassandra.
    Cassandra,
}

/// The database; the drop of this value stops a server that it started.
pub(super) struct Server {
    kind: JournalKind,
    contact_points: Vec<String>,
    started: Option<PathBuf>,
}

impl Server {
    /// Starts a Cassandra server, if one is needed and none was named.
    pub(super) async fn start(arguments: &DemoArguments, data_dir: &Path) -> Result<Self> {
        let mut server = Self {
            kind: arguments.journal,
            contact_points: arguments.contact_points.clone(),
            started: None,
        };
        if server.kind == JournalKind::Sqlite || !server.contact_points.is_empty() {
            return Ok(server);
        }
        say!("starting a Cassandra; the first time its libraries are fetched")?;
        let folder = data_dir.join("cassandra");
        let script = data_dir.join("cassandra.sh");
        let written =
            std::fs::create_dir_all(data_dir).and_then(|()| std::fs::write(&script, SCRIPT));
        written.map_err(|error| {
            Error::rejected(format!("{}: cannot be written: {error}", script.display()))
        })?;
        server.started = Some(folder.clone());
        let run = tokio::task::spawn_blocking(move || {
            command(&script, &folder).arg("up").stdout(Stdio::null()).output()
        });
        let output = match run.await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(Error::unavailable(format!("bash: {error}"))),
            Err(error) => return Err(Error::bug(error.to_string())),
        };
        if !output.status.success() {
            return Err(Error::unavailable(format!(
                "no Cassandra: {}\nname one that runs with `--contact-points`, or use `--journal sqlite`",
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        server.contact_points = vec![format!("127.0.{NET}.1:9042")];
        Ok(server)
    }

    /// The journals of the places.
    pub(super) fn journals(&self) -> LocalJournals {
        match self.kind {
            JournalKind::Sqlite => LocalJournals::Sqlite,
            JournalKind::Cassandra => LocalJournals::Cassandra {
                contact_points: self.contact_points.clone(),
                keyspace: "antiphon_demo".into(),
                copies: 1,
                run: SystemClock.wall().as_micros().to_string(),
            },
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(folder) = &self.started {
            let script = folder.with_file_name("cassandra.sh");
            let _ = command(&script, folder).arg("down").stdin(Stdio::null()).status();
        }
    }
}

fn command(script: &Path, folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(script).env("CASSANDRA_DIR", folder).env("CASSANDRA_NET", NET);
    command
}

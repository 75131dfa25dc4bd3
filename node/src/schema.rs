//! `antiphon schema`: the tables of a Cassandra journal.

use std::path::Path;

use antiphon::cassandra::cql::{self, ServerSettings};
use antiphon::prelude::*;

use crate::config::{self, JournalConfig};
use crate::output::say;

/// Creates the keyspace and the tables that are missing.
///
/// # Errors
/// `Rejected` when the configuration has no Cassandra journal, or does not say how many copies a
/// new keyspace has; `Unavailable` when no server answers.
pub async fn apply(config: &Path) -> Result<bool> {
    let server = server(config)?;
    let cql::Applied { schema, weakness } = cql::apply(&server).await?;
    say!(
        "keyspace `{}` is as it should be, with {} events in a partition",
        server.keyspace,
        schema.partition_events_max
    )?;
    if schema.partition_events_max != server.partition_events_max {
        say!(
            "`partition_events_max` is {} in the configuration and stays {}: it is fixed when the tables are made",
            server.partition_events_max,
            schema.partition_events_max
        )?;
    }
    if let Some(weakness) = weakness {
        say!("warning: {weakness}")?;
    }
    Ok(true)
}

/// Prints the statements that [`apply`] would send.
///
/// # Errors
/// `Rejected` when the configuration has no Cassandra journal.
pub fn show(config: &Path) -> Result<bool> {
    for statement in cql::show(&server(config)?)? {
        say!("{statement};")?;
    }
    Ok(true)
}

fn server(path: &Path) -> Result<ServerSettings> {
    match config::load(path)?.journal {
        JournalConfig::Cassandra(server) => Ok(*server),
        JournalConfig::Sqlite(file) => Err(Error::rejected(format!(
            "configuration {}: `journal`: expected `kind = \"cassandra\"`, actual the SQLite file {}, which makes its tables by itself",
            path.display(),
            file.display()
        ))),
    }
}

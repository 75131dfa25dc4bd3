//! The tables, as `antiphon schema apply` makes them and `antiphon schema show` prints them.

use antiphon_base::{Error, ErrorKind, Result};
use scylla::client::session::Session;

use super::probe::Probe;
use super::{Replication, ServerSettings, session};

/// The version of the tables that this build reads and writes. Version 1, without checksums, was
/// written before the first release.
const VERSION: i32 = 2;

/// Properties that are fixed when the tables are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Events in one partition of a stream.
    pub partition_events_max: u64,
}

/// Result of [`apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The properties of the tables.
    pub schema: Schema,
    /// Describes how the server may lose acknowledged writes. `None` when no weakness is known.
    pub weakness: Option<String>,
}

/// The statements, in order. `apply` adds `tablets = {'enabled': false}` to a new keyspace on
/// ScyllaDB.
///
/// # Errors
/// `Rejected` when a setting is wrong.
pub fn show(settings: &ServerSettings) -> Result<Vec<String>> {
    statements(settings, "")
}

fn statements(settings: &ServerSettings, keyspace_options: &str) -> Result<Vec<String>> {
    settings.validate()?;
    let keyspace = &settings.keyspace;
    let mut statements = Vec::new();
    if let Some(replication) = &settings.replication {
        let options = match replication {
            Replication::Simple(copies) => {
                format!("'class': 'SimpleStrategy', 'replication_factor': {copies}")
            }
            Replication::ByDataCenter(copies) => {
                let copies = copies
                    .iter()
                    .map(|(name, copies)| format!(", '{}': {copies}", name.replace('\'', "''")));
                format!("'class': 'NetworkTopologyStrategy'{}", copies.collect::<String>())
            }
        };
        statements.push(format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{{options}}}{keyspace_options}"
        ));
    }
    statements.extend(TABLES.iter().map(|table| {
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.{}",
            table.split_whitespace().collect::<Vec<_>>().join(" ")
        )
    }));
    statements.push(format!(
        "INSERT INTO {keyspace}.schema_version (id, version, partition_events_max) VALUES (0, {VERSION}, {}) IF NOT EXISTS",
        settings.partition_events_max
    ));
    Ok(statements)
}

/// Tables keep the default compaction, by size: rows of the log and of streams are written once and
/// read in order. A removed reminder that comes back does no harm, so the tombstones of reminders
/// are kept for a day only.
const TABLES: &[&str] = &[
    "schema_version (id int PRIMARY KEY, version int, partition_events_max bigint)",
    "writers (place text, writer text, lanes int, sealed boolean, copied boolean, ended_at bigint, PRIMARY KEY (place, writer))",
    "log (place text, writer text, lane int, part bigint, nr bigint,
        head bigint STATIC, closed boolean STATIC, sealed boolean STATIC, record blob,
        PRIMARY KEY ((place, writer, lane, part), nr))",
    "lanes (place text, writer text, lane int, copied_part bigint, copied_nr bigint, first_part bigint,
        PRIMARY KEY ((place, writer), lane))",
    "events (place text, stream text, part bigint, first bigint, last bigint, highest bigint STATIC, record blob,
        PRIMARY KEY ((place, stream, part), first, last))",
    "streams (place text, stream text, part bigint, deleted bigint, PRIMARY KEY ((place, stream)))",
    "stream_ids (place text, entity_type text, bucket int, stream text, PRIMARY KEY ((place, entity_type, bucket), stream))",
    "snapshots (place text, stream text, sequence_nr bigint, record blob, PRIMARY KEY ((place, stream), sequence_nr))
        WITH CLUSTERING ORDER BY (sequence_nr DESC)",
    "offsets (place text, reader text, part text, position text, PRIMARY KEY ((place, reader), part))",
    "reminders (place text, entity_type text, hour bigint, due bigint, stream text, name text, set_by bigint, checksum bigint,
        PRIMARY KEY ((place, entity_type, hour), due, stream, name, set_by))
        WITH gc_grace_seconds = 86400",
    "reminder_marks (place text, entity_type text, hour bigint, session text, record blob,
        PRIMARY KEY ((place, entity_type), hour, session))
        WITH gc_grace_seconds = 86400",
    "cells (place text, cell_table text, cell_key text, fencing_token bigint STATIC, fencing_checksum bigint STATIC, version bigint, value blob,
        PRIMARY KEY ((place, cell_table), cell_key))",
];

/// Tables that keyspaces of this version may lack, because they were made by an earlier build.
const LATER_TABLES: [&str; 2] = ["reminders", "reminder_marks"];

/// Makes the keyspace and the tables that are missing. Repeating it changes nothing. A cancelled
/// call leaves some of the tables; the next call makes the rest.
///
/// # Errors
/// - `Rejected` when the keyspace is missing and `replication` does not give the number of copies,
///   or when the tables are of another version.
/// - `Unavailable` when no server answers.
pub async fn apply(settings: &ServerSettings) -> Result<Applied> {
    settings.validate()?;
    let session = session::connect(settings).await?;
    let probe = Probe::of(&session, settings).await;
    let statements = statements(settings, probe.keyspace_options())?;
    if settings.replication.is_none() && !keyspace_exists(&session, settings).await? {
        return Err(Error::rejected(format!(
            "`replication`: expected the number of copies by data centre, as in `replication = {{ dc1 = 3 }}`, because the keyspace `{}` is not there and has to be made",
            settings.keyspace
        )));
    }
    for statement in statements {
        let outcome = session.query_unpaged(statement.as_str(), ()).await;
        outcome.map_err(|error| {
            Error::unavailable(format!("schema: `{statement}`: {error}")).with_source(error)
        })?;
    }
    let schema = check(&session, settings).await?;
    session.refresh_metadata().await.map_err(|error| {
        Error::unavailable(format!("schema: reading it back: {error}")).with_source(error)
    })?;
    Ok(Applied { schema, weakness: Probe::of(&session, settings).await.weakness() })
}

async fn keyspace_exists(session: &Session, settings: &ServerSettings) -> Result<bool> {
    let sql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let rows = session.query_unpaged(sql, (settings.keyspace.to_lowercase(),)).await;
    let rows = rows
        .map_err(|error| Error::unavailable(format!("schema: reading the keyspaces: {error}")))?
        .into_rows_result();
    Ok(rows.is_ok_and(|rows| rows.rows_num() > 0))
}

async fn table_exists(session: &Session, settings: &ServerSettings, table: &str) -> Result<bool> {
    let sql =
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let values = (settings.keyspace.to_lowercase(), table);
    let rows = session.query_unpaged(sql, values).await;
    let rows = rows
        .map_err(|error| Error::unavailable(format!("schema: reading the tables: {error}")))?
        .into_rows_result();
    Ok(rows.is_ok_and(|rows| rows.rows_num() > 0))
}

/// Checks that the tables exist and have this version.
///
/// # Errors
/// - `Rejected`, with the command to run.
/// - `Unavailable` when the server that answered may not know the tables yet.
pub(super) async fn check(session: &Session, settings: &ServerSettings) -> Result<Schema> {
    let found = find(session, settings).await;
    if found.as_ref().is_err_and(|error| error.kind() == ErrorKind::Rejected)
        && !matches!(session.check_schema_agreement().await, Ok(Some(_)))
    {
        return Err(Error::unavailable(format!(
            "keyspace `{}`: the servers do not agree on their tables yet",
            settings.keyspace
        )));
    }
    found
}

async fn find(session: &Session, settings: &ServerSettings) -> Result<Schema> {
    let keyspace = &settings.keyspace;
    let missing = |why: &str| {
        Error::rejected(format!(
            "keyspace `{keyspace}`: {why}: run `antiphon schema apply --config FILE` with the configuration of a node that uses it"
        ))
    };
    if !keyspace_exists(session, settings).await? {
        return Err(missing("it is not there"));
    }
    let sql =
        format!("SELECT version, partition_events_max FROM {keyspace}.schema_version WHERE id = 0");
    let rows = match session.query_unpaged(sql, ()).await {
        Ok(rows) => rows.into_rows_result(),
        Err(scylla::errors::ExecutionError::LastAttemptError(
            scylla::errors::RequestAttemptError::DbError(
                scylla::errors::DbError::Invalid | scylla::errors::DbError::ConfigError,
                _,
            ),
        )) => return Err(missing("its tables are not there")),
        Err(error) => {
            return Err(Error::unavailable(format!("schema: reading its version: {error}"))
                .with_source(error));
        }
    };
    let row = rows.ok().and_then(|rows| rows.maybe_first_row::<(i32, i64)>().ok().flatten());
    let Some((version, partition_events_max)) = row else {
        return Err(missing("its tables are not complete"));
    };
    if version == 1 {
        return Err(Error::rejected(format!(
            "keyspace `{keyspace}`: expected tables of version {VERSION}, actual 1: they were made before version 0.1.0, without checksums, and are not read any more: drop the keyspace, or use another one, and run `antiphon schema apply`"
        )));
    }
    if version != VERSION {
        return Err(Error::rejected(format!(
            "keyspace `{keyspace}`: expected tables of version {VERSION}, actual {version}: use a build of Antiphon that knows them"
        )));
    }
    for table in LATER_TABLES {
        if !table_exists(session, settings, table).await? {
            return Err(missing(&format!(
                "it was made by an earlier build, without the table `{table}`"
            )));
        }
    }
    let partition_events_max = u64::try_from(partition_events_max).unwrap_or(0);
    if partition_events_max == 0 {
        return Err(missing("its tables are not complete"));
    }
    Ok(Schema { partition_events_max })
}

//! Cassandra as a kind of store: a location has the keys of [`ServerSettings`], and the table
//! `[cassandra]` those of [`CassandraSettings`].

use std::path::Path;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::{
    Backend, LocalServer, StoreKind, Table, read_table, write_table,
};
use async_trait::async_trait;
use serde_json::Value;

use crate::cql::{Replication, ServerSettings};
use crate::{CassandraSettings, local_server};

/// The name of the kind, and of the table of its settings.
pub(crate) const KIND: &str = "cassandra";

/// Apache Cassandra or ScyllaDB as a kind of store.
#[derive(Debug, Clone, Copy, Default)]
pub struct CassandraKind;

fn server(location: &Table) -> Result<ServerSettings> {
    let server: ServerSettings = read_table(location)?;
    server.validate()?;
    Ok(server)
}

#[async_trait]
impl StoreKind for CassandraKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn settings(&self, settings: &Table) -> Result<Table> {
        let settings: CassandraSettings = read_table(settings)?;
        settings.validate()?;
        write_table(&settings)
    }

    fn shown(&self, location: &Table) -> Result<Table> {
        let mut shown = write_table(&server(location)?)?;
        // the password is a secret
        if let Some(Value::Object(auth)) = shown.get_mut("auth") {
            auth.insert("password".into(), "***".into());
        }
        Ok(shown)
    }

    fn journal(&self, place: &str, location: &Table, settings: &Table) -> Result<Arc<dyn Backend>> {
        let settings: CassandraSettings = read_table(settings)?;
        let mut settings = CassandraSettings { server: server(location)?, ..settings };
        if settings.server.place.is_empty() {
            place.clone_into(&mut settings.server.place);
        }
        Ok(Arc::new(settings))
    }

    fn local(&self, _folder: &Path, place: &str, run: &str, options: &Table) -> Result<Table> {
        let mut server: ServerSettings = read_table(options)?;
        if !options.contains_key("keyspace") {
            server.keyspace = "antiphon_demo".to_owned();
        }
        server.place = format!("{run}/{place}");
        server.replication = server.replication.or(Some(Replication::Simple(1)));
        server.validate()?;
        let mut location = write_table(&server)?;
        // this table is the location itself, and not for people
        if let Some(auth) = options.get("auth") {
            location.insert("auth".to_owned(), auth.clone());
        }
        Ok(location)
    }

    fn has_server(&self) -> bool {
        true
    }

    async fn start_server(&self, folder: &Path) -> Result<Option<LocalServer>> {
        let starting = local_server::Starting::new(folder)?;
        // the drop of a call that is cancelled stops the server
        let (command, server) = starting.up();
        let started = tokio::task::spawn_blocking(command).await;
        started.map_err(|error| Error::bug(error.to_string()))??;
        Ok(Some(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(value: Value) -> Table {
        let Value::Object(table) = value else { panic!("no table: {value}") };
        table
    }

    #[test]
    fn a_location_is_shown_without_its_password_and_read_with_it() {
        let location = table(serde_json::json!({ "auth": { "user": "a", "password": "x73100" } }));
        let shown = CassandraKind.shown(&location).unwrap();
        assert_eq!(shown["auth"], serde_json::json!({ "user": "a", "password": "***" }));
        assert_eq!(shown["keyspace"], "antiphon");
        let local = CassandraKind.local(Path::new("."), "A", "7", &location).unwrap();
        assert_eq!((&local["auth"], &local["place"]), (&location["auth"], &"7/A".into()));
    }

    #[test]
    fn a_journal_without_a_place_is_that_of_its_node() {
        let journal = CassandraKind.journal("A", &Table::new(), &Table::new()).unwrap();
        assert_eq!(journal.name(), "antiphon/A");
        let named = table(serde_json::json!({ "place": "B" }));
        assert_eq!(CassandraKind.journal("A", &named, &Table::new()).unwrap().name(), "antiphon/B");
    }
}

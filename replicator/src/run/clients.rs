//! Clients of the event stores of a configuration.

use antiphon_eventstore as es;

use crate::config::{Config, Secret};
use crate::{Error, Result};

/// A client of the source.
///
/// # Errors
/// `Rejected`, naming the setting, when the connection string cannot be used.
pub fn source_client(config: &Config) -> Result<es::EventStoreClient> {
    let text = &config.settings.source;
    client("Settings:SourceEventStoreConnectionString", text, "Ditto:Source", config)
}

/// A client of the destination.
///
/// # Errors
/// As [`source_client`].
pub fn destination_client(config: &Config) -> Result<es::EventStoreClient> {
    let text = &config.settings.destination;
    client("Settings:DestinationEventStoreConnectionString", text, "Ditto:Destination", config)
}

fn client(key: &str, text: &Secret, name: &str, config: &Config) -> Result<es::EventStoreClient> {
    let failed = |error: es::Error| {
        Error::rejected(format!("`{key}`: {}", crate::source::message(&error))).with_source(error)
    };
    let mut connection = es::ConnectionString::parse(text.expose()).map_err(failed)?;
    connection.connection_name.get_or_insert_with(|| name.to_owned());
    es::EventStoreClient::new(connection, config.client()).map_err(failed)
}

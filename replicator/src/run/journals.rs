//! The Antiphon journals of a configuration, opened for its source and sink.

use antiphon_cassandra::{CassandraSettings, CassandraStores, Role};
use antiphon_sqlite::{SqliteSettings, SqliteStores};

use crate::Result;
use crate::config::{Config, JournalKind, JournalSettings, SubscriptionSettings};
use crate::stores_on_demand::StoresOnDemand;

/// The journal that a subscription reads. An SQLite file is opened at once, Cassandra at the first
/// read.
///
/// # Errors
/// `Rejected`, naming the file, when it is not a journal.
pub fn source_journal(subscription: &SubscriptionSettings) -> Result<StoresOnDemand> {
    let name = format!("journal of the subscription `{}`", subscription.display_name());
    let path = subscription.journal_path.as_deref();
    match subscription.journal.kind {
        JournalKind::Sqlite => sqlite(path, SqliteSettings::reader()),
        JournalKind::Cassandra => {
            let poll_interval = subscription.journal_poll_interval;
            let mut settings = cassandra(&subscription.journal, Role::Reader);
            settings.feed_poll_interval = settings.feed_poll_interval.min(poll_interval);
            Ok(on_demand(&name, settings))
        }
    }
}

/// The journal of the sink `journal`, for writing or only for reading. An SQLite file is opened at
/// once, Cassandra at the first use.
///
/// # Errors
/// `Rejected`, naming the file, when it is not a journal.
pub fn sink_journal(config: &Config, role: Role) -> Result<StoresOnDemand> {
    let settings = &config.settings;
    match (settings.journal.kind, role) {
        (JournalKind::Sqlite, Role::Owner) => {
            sqlite(settings.journal_path.as_deref(), SqliteSettings::default())
        }
        (JournalKind::Sqlite, Role::Reader) => {
            sqlite(settings.journal_path.as_deref(), SqliteSettings::reader())
        }
        (JournalKind::Cassandra, role) => {
            Ok(on_demand("`Settings:Journal`", cassandra(&settings.journal, role)))
        }
    }
}

fn sqlite(path: Option<&str>, settings: SqliteSettings) -> Result<StoresOnDemand> {
    let stores = SqliteStores::open(path.unwrap_or_default(), settings)?;
    Ok(StoresOnDemand::opened(stores.stores()))
}

fn cassandra(settings: &JournalSettings, role: Role) -> CassandraSettings {
    CassandraSettings { server: settings.server(), role, ..CassandraSettings::default() }
}

fn on_demand(name: &str, settings: CassandraSettings) -> StoresOnDemand {
    StoresOnDemand::new(name, move || {
        let settings = settings.clone();
        Box::pin(async move { Ok(CassandraStores::open(settings).await?.stores()) })
    })
}

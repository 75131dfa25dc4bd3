//! The state that all tasks and all store traits of a session share.

use std::sync::Arc;

use crate::health::Health;
use crate::log::copy::Copying;
use crate::log::ends::Ends;
use crate::log::view::View;
use crate::reminders::state::Reminders;
use crate::replay::ahead::ReadAhead;
use crate::settings::CassandraSettings;
use crate::stats::Counters;
use crate::tables::Tables;

/// State of one session. Dropping the last reference lets the statements under way end.
pub(crate) struct Shared {
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) settings: CassandraSettings,
    pub(crate) counters: Arc<Counters>,
    pub(crate) health: Health,
    pub(crate) view: View,
    pub(crate) ends: Ends,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) reminders: Reminders,
    pub(crate) partition_events_max: u64,
}

impl Shared {
    /// The state of a new session.
    ///
    /// # Panics
    /// When a partition of a stream may have no event.
    pub(crate) fn new(
        tables: Arc<dyn Tables>,
        settings: CassandraSettings,
        partition_events_max: u64,
    ) -> Self {
        assert!(partition_events_max > 0, "a partition of a stream takes at least one event");
        let counters: Arc<Counters> = Arc::default();
        Self {
            health: Health::default(),
            view: View::new(settings.feed_cache_bytes_max),
            ends: Ends::new(settings.stream_cache_max),
            read_ahead: ReadAhead::new(tables.clone(), counters.clone(), &settings),
            reminders: Reminders::default(),
            counters,
            tables,
            settings,
            partition_events_max,
        }
    }

    /// Context of a copy from the log.
    pub(crate) fn copying(&self) -> Copying<'_> {
        Copying {
            tables: &self.tables,
            settings: &self.settings,
            counters: &self.counters,
            partition_events_max: self.partition_events_max,
        }
    }
}

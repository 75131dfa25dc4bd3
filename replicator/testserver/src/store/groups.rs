//! Groups in the store: their settings and their positions.

use antiphon_eventstore::Result;

use super::Store;
use super::append::system_event;
use super::now_ticks;

/// A stream (or `$all`) and the name of a group.
pub(crate) type GroupKey = (String, String);

/// The stored form of a group.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GroupRecord {
    #[prost(string, tag = "1")]
    pub(crate) stream: String,
    #[prost(string, tag = "2")]
    pub(crate) group: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) settings: Option<antiphon_eventstore::wire::persistent_subscriptions::Settings>,
    /// The number in the stream, or the index in the log, from which the group continues.
    #[prost(uint64, tag = "4")]
    pub(crate) next: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) filter: Option<antiphon_eventstore::wire::Filter>,
    #[prost(bool, tag = "6")]
    pub(crate) deleted: bool,
    #[prost(bool, tag = "7")]
    pub(crate) checkpointed: bool,
    /// The start of the group as shown in its description.
    #[prost(string, tag = "8")]
    pub(crate) start_from: String,
}

impl GroupRecord {
    pub(crate) fn key(&self) -> GroupKey {
        (self.stream.clone(), self.group.clone())
    }

    pub(crate) fn parked_stream(&self) -> String {
        format!("$persistentsubscription-{}::{}-parked", self.stream, self.group)
    }
}

impl Store {
    pub(crate) fn group(&self, key: &GroupKey) -> Option<&GroupRecord> {
        self.groups.get(key)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupRecord> {
        self.groups.values()
    }

    /// Stores a group, or its deletion.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn store_group(&mut self, record: GroupRecord) -> Result<()> {
        self.persist_group(&record)?;
        self.apply_group(record);
        Ok(())
    }

    pub(super) fn apply_group(&mut self, record: GroupRecord) {
        let key = record.key();
        if record.deleted {
            self.groups.remove(&key);
        } else {
            self.groups.insert(key, record);
        }
    }

    /// Parks a message, as a link to it.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn park(
        &mut self,
        record: &GroupRecord,
        stream: &str,
        revision: u64,
        reason: &str,
    ) -> Result<()> {
        let mut event = system_event(super::links::LINK, format!("{revision}@{stream}").into());
        event.is_json = false;
        let seconds = now_ticks() / 10_000_000;
        event.metadata =
            serde_json::json!({ "added": seconds, "reason": reason }).to_string().into();
        self.append(&record.parked_stream(), super::Expected::Any, vec![event]).map(|_| ())
    }

    /// Forgets parked messages below a number.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn forget_parked(&mut self, record: &GroupRecord, below: u64) -> Result<()> {
        let name = record.parked_stream();
        let stream = self.id_of(&name);
        let data = self.streams[stream].limits.with_truncate_before(below);
        self.write_metadata(&name, data)?;
        self.announce();
        Ok(())
    }

    /// The message of a parked link; none when it is gone.
    pub(crate) fn parked(
        &self,
        link: &antiphon_eventstore::wire::RecordedEvent,
        resolve: bool,
    ) -> Option<super::Found> {
        let text = std::str::from_utf8(&link.data).ok()?;
        let (revision, name) = text.split_once('@')?;
        let place = self.stream(name)?.places.get(revision.parse::<usize>().ok()?)?;
        self.found(*place, resolve)
    }

    /// Number of parked messages of a group.
    pub(crate) fn parked_count(&self, record: &GroupRecord) -> u64 {
        self.visible(&record.parked_stream())
            .map_or(0, |visible| (visible.last + 1).saturating_sub(visible.first))
    }
}

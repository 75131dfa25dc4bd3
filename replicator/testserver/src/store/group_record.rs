//! The stored form of a group: its settings and its position.

use antiphon_eventstore::wire::Filter;
use antiphon_eventstore::wire::persistent_subscriptions::Settings;

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
    pub(crate) settings: Option<Settings>,
    /// The number in the stream, or the index in the log, from which the group continues.
    #[prost(uint64, tag = "4")]
    pub(crate) next: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) filter: Option<Filter>,
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

    pub(super) fn parked_stream(&self) -> String {
        format!("$persistentsubscription-{}::{}-parked", self.stream, self.group)
    }
}

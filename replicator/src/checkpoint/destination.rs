//! A checkpoint in a stream of the destination, in the form that Ditto had in 2018.
//!
//! Stream `Ditto_ReplicatingConsumer_<name>_Checkpoint` with `$maxCount` 10, events `Checkpoint`
//! with `{"LastEventProcessed":N}`; -1 starts over. A position in `$all` has `CommitPosition` and
//! `PreparePosition` beside `LastEventProcessed`, which is then the commit position; a journal's
//! offset is `Offset`. `Name` is the subscription's, and `Event` the last event before the
//! position.
//!
//! In the stream's name, a character other than a letter, a digit, `_` and `.` is written as `%`
//! and its code, so that different names have different streams. In 2018, `$` was left out and `-`
//! became `_`. A checkpoint of such a stream, which has no `Name`, is taken over when no other
//! subscription can mean it.

use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_eventstore as es;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::durable::escaped;
use super::record::EventRecord;
use super::store::CheckpointStore;
use crate::source::{Anchor, Bookmark, Position, error};
use crate::{Error, Result};

const COUNT_MAX: u64 = 10;

/// A checkpoint stream.
pub struct DestinationCheckpoint {
    client: es::EventStoreClient,
    name: String,
    stream: String,
    /// The stream of 2018.
    former: String,
    /// Another subscription that had the same stream in 2018.
    look_alike: Option<String>,
    is_limited: AtomicBool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    last_event_processed: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit_position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prepare_position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<EventRecord>,
}

impl DestinationCheckpoint {
    /// The checkpoint of the subscription `name`, one of all subscriptions `names`.
    pub fn new(client: es::EventStoreClient, name: &str, names: &[String]) -> Self {
        let is_look_alike = |other: &&String| *other != name && former(other) == former(name);
        Self {
            client,
            name: name.to_owned(),
            stream: stream(name),
            former: former(name),
            look_alike: names.iter().find(is_look_alike).cloned(),
            is_limited: AtomicBool::new(false),
        }
    }

    /// The newest record of a stream; none when it has none, or that of another subscription.
    async fn newest(&self, stream: &str) -> Result<Option<Record>> {
        let newest = self.client.newest(stream).await.map_err(error)?.and_then(|one| one.event);
        let Some(newest) = newest else { return Ok(None) };
        let record: Record = serde_json::from_slice(&newest.data).map_err(|error| {
            Error::corrupt(format!(
                "checkpoint stream `{stream}`: event #{}: expected `{{\"LastEventProcessed\":N}}`, actual {error}: append one, with -1 to start over",
                newest.revision
            ))
            .with_source(error)
        })?;
        match (&record.name, &self.look_alike) {
            (Some(name), _) if *name != self.name => Ok(None),
            (None, Some(other)) => Err(Error::corrupt(format!(
                "checkpoint stream `{stream}`: event #{} has no `Name`, and both `{}` and `{other}` had this stream: append a copy of it with `\"Name\":\"{}\"`, or with the other name; with -1 in place of the position to start over",
                newest.revision, self.name, self.name
            ))),
            (Some(_), _) | (None, None) => Ok(Some(record)),
        }
    }

    /// Limits the stream to its last few checkpoints, once, before the first checkpoint.
    async fn limit(&self) -> Result<()> {
        if self.is_limited.load(Ordering::Acquire) {
            return Ok(());
        }
        let current = self.client.stream_metadata(&self.stream).await.map_err(error)?;
        if current.max_count() != Some(COUNT_MAX) {
            let expected = current
                .revision
                .map_or(es::ExpectedRevision::NoStream, es::ExpectedRevision::Exact);
            let limited = current.with_max_count(COUNT_MAX);
            self.client
                .set_stream_metadata(&self.stream, expected, &limited.properties)
                .await
                .map_err(error)?;
        }
        self.is_limited.store(true, Ordering::Release);
        Ok(())
    }
}

fn stream(name: &str) -> String {
    let name = escaped(name, |c| c.is_ascii_alphanumeric() || b"_.".contains(&c));
    format!("Ditto_ReplicatingConsumer_{name}_Checkpoint")
}

/// The stream of 2018, which could be the same for different names.
fn former(name: &str) -> String {
    let name = name.replace('$', "").replace('-', "_");
    format!("Ditto_ReplicatingConsumer_{name}_Checkpoint")
}

fn bookmark(mut record: Record) -> Option<Bookmark> {
    let event = record.event.take().map(Anchor::from);
    position(record).map(|position| Bookmark { event, ..Bookmark::from(position) })
}

fn position(record: Record) -> Option<Position> {
    match record {
        Record { offset: Some(offset), .. } => Some(Position::Journal(offset)),
        Record { commit_position: Some(commit), prepare_position: Some(prepare), .. } => {
            Some(Position::All { commit, prepare })
        }
        Record { last_event_processed, .. } => {
            u64::try_from(last_event_processed).ok().map(Position::Stream)
        }
    }
}

fn record(position: &Position) -> Record {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let empty = Record {
        last_event_processed: -1,
        commit_position: None,
        prepare_position: None,
        offset: None,
        name: None,
        event: None,
    };
    match position {
        Position::Stream(revision) => Record { last_event_processed: number(*revision), ..empty },
        Position::All { commit, prepare } => Record {
            last_event_processed: number(*commit),
            commit_position: Some(*commit),
            prepare_position: Some(*prepare),
            ..empty
        },
        Position::Journal(offset) => Record { offset: Some(offset.clone()), ..empty },
    }
}

#[async_trait]
impl CheckpointStore for DestinationCheckpoint {
    async fn load(&self) -> Result<Option<Bookmark>> {
        let record = match self.newest(&self.stream).await? {
            None if self.former != self.stream => self.newest(&self.former).await?,
            record => record,
        };
        Ok(record.and_then(bookmark))
    }

    async fn save(&self, bookmark: &Bookmark) -> Result<()> {
        self.limit().await?;
        let record = Record {
            name: Some(self.name.clone()),
            event: bookmark.event.as_ref().map(EventRecord::from),
            ..record(&bookmark.position)
        };
        let data = serde_json::to_vec(&record).map_err(|error| {
            Error::bug("a checkpoint cannot be written as JSON").with_source(error)
        })?;
        let event = es::NewEvent::json("Checkpoint", Bytes::from(data));
        let any = es::ExpectedRevision::Any;
        self.client.append(&self.stream, any, vec![event]).await.map_err(error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_have_different_streams() {
        let names = ["order-1", "order_1", "order$1", "$order_1", "order%2D1", "a/BC", "a\u{2FBC}"];
        let streams: std::collections::BTreeSet<String> = names.map(stream).into();
        assert_eq!(streams.len(), names.len());
        assert_eq!(former("$ce-customer"), "Ditto_ReplicatingConsumer_ce_customer_Checkpoint");
    }

    #[test]
    fn the_form_of_2018_is_read_and_written() {
        let read = |text: &str| position(serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"LastEventProcessed":41}"#), Some(Position::Stream(41)));
        assert_eq!(read(r#"{"LastEventProcessed":-1}"#), None);
        let text = serde_json::to_string(&record(&Position::Stream(41))).unwrap();
        assert_eq!(text, r#"{"LastEventProcessed":41}"#);
        for wanted in [Position::All { commit: 9, prepare: 8 }, Position::Journal("o".into())] {
            let text = serde_json::to_string(&record(&wanted)).unwrap();
            assert_eq!(read(&text), Some(wanted));
        }
    }
}

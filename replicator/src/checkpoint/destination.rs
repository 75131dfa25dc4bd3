//! A checkpoint in a stream of the destination, in the form that Ditto had in 2018.
//!
//! Stream `Ditto_ReplicatingConsumer_<name without $, - as _>_Checkpoint` with `$maxCount` 10,
//! events `Checkpoint` with `{"LastEventProcessed":N}`; -1 starts over. A position in `$all` has
//! `CommitPosition` and `PreparePosition` beside `LastEventProcessed`, which is then the commit
//! position; a journal's offset is `Offset`.

use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_eventstore as es;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::store::CheckpointStore;
use crate::source::{Position, error};
use crate::{Error, Result};

const COUNT_MAX: u64 = 10;

/// A checkpoint stream.
pub struct DestinationCheckpoint {
    client: es::EventStoreClient,
    stream: String,
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
}

impl DestinationCheckpoint {
    /// The checkpoint of the subscription `name`.
    pub fn new(client: es::EventStoreClient, name: &str) -> Self {
        let name = name.replace('$', "").replace('-', "_");
        let stream = format!("Ditto_ReplicatingConsumer_{name}_Checkpoint");
        Self { client, stream, is_limited: AtomicBool::new(false) }
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
    async fn load(&self) -> Result<Option<Position>> {
        let stream = &self.stream;
        let newest = self.client.newest(stream).await.map_err(error)?.and_then(|one| one.event);
        let Some(newest) = newest else { return Ok(None) };
        let record = serde_json::from_slice(&newest.data).map_err(|error| {
            Error::corrupt(format!(
                "checkpoint stream `{stream}`: event #{}: expected `{{\"LastEventProcessed\":N}}`, actual {error}: append one, with -1 to start over",
                newest.revision
            ))
            .with_source(error)
        })?;
        Ok(position(record))
    }

    async fn save(&self, position: &Position) -> Result<()> {
        self.limit().await?;
        let data = serde_json::to_vec(&record(position)).map_err(|error| {
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

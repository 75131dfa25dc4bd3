//! The metadata of a stream: a JSON object in the last event of its stream `$$name`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::client::EventStoreClient;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{AppendOutcome, ExpectedRevision, NewEvent};

const TYPE: &str = "$metadata";

/// The metadata of one stream, including unknown properties.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamMetadata {
    /// The number of this version, for the expected revision of the next write; none when no
    /// metadata was ever written.
    pub revision: Option<u64>,
    /// All properties of the object.
    pub properties: Map<String, Value>,
}

impl StreamMetadata {
    /// `$maxAge`: older events are not read, and are removed in time.
    pub fn max_age(&self) -> Option<Duration> {
        self.number("$maxAge").map(Duration::from_secs)
    }

    /// `$maxCount`: the number of last events that are kept.
    pub fn max_count(&self) -> Option<u64> {
        self.number("$maxCount")
    }

    /// `$tb`: events below this number are not read, and are removed in time. A deleted stream has
    /// `i64::MAX` here.
    pub fn truncate_before(&self) -> Option<u64> {
        self.number("$tb")
    }

    /// The same metadata with another `$maxAge`, in whole seconds.
    #[must_use]
    pub fn with_max_age(self, age: Duration) -> Self {
        self.with("$maxAge", age.as_secs().into())
    }

    /// The same metadata with another `$maxCount`.
    #[must_use]
    pub fn with_max_count(self, count: u64) -> Self {
        self.with("$maxCount", count.into())
    }

    /// The same metadata with another `$tb`.
    #[must_use]
    pub fn with_truncate_before(self, revision: u64) -> Self {
        self.with("$tb", revision.into())
    }

    /// The same metadata with another value of `name`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.properties.insert(name.to_owned(), value);
        self
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.properties.get(name).and_then(Value::as_u64)
    }
}

impl EventStoreClient {
    /// The metadata of a stream; empty when none was ever written. A cancelled call leaves nothing
    /// behind.
    ///
    /// # Errors
    /// The errors of a read; `Corrupt` when the metadata is not a JSON object.
    pub async fn stream_metadata(&self, stream: &str) -> Result<StreamMetadata> {
        let newest = self.newest(&format!("$${stream}")).await?.and_then(|newest| newest.event);
        let Some(newest) = newest else { return Ok(StreamMetadata::default()) };
        let properties = match serde_json::from_slice(&newest.data) {
            Ok(properties) => properties,
            Err(_) if newest.data.is_empty() => Map::new(),
            Err(error) => {
                let why = format!("metadata of stream `{stream}`: expected a JSON object");
                return Err(Error::corrupt(why).with_source(error));
            }
        };
        Ok(StreamMetadata { revision: Some(newest.revision), properties })
    }

    /// Replaces the metadata of a stream, which need not exist. `expected` refers to the metadata's
    /// own number, [`StreamMetadata::revision`]. A cancelled call may have written.
    ///
    /// # Errors
    /// The errors of an append.
    pub async fn set_stream_metadata(
        &self,
        stream: &str,
        expected: ExpectedRevision,
        properties: &Map<String, Value>,
    ) -> Result<AppendOutcome> {
        let data = serde_json::to_vec(properties).map_err(|error| {
            Error::new(ErrorKind::Bug, "metadata cannot be written as JSON").with_source(error)
        })?;
        let event = NewEvent::json(TYPE, Bytes::from(data));
        self.append(&format!("$${stream}"), expected, vec![event]).await
    }
}

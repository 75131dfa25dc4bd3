//! A file with one line of JSON per event.
//!
//! ```text
//! {"stream_id":"customer-1","event_id":"..","event_number":0,"event_type":"Created",
//!  "event_timestamp":1763000000000000,"is_json":true,"data":{..},"metadata":{..}}
//! ```
//!
//! The timestamp is in microseconds since 1970. Data and metadata are stored unchanged if they are
//! JSON, else as base64 in `data_base64` and `metadata_base64`; both fields are absent when empty.
//! A write is on the disk before it counts. When the file is opened, a line that a crash cut off is
//! removed, and the ids in the last [`LOOK_BACK_BYTES`] are read, so that a repeated event is not
//! written twice.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Outcome, Sink};
use crate::checkpoint::durable::whole_lines;
use crate::event::{Envelope, Event};
use crate::journal_event::micros;
use crate::{Error, Result};

/// Number of bytes at the end of the file that are read when it is opened, to collect the ids in
/// it.
pub const LOOK_BACK_BYTES: u64 = 64 * 1024 * 1024;

/// A file with one line per event.
pub struct NdjsonSink {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

struct State {
    file: File,
    /// The length of the complete lines.
    length: u64,
    known: BTreeSet<Uuid>,
}

#[derive(Serialize)]
struct Line<'a> {
    stream_id: &'a str,
    event_id: Uuid,
    event_number: u64,
    event_type: &'a str,
    event_timestamp: u64,
    is_json: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
}

#[derive(Deserialize)]
struct LineId {
    event_id: Uuid,
}

impl NdjsonSink {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// `Unavailable`, naming the file, when it cannot be opened or read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let state = State::open(&path).map_err(|error| unavailable(&path, error))?;
        Ok(Self { path, state: Arc::new(Mutex::new(state)) })
    }
}

fn unavailable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("file `{}`: {error}", path.display())).with_source(error)
}

impl State {
    fn open(path: &Path) -> std::io::Result<Self> {
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(LOOK_BACK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = whole_lines(&tail);
        let whole_length = start + u64::try_from(whole).unwrap_or_default();
        file.set_len(whole_length)?;
        let lines = tail[..whole].split(|byte| *byte == b'\n');
        let ids = lines.filter_map(|line| serde_json::from_slice::<LineId>(line).ok());
        Ok(Self { file, length: whole_length, known: ids.map(|line| line.event_id).collect() })
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        // the next try overwrites a write that failed half way
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.length += u64::try_from(lines.len()).unwrap_or_default();
        Ok(())
    }

    fn append(&mut self, events: &[Event]) -> std::io::Result<Vec<Outcome>> {
        let mut lines = Vec::new();
        let mut outcomes = Vec::with_capacity(events.len());
        let mut fresh = BTreeSet::new();
        for event in events {
            if self.known.contains(&event.id) || !fresh.insert(event.id) {
                outcomes.push(Outcome::Duplicate);
                continue;
            }
            serde_json::to_writer(&mut lines, &line(event))?;
            lines.push(b'\n');
            outcomes.push(Outcome::Written(None));
        }
        if !lines.is_empty() {
            self.write(&lines)?;
        }
        Ok(outcomes)
    }
}

fn line(event: &Event) -> Line<'_> {
    let (data, data_base64) = inline(&event.data);
    let (metadata, metadata_base64) = inline(&event.metadata);
    Line {
        stream_id: &event.stream,
        event_id: event.id,
        event_number: event.revision,
        event_type: &event.event_type,
        event_timestamp: micros(event.created),
        is_json: event.is_json,
        data,
        data_base64,
        metadata,
        metadata_base64,
    }
}

/// The bytes as JSON if they are JSON on one line, else as base64. Neither when there are no bytes.
fn inline(bytes: &[u8]) -> (Option<&RawValue>, Option<String>) {
    if bytes.is_empty() {
        return (None, None);
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) if raw.get().len() == bytes.len() && !bytes.contains(&b'\n') => (Some(raw), None),
        _ => (None, Some(STANDARD.encode(bytes))),
    }
}

#[async_trait]
impl Sink for NdjsonSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let events: Vec<Event> = batch.iter().map(|envelope| envelope.event.clone()).collect();
        let (count, state) = (events.len(), self.state.clone());
        let written = tokio::task::spawn_blocking(move || state.lock().append(&events));
        let failed = match written.await {
            Ok(Ok(outcomes)) => return outcomes,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        vec![Outcome::Unavailable(format!("file `{}`: {failed}", self.path.display())); count]
    }

    fn mixes_streams(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn envelope(id: u128, data: &'static [u8]) -> Envelope {
        let event = Event::example("customer-1", 0, "");
        Envelope::of(Event { id: Uuid::from_u128(id), data: Bytes::from_static(data), ..event })
    }

    #[tokio::test]
    async fn a_torn_line_is_cut_and_an_event_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        let sink = NdjsonSink::open(&path).unwrap();
        let first = [envelope(1, br#"{"a":1}"#), envelope(2, b"\xff\x00")];
        assert_eq!(sink.write(&first).await, vec![Outcome::Written(None); 2]);
        drop(sink);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"stream").unwrap();

        let sink = NdjsonSink::open(&path).unwrap();
        let outcomes = sink.write(&[envelope(2, b"\xff\x00"), envelope(3, b"")]).await;

        assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Written(None)]);
        let text = std::fs::read_to_string(&path).unwrap();
        let common =
            r#""event_number":0,"event_type":"Created","event_timestamp":0,"is_json":true"#;
        let line = |id: u128, rest: &str| {
            let id = Uuid::from_u128(id);
            format!("{{\"stream_id\":\"customer-1\",\"event_id\":\"{id}\",{common}{rest}}}\n")
        };
        let expected =
            [line(1, r#","data":{"a":1}"#), line(2, r#","data_base64":"/wA=""#), line(3, "")];
        assert_eq!(text, expected.concat());
    }
}

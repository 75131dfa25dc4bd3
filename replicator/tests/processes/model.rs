//! The model of a campaign: the streams of a store as they are to be, event by event. The rules of
//! a server are here once more, so that a mistake of the servers shows too.

use std::collections::BTreeMap;
use std::fmt;

use antiphon_eventstore as es;
use antiphon_eventstore_testserver::TestServer;
use serde_json::Value;

use crate::support::client;

/// The `$tb` of a deleted stream.
const DELETED: u64 = i64::MAX.cast_unsigned();

/// All streams that a campaign has written.
#[derive(Default)]
pub(crate) struct Model {
    streams: BTreeMap<String, Stream>,
}

#[derive(Default)]
struct Stream {
    events: Vec<es::NewEvent>,
    /// The newest metadata, as it is to be read.
    metadata: Option<String>,
    tombstoned: bool,
}

/// A reader's view of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Missing,
    Tombstoned,
    Events(Vec<String>),
}

/// The first stream that is not what it is to be.
#[derive(Debug)]
pub(crate) struct Difference {
    stream: String,
    what: &'static str,
    expected: String,
    actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, what, expected, actual } = self;
        write!(f, "{what} of `{stream}`:\nexpected {expected}\nactual   {actual}")
    }
}

impl Model {
    /// The number of events in all streams, hidden ones included.
    pub(crate) fn event_count(&self) -> usize {
        self.streams.values().map(|stream| stream.events.len()).sum()
    }

    /// The streams that can be written.
    pub(crate) fn living(&self) -> Vec<String> {
        let living = self.streams.iter().filter(|(_, stream)| !stream.tombstoned);
        living.map(|(name, _)| name.clone()).collect()
    }

    /// The number of events of a stream, hidden ones included.
    pub(crate) fn length(&self, name: &str) -> u64 {
        self.streams.get(name).map_or(0, |stream| stream.events.len() as u64)
    }

    /// Appends at the server and here.
    pub(crate) fn append(&mut self, server: &TestServer, name: &str, event: es::NewEvent) {
        server.append(name, vec![event.clone()]).unwrap();
        let stream = self.streams.entry(name.to_owned()).or_default();
        if stream.is_deleted() {
            stream.bring_back();
        }
        stream.events.push(event);
    }

    pub(crate) fn delete(&mut self, server: &TestServer, name: &str) {
        server.delete(name).unwrap();
        let stream = self.streams.get_mut(name).expect("a stream that was written");
        stream.metadata = Some(format!(r#"{{"$tb":{DELETED}}}"#));
    }

    pub(crate) fn tombstone(&mut self, server: &TestServer, name: &str) {
        server.tombstone(name).unwrap();
        self.streams.get_mut(name).expect("a stream that was written").tombstoned = true;
    }

    /// Writes metadata, which brings a deleted stream back without its events.
    pub(crate) fn describe(&mut self, server: &TestServer, name: &str, metadata: &str) {
        let event = es::NewEvent::json("$metadata", metadata.to_owned());
        server.append(&format!("$${name}"), vec![event]).unwrap();
        let stream = self.streams.get_mut(name).expect("a stream that was written");
        let was_deleted = stream.is_deleted();
        stream.metadata = Some(metadata.to_owned());
        if was_deleted {
            stream.bring_back();
        }
    }

    /// Compares each stream and its metadata with a server. Returns the first difference.
    pub(crate) async fn compare(&self, server: &TestServer) -> Result<(), Difference> {
        let client = client(&server.connection_string());
        for (name, stream) in &self.streams {
            let (expected, actual) = (stream.sight(), sight(&client, name).await);
            let metadata = match stream.tombstoned || actual == Sight::Tombstoned {
                true => (None, None),
                false => (stream.metadata.clone(), newest_metadata(&client, name).await),
            };
            if expected != actual {
                let (mut expected, mut actual) = shortened(&expected, &actual);
                for (side, text) in [(&mut expected, metadata.0), (&mut actual, metadata.1)] {
                    side.push_str(&format!("; metadata {}", text.as_deref().unwrap_or("none")));
                }
                let stream = name.clone();
                return Err(Difference { stream, what: "events", expected, actual });
            }
            let (expected, actual) = metadata;
            if expected != actual {
                let shown = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
                let (expected, actual) = (shown(expected), shown(actual));
                let stream = name.clone();
                return Err(Difference { stream, what: "metadata", expected, actual });
            }
        }
        Ok(())
    }
}

impl Stream {
    fn limit(&self, name: &str) -> Option<u64> {
        let metadata: Value = serde_json::from_str(self.metadata.as_deref()?).unwrap();
        metadata[name].as_u64()
    }

    fn is_deleted(&self) -> bool {
        self.limit("$tb") == Some(DELETED)
    }

    /// Brings a deleted stream back as a server does: `$tb` hides all events of before.
    fn bring_back(&mut self) {
        let before = format!(r#""$tb":{}"#, self.events.len());
        let metadata = self.metadata.take().unwrap_or_default();
        let rest = metadata.strip_suffix('}').expect("metadata of a campaign is an object");
        let metadata = match rest {
            "{" => format!("{{{before}}}"),
            // the metadata of a deletion
            _ if rest.contains(r#""$tb":"#) => format!("{{{before}}}"),
            _ => format!("{rest},{before}}}"),
        };
        self.metadata = Some(metadata);
    }

    fn sight(&self) -> Sight {
        if self.tombstoned {
            return Sight::Tombstoned;
        }
        if self.is_deleted() || self.events.is_empty() {
            return Sight::Missing;
        }
        let length = self.events.len();
        let first = |number| usize::try_from(number).unwrap();
        let count = self.limit("$maxCount").map_or(0, |count| length.saturating_sub(first(count)));
        let hidden = count.max(self.limit("$tb").map_or(0, first));
        let shown = self.events.iter().enumerate().skip(hidden);
        Sight::Events(shown.map(|(number, event)| line(number as u64, event)).collect())
    }
}

async fn newest_metadata(client: &es::EventStoreClient, name: &str) -> Option<String> {
    let newest = client.newest(&format!("$${name}")).await.unwrap();
    newest.map(|newest| String::from_utf8_lossy(&newest.event.unwrap().data).into_owned())
}

async fn sight(client: &es::EventStoreClient, name: &str) -> Sight {
    let (forwards, start) = (es::Direction::Forwards, es::ReadFrom::Start);
    let read = client.read_stream(name, forwards, start, u64::MAX, false).await.unwrap();
    match read.collect().await {
        Ok(events) => {
            let events = events.into_iter().filter_map(|event| event.event);
            let line = |read: es::RecordedEvent| {
                let event = es::NewEvent {
                    id: read.id,
                    event_type: read.event_type,
                    is_json: read.is_json,
                    data: read.data,
                    metadata: read.metadata,
                };
                line(read.revision, &event)
            };
            Sight::Events(events.map(line).collect())
        }
        Err(error) if error.kind() == es::ErrorKind::NotFound => Sight::Missing,
        Err(error) if error.kind() == es::ErrorKind::StreamDeleted => Sight::Tombstoned,
        Err(error) => panic!("read `{name}`: {error}"),
    }
}

/// Everything of an event, in a line.
fn line(revision: u64, event: &es::NewEvent) -> String {
    let es::NewEvent { id, event_type, is_json, data, metadata } = event;
    format!("{revision} {id} {event_type} {is_json} {data:?} {metadata:?}")
}

/// Both sides from the first difference on, a few lines of them.
fn shortened(expected: &Sight, actual: &Sight) -> (String, String) {
    let (Sight::Events(expected), Sight::Events(actual)) = (expected, actual) else {
        let words = |sight: &Sight| match sight {
            Sight::Events(events) => format!("{} events", events.len()),
            Sight::Missing | Sight::Tombstoned => format!("{sight:?}"),
        };
        return (words(expected), words(actual));
    };
    let same = expected.iter().zip(actual).take_while(|(one, other)| one == other).count();
    let rest = |lines: &[String]| {
        format!(
            "{} events, from {same} on {:#?}",
            lines.len(),
            &lines[same..lines.len().min(same + 2)]
        )
    };
    (rest(expected), rest(actual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{event, server};

    #[tokio::test]
    async fn the_model_knows_what_a_server_does_and_sees_what_is_different() {
        let (server, other) = (server().await, server().await);
        let mut model = Model::default();
        for stream in ["a-1", "b-1", "c-1"] {
            (0..4).for_each(|n| model.append(&server, stream, event(&n.to_string())));
        }
        model.describe(&server, "a-1", r#"{"$maxCount":2}"#);
        model.compare(&server).await.unwrap();
        model.delete(&server, "a-1");
        model.compare(&server).await.unwrap();
        model.describe(&server, "a-1", r#"{"z":1,"a":12345678901234567890}"#);
        model.compare(&server).await.unwrap();
        model.delete(&server, "a-1");
        model.describe(&server, "a-1", "{}");
        model.compare(&server).await.unwrap();
        model.describe(&server, "a-1", r#"{"$tb":1}"#);
        model.delete(&server, "b-1");
        model.append(&server, "b-1", event("again"));
        model.tombstone(&server, "c-1");
        model.compare(&server).await.unwrap();

        let missing = model.compare(&other).await.unwrap_err().to_string();
        assert!(missing.starts_with("events of `a-1`:\nexpected 3 events"), "{missing}");
        assert!(missing.contains("\nactual   Missing"), "{missing}");
        server.append("b-1", vec![event("not of the model")]).unwrap();
        let more = model.compare(&server).await.unwrap_err().to_string();
        assert!(more.contains("expected 1 events") && more.contains("actual   2 events"), "{more}");
    }
}

//! Random histories with deletions, truncations and tombstones, copied by sinks that are killed and
//! begin again: every event is at the destination once, and both sides show the same. A few
//! histories by default; `REPLICATOR_HIDDEN_SEEDS=1000` for the campaign.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_eventstore as es;
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use uuid::Uuid;

use crate::config::Settings;
use crate::event::{Envelope, Event};
use crate::filter::Shaping;
use crate::sink::{EventStoreSink, EventStoreSinkSettings, Origin, Outcome, Sink, Versions};
use crate::source::recorded_event;

const STREAMS: [&str; 3] = ["a", "b-1", "c"];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_hidden_nothing_is_written_twice_and_both_sides_show_the_same() {
    for versions in [Versions::Exact, Versions::LookBack] {
        for seed in seeds() {
            World::run(seed, versions, |_| true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_does_not_bring_hidden_events_back() {
    for seed in seeds() {
        World::run(seed, Versions::LookBack, |event| event.id.as_u128() % 3 > 0).await;
    }
}

/// Metadata that bring a deleted stream back make the server hide the events that it has then. They
/// may overtake the events, whose lanes are others.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_overtake_the_events_of_a_stream_that_came_back_stay_as_they_are() {
    let settings = || ServerSettings { link_categories: false, ..ServerSettings::default() };
    let _source = TestServer::start(settings()).await.unwrap();
    let _destination = TestServer::start(settings()).await.unwrap();
    let (from, to) = (client(&_source), client(&_destination));
    let (versions, any) = (Versions::Exact, es::ExpectedRevision::Any);
    let mut world = World { first_seed: 1, seed: 1, _source, from, to, versions, _destination };
    for _ in 0..3 {
        let event = es::NewEvent::json("Happened", "{}").with_id(world.id());
        world.from.append("a", any, vec![event]).await.unwrap();
    }
    world.from.delete_stream("a", any).await.unwrap();
    let event = es::NewEvent::json("Happened", "{}").with_id(world.id());
    world.from.append("a", any, vec![event]).await.unwrap();

    let history = world.history().await;
    let (metadata, events): (Vec<Event>, Vec<Event>) =
        history.into_iter().partition(Event::is_stream_metadata);
    assert_eq!((metadata.len(), events.len()), (2, 4));
    for _ in 0..2 {
        world.copy(metadata.clone()).await;
        world.copy(events.clone()).await;
        let newest = async |client: &es::EventStoreClient| {
            client.newest("$$a").await.unwrap().and_then(|one| one.event).map(|event| event.data)
        };
        assert_eq!(newest(&world.to).await, newest(&world.from).await);
        assert_eq!(shown(&world.to, "a").await, shown(&world.from, "a").await);
    }
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    let seeds = std::env::var("REPLICATOR_HIDDEN_SEEDS").ok();
    1..=seeds.map_or(12, |seeds| seeds.parse().expect("REPLICATOR_HIDDEN_SEEDS is a number"))
}

struct World {
    first_seed: u64,
    seed: u64,
    _source: TestServer,
    from: es::EventStoreClient,
    to: es::EventStoreClient,
    versions: Versions,
    _destination: TestServer,
}

impl World {
    async fn run(seed: u64, versions: Versions, is_copied: impl Fn(&Event) -> bool) {
        let settings = || ServerSettings { link_categories: false, ..ServerSettings::default() };
        let source = TestServer::start(settings()).await.unwrap();
        let destination = TestServer::start(settings()).await.unwrap();
        let (from, to) = (client(&source), client(&destination));
        let first_seed = seed;
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (_source, _destination) = (source, destination);
        let mut world = Self { first_seed, seed, _source, from, to, versions, _destination };
        for _ in 0..3 {
            world.happen().await;
            let history = world.history().await;
            let copied = history.into_iter().filter(|event| {
                event.is_stream_metadata() || event.is_tombstone() || is_copied(event)
            });
            world.copy(copied.collect()).await;
            world.is_the_same(&is_copied).await;
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % end
    }

    /// Changes the source at random.
    async fn happen(&mut self) {
        for _ in 0..12 {
            let stream = STREAMS[usize::try_from(self.below(3)).unwrap()];
            let any = es::ExpectedRevision::Any;
            let metadata = es::StreamMetadata::default();
            let changed = match self.below(20) {
                0 => self.from.delete_stream(stream, any).await.map(|_| ()),
                1 if stream == "c" => self.from.tombstone_stream(stream, any).await.map(|_| ()),
                2 | 3 => {
                    let limited = metadata.with_max_count(1 + self.below(4));
                    self.from
                        .set_stream_metadata(stream, any, &limited.properties)
                        .await
                        .map(|_| ())
                }
                4 => {
                    let before = self.below(9);
                    let truncated = metadata.with_truncate_before(before);
                    let set = self.from.set_stream_metadata(stream, any, &truncated.properties);
                    set.await.map(|_| ())
                }
                5 => self
                    .from
                    .set_stream_metadata(stream, any, &metadata.properties)
                    .await
                    .map(|_| ()),
                _ => {
                    let count = 1 + self.below(4);
                    let event = |_| es::NewEvent::json("Happened", "{}").with_id(self.id());
                    let events = (0..count).map(event).collect();
                    self.from.append(stream, any, events).await.map(|_| ())
                }
            };
            // a stream that is gone, or never was
            let refused =
                [es::ErrorKind::StreamDeleted, es::ErrorKind::Rejected, es::ErrorKind::NotFound];
            assert!(changed.is_ok() || changed.is_err_and(|one| refused.contains(&one.kind())));
        }
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.below(u64::MAX), self.below(u64::MAX))
    }

    async fn history(&self) -> Vec<Event> {
        log(&self.from).await.into_iter().map(recorded_event).collect()
    }

    /// Copies a history with sinks that are killed at random, and begin again at or before the
    /// place that they had reached.
    async fn copy(&mut self, history: Vec<Event>) {
        let mut next = 0;
        let mut lives = 0;
        while next < history.len() {
            lives += 1;
            assert!(lives < 100, "no end");
            let sink = self.sink();
            next =
                if lives == 1 { 0 } else { usize::try_from(self.below(next as u64 + 1)).unwrap() };
            while next < history.len() && (lives > 5 || self.below(4) > 0) {
                next = self.write(&sink, &history, next).await;
            }
        }
    }

    async fn write(&mut self, sink: &EventStoreSink, history: &[Event], next: usize) -> usize {
        let key = |event: &Event| event.stream.trim_start_matches("$$").to_owned();
        let first = key(&history[next]);
        let count = 1 + usize::try_from(self.below(12)).unwrap();
        let same = |event: &&Event| self.versions == Versions::Exact || key(event) == first;
        let batch: Vec<Envelope> = history[next..]
            .iter()
            .take(count)
            .take_while(same)
            .map(|event| Envelope::of(event.clone()))
            .collect();
        let outcomes = sink.write(&batch).await;
        let is_done = outcomes.iter().all(Outcome::is_done);
        assert!(is_done, "{:?} {outcomes:?} of {batch:?}", self.versions);
        next + batch.len()
    }

    fn sink(&self) -> EventStoreSink {
        let shaping = Arc::new(Shaping::new(&Settings::default()).unwrap());
        let origin = Origin::new(self.from.clone(), shaping);
        let settings =
            EventStoreSinkSettings { versions: self.versions, ..EventStoreSinkSettings::default() };
        EventStoreSink::new(self.to.clone(), settings, Some(origin))
    }

    async fn is_the_same(&self, is_copied: &impl Fn(&Event) -> bool) {
        let (from, to) = (log(&self.from).await, log(&self.to).await);
        let ids = |log: &[es::RecordedEvent], is_copied: &dyn Fn(&Event) -> bool| {
            let mut all: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
            for event in log.iter().filter(|event| !event.stream.starts_with('$')) {
                let event = recorded_event(event.clone());
                if !event.is_tombstone() && is_copied(&event) {
                    all.entry(event.stream.to_string()).or_default().push(event.id);
                }
            }
            all
        };
        let (there, wanted) = (ids(&to, &|_| true), ids(&from, is_copied));
        assert_eq!(there, wanted, "seed {} {:?}", self.first_seed, self.versions);
        let has_all = self.versions == Versions::Exact;
        for stream in STREAMS.into_iter().filter(|_| !has_all) {
            let (from, to) = (shown(&self.from, stream).await, shown(&self.to, stream).await);
            assert_eq!(from.is_none(), to.is_none(), "seed {} `{stream}`", self.first_seed);
            let event = |id| Event { id, ..Event::example(stream, 0, "") };
            let ids = |shown: Option<Vec<(u64, Uuid)>>| -> Vec<Uuid> {
                shown.into_iter().flatten().map(|(_, id)| id).collect()
            };
            // its own numbers hide no event that the source shows
            let wanted = ids(from).into_iter().filter(|id| is_copied(&event(*id)));
            let (wanted, to): (Vec<Uuid>, Vec<Uuid>) = (wanted.collect(), ids(to));
            let seed = self.first_seed;
            assert!(to.ends_with(&wanted), "seed {seed} `{stream}`: {to:?} of {wanted:?}");
        }
        for stream in STREAMS.into_iter().filter(|_| has_all) {
            let shown = (shown(&self.from, stream).await, shown(&self.to, stream).await);
            assert_eq!(shown.0, shown.1, "seed {} `{stream}` {:?}", self.first_seed, self.versions);
        }
    }
}

fn client(server: &TestServer) -> es::EventStoreClient {
    let connection = es::ConnectionString::parse(&server.connection_string()).unwrap();
    es::EventStoreClient::new(connection, es::ClientSettings::default()).unwrap()
}

async fn log(client: &es::EventStoreClient) -> Vec<es::RecordedEvent> {
    let (forwards, start) = (es::Direction::Forwards, es::ReadFrom::Start);
    let events = client.read_all(forwards, start, u64::MAX, false).await.unwrap();
    let events = events.collect().await.unwrap();
    let mut seen = BTreeSet::new();
    let events = events.into_iter().filter_map(|one| one.event);
    events.inspect(|event| assert!(seen.insert((event.stream.clone(), event.revision)))).collect()
}

/// The events of a stream that are shown; none when the stream is gone for ever.
async fn shown(client: &es::EventStoreClient, stream: &str) -> Option<Vec<(u64, Uuid)>> {
    let (forwards, start) = (es::Direction::Forwards, es::ReadFrom::Start);
    let events = client.read_if_there(stream, forwards, start, u64::MAX).await.ok()?;
    let events = events.into_iter().filter_map(|one| one.event);
    Some(events.map(|event| (event.revision, event.id)).collect())
}

//! Cases of whole entities, where one replica catches up with the events of another: entities form
//! their appends and pages in the unit of the store's limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::task::spawn;
use antiphon_base::time::SystemClock;
use antiphon_persistence::entity::{
    CommandContext, Effect, EntityHandle, EntityHost, EntityParts, EntityRuntime, EntitySettings,
    EventContext, EventSourced, StandaloneHost,
};
use antiphon_persistence::event::{Labels, Metadata, SequenceNr, Tags};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::{Claim, ReplyError, ReplyTo, claimed_reply_channel};
use antiphon_persistence::store::Stores;

use crate::Kit;
use crate::kit::{id, replica, writer_id};

const PLACES: [&str; 2] = ["DC-A", "DC-B"];

pub(crate) struct Notes;

pub(crate) enum Command {
    Add(Vec<String>, ReplyTo<u64>),
    Count(ReplyTo<u64>),
}

impl EventSourced for Notes {
    type Command = Command;
    type Event = String;
    type State = u64;

    fn on_command(&self, _: &CommandContext, count: &u64, command: Command) -> Effect<Self> {
        match command {
            Command::Add(notes, reply_to) => {
                Effect::persist_all(notes).then_reply(reply_to, |count| *count)
            }
            Command::Count(reply_to) => Effect::reply(reply_to, *count),
        }
    }

    fn on_event(&self, _: &EventContext, count: &mut u64, _: &String) {
        *count += 1;
    }

    fn tags(&self, note: &String) -> Tags {
        note.strip_prefix('#').into_iter().collect()
    }
}

/// The entities of a place. The streams of both places are in the same stores.
async fn place(stores: &Stores, name: &str) -> EntityRuntime<Notes> {
    place_with(stores, name, EntitySettings::default()).await
}

pub(crate) async fn place_with(
    stores: &Stores,
    name: &str,
    settings: EntitySettings,
) -> EntityRuntime<Notes> {
    hosted(stores, name, settings, Arc::new(StandaloneHost)).await
}

/// The entities of a place with a host of their own.
pub(crate) async fn hosted(
    stores: &Stores,
    name: &str,
    settings: EntitySettings,
    host: Arc<dyn EntityHost>,
) -> EntityRuntime<Notes> {
    let writer = writer_id(&format!("writer-{name}"));
    stores.journal.open_writer(&writer).await.expect("a new writer");
    let peers = PLACES.into_iter().filter(|other| *other != name);
    let peers: BTreeMap<_, _> =
        peers.map(|other| (replica(other), stores.journal.clone())).collect();
    let parts = EntityParts {
        journal: stores.journal.clone(),
        snapshots: stores.snapshots.clone(),
        reminders: stores.reminders.clone(),
        writer,
        peers,
        clock: Arc::new(SystemClock),
        host,
        coordination: None,
    };
    EntityRuntime::new(PLACES.map(replica), |_| Notes, settings, parts).expect("the settings fit")
}

pub(crate) fn entity(runtime: &EntityRuntime<Notes>, id: &str, place: &str) -> EntityHandle<Notes> {
    let id = ReplicationId::new("note", id, replica(place)).expect("the kit's names are allowed");
    runtime.spawn(id).expect("an entity")
}

/// `append` must take every append within `limits`: entities cut their appends, and the backlogs
/// that they read from others, so that each append fits.
pub async fn backlogs_of_events_of_every_size_catch_up(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let (a, b) =
        (place(&kit.stores, "DC-A").await, place(&kit.other_session().await, "DC-B").await);
    for (bytes, count) in [
        (1 << 10, 300),
        (20 << 10, 300),
        (100 << 10, 60),
        (400_000, 20),
        (1 << 20, 12),
        (4 << 20, 3),
    ] {
        let id = format!("n-{bytes}");
        let writing = entity(&a, &id, "DC-A");
        let asks: Vec<_> = (0..count)
            .map(|_| {
                let (writing, note) = (writing.clone(), "x".repeat(bytes));
                spawn("tck", async move { writing.ask(|to| Command::Add(vec![note], to)).await })
            })
            .collect();
        for ask in asks {
            let answer = ask.await.expect("no panic");
            assert!(answer.is_ok(), "events of {bytes} bytes, all at once: {answer:?}");
        }
        let reading = entity(&b, &id, "DC-B");
        // the kit has a time limit
        while reading.ask(Command::Count).await != Ok(count) {
            tokio::task::yield_now().await;
        }
        writing.stop();
        reading.stop();
    }
}

/// The metadata and the tags of an event must be read back equal: they reach the other replica,
/// which reads the event from this store and stores it in a stream of its own.
pub async fn the_metadata_and_tags_of_an_event_reach_the_other_replica(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let (a, b) =
        (place(&kit.stores, "DC-A").await, place(&kit.other_session().await, "DC-B").await);
    let metadata = Metadata::new().with("correlation-id", "order-7").expect("short metadata");
    let claim = Claim::open_with(metadata.clone());
    let (reply_to, reply) = claimed_reply_channel(&claim);
    let notes = vec!["#urgent".to_owned(), "milk".to_owned()];
    let writing = entity(&a, "n-1", "DC-A");
    let told = writing.try_claimed(Command::Add(notes, reply_to), claim);
    assert!(told.is_ok(), "the mailbox has room");
    assert_eq!(reply.wait().await, Ok(2));
    let reading = entity(&b, "n-1", "DC-B");
    // the kit has a time limit
    while reading.ask(Command::Count).await != Ok(2) {
        tokio::task::yield_now().await;
    }
    let tagged = Labels::new(metadata.clone(), Tags::from(["urgent"])).expect("one tag");
    let expected = [tagged, Labels::new(metadata, Tags::none()).expect("no tag")];
    for stream in ["note|n-1|DC-A", "note|n-1|DC-B"] {
        let stored = kit.replay_all(&id(stream)).await;
        let labels: Vec<_> = stored.into_iter().map(|event| event.meta.labels).collect();
        assert_eq!(labels, expected, "{stream}");
    }
}

/// The events of one command are stored together or not at all: a command whose events do not fit
/// one append is rejected, and the entity goes on.
pub async fn a_command_with_more_than_an_append_is_rejected(kit: Kit) {
    let runtime = place(&kit.stores, "DC-A").await;
    let writing = entity(&runtime, "n-1", "DC-A");
    let half = kit.stores.journal.limits().append_bytes_max / 2;
    let part = "x".repeat(half.min(1 << 20));
    let notes = vec![part.clone(); half / part.len() * 2 + 1];
    let answer = writing.ask(|to| Command::Add(notes, to)).await;
    assert!(matches!(answer, Err(ReplyError::Rejected(_))), "{answer:?}");
    assert_eq!(writing.ask(|to| Command::Add(vec![part], to)).await, Ok(1));
}

/// Stops an entity, and waits until it is gone.
pub(crate) async fn stopped(entity: &EntityHandle<Notes>) {
    entity.stop();
    // the kit has a time limit
    while !entity.is_gone() {
        tokio::task::yield_now().await;
    }
}

/// One life of an entity, in which it stores three events. Returns their count.
async fn life(runtime: &EntityRuntime<Notes>) -> Result<u64, ReplyError> {
    let writing = entity(runtime, "n-1", "DC-A");
    let notes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let answer = writing.ask(|to| Command::Add(notes, to)).await;
    stopped(&writing).await;
    answer
}

/// Waits until the newest snapshot has this number, which may be stored after the entity has
/// stopped, and checks that there is none after it; zero: there is none.
async fn has_snapshot(kit: &Kit, expected: u64) {
    let stream = id("note|n-1|DC-A");
    loop {
        let newest = kit.stores.snapshots.latest_snapshot(&stream, SequenceNr::MAX).await;
        let number = newest.expect("load").map_or(0, |snapshot| snapshot.sequence_nr.value());
        assert!(number <= expected, "a snapshot {number}, expected {expected}");
        if number == expected {
            return;
        }
        // the kit has a time limit
        tokio::task::yield_now().await;
    }
}

/// The events of an entity are counted over its lives: one that gets fewer events than
/// `snapshot_every` between two passivations has its snapshot in time.
pub async fn snapshots_by_count_come_in_time_over_passivations(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let settings = EntitySettings { snapshot_every: 10, ..EntitySettings::default() };
    let runtime = place_with(&kit.stores, "DC-A", settings).await;
    for (count, expected) in (3..).step_by(3).zip([0, 0, 0, 12, 12, 12, 12, 24]) {
        assert_eq!(life(&runtime).await, Ok(count));
        has_snapshot(&kit, expected).await;
    }
}

/// A recovery that has replayed `snapshot_after_replay` events stores a snapshot, and the next one
/// begins with it.
pub async fn a_long_recovery_stores_a_snapshot(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let settings = EntitySettings { snapshot_after_replay: 6, ..EntitySettings::default() };
    let runtime = place_with(&kit.stores, "DC-A", settings).await;
    for (count, expected) in (3..).step_by(3).zip([0, 0, 6, 6]) {
        assert_eq!(life(&runtime).await, Ok(count));
        has_snapshot(&kit, expected).await;
    }
}

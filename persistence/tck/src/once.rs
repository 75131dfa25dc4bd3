//! Cases of commands with a request id: their events, snapshots and answers are in the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_persistence::entity::{EntityHandle, EntityHost, EntitySettings};
use antiphon_persistence::event::{RequestId, SequenceNr};
use antiphon_persistence::reply::ReplyError;

use crate::Kit;
use crate::entities::{Command, Notes, entity, hosted, place_with, stopped};
use crate::kit::id;

fn request(text: &str) -> RequestId {
    RequestId::new(text).expect("a short id")
}

async fn add(entity: &EntityHandle<Notes>, request_id: &str) -> Result<u64, ReplyError> {
    let notes = ["a", "b"].map(str::to_owned).to_vec();
    entity.ask_once(&request(request_id), |to| Command::Add(notes, to)).await
}

/// A host whose node may not answer: events are stored, and answers are lost.
struct Muted(AtomicBool);

impl EntityHost for Muted {
    fn may_release(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }
}

/// The entity dies between the append and the answer: its next life reads from the store that the
/// request was done, and gives its answer.
pub async fn a_request_whose_answer_was_lost_is_answered_in_the_next_life(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let host = Arc::new(Muted(AtomicBool::new(true)));
    let settings = EntitySettings::default();
    let runtime = hosted(&kit.stores, "DC-A", settings, host.clone()).await;
    let dying = entity(&runtime, "n-1", "DC-A");
    assert_eq!(add(&dying, "x").await, Err(ReplyError::Timeout), "durable, and not answered");
    dying.kill();
    // the kit has a time limit
    while !dying.is_gone() {
        tokio::task::yield_now().await;
    }
    host.0.store(false, Ordering::Release);
    for _ in 0..2 {
        let next = entity(&runtime, "n-1", "DC-A");
        assert_eq!(add(&next, "x").await, Ok(2));
        stopped(&next).await;
    }
    assert_eq!(kit.replay_all(&id("note|n-1|DC-A")).await.len(), 2);
}

/// Requests are remembered over passivations, from events and from snapshots.
pub async fn a_request_is_done_once_over_passivations(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let settings = EntitySettings { snapshot_every: 5, ..EntitySettings::default() };
    let runtime = place_with(&kit.stores, "DC-A", settings).await;
    let mut answers = Vec::new();
    for ids in [["x", "y"], ["y", "z"], ["z", "x"], ["x", "w"]] {
        let writing = entity(&runtime, "n-1", "DC-A");
        for id in ids {
            answers.push(add(&writing, id).await);
        }
        stopped(&writing).await;
    }
    assert_eq!(answers, [2, 4, 4, 6, 6, 2, 2, 8].map(Ok));
    let stream = id("note|n-1|DC-A");
    let newest = kit.stores.snapshots.latest_snapshot(&stream, SequenceNr::MAX).await;
    let newest = newest.expect("load").expect("eight events make a snapshot");
    assert!(newest.requests.len() >= 3, "{newest:?}");
}

/// The other replica knows a request when it has read its events from this store.
pub async fn a_request_is_known_at_the_other_replica_when_its_events_are_there(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let a = place_with(&kit.stores, "DC-A", EntitySettings::default()).await;
    let b = place_with(&kit.other_session().await, "DC-B", EntitySettings::default()).await;
    let writing = entity(&a, "n-1", "DC-A");
    assert_eq!(add(&writing, "x").await, Ok(2));
    let reading = entity(&b, "n-1", "DC-B");
    // the kit has a time limit
    while reading.ask(Command::Count).await != Ok(2) {
        tokio::task::yield_now().await;
    }
    assert_eq!(add(&reading, "x").await, Ok(2));
    assert_eq!(add(&reading, "y").await, Ok(4));
    assert_eq!(kit.replay_all(&id("note|n-1|DC-B")).await.len(), 4);
}

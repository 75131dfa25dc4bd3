//! The journals of both places, read directly.

use antiphon::persistence::entity::EventSourced;
use antiphon_persistence::crdt::OrSetOp;
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::store::Stores;
use antiphon_tests::history::{Event, Journals, Stream};
use antiphon_watch_list::WatchList;

use crate::nodes::{Nodes, PLACES};

/// Reads the streams of entities at a place.
///
/// # Errors
/// The first error of the journal.
pub(crate) async fn of_place(
    nodes: &Nodes,
    place: usize,
    entities: &[(&str, String)],
) -> Result<Journals, String> {
    let journal = nodes.journal(place).open(true).await.map_err(|error| error.to_string())?;
    let stores = journal.stores();
    let mut journals = Journals::new();
    for (entity_type, entity) in entities {
        let replica = ReplicaId::new(PLACES[place]).expect("a name");
        let id = ReplicationId::new(*entity_type, entity, replica).expect("an id");
        let stream = stream(&stores, entity_type, &id).await?;
        journals.insert((entity.clone(), PLACES[place].to_owned()), stream);
    }
    Ok(journals)
}

/// Reads the streams of entities at all places.
///
/// # Errors
/// The first error of a journal.
pub(crate) async fn of_all(nodes: &Nodes, entities: &[(&str, String)]) -> Result<Journals, String> {
    let mut journals = Journals::new();
    for place in 0..PLACES.len() {
        journals.extend(of_place(nodes, place, entities).await?);
    }
    Ok(journals)
}

async fn stream(stores: &Stores, entity_type: &str, id: &ReplicationId) -> Result<Stream, String> {
    let id = id.persistence_id();
    let (mut stream, mut first) = (Vec::new(), SequenceNr::new(1));
    loop {
        let events = stores.journal.replay(&id, first, SequenceNr::MAX, 1000).await;
        let events = events.map_err(|error| format!("{id}: {error}"))?;
        let Some(last) = events.last() else { return Ok(stream) };
        first = last.sequence_nr.next();
        for event in &events {
            let (origin, origin_nr) = (event.meta.origin.to_string(), event.meta.origin_nr());
            stream.push(Event { id: number(entity_type, event)?, origin, origin_nr });
        }
    }
}

/// The id of an add to a set.
fn number(entity_type: &str, event: &StoredEvent) -> Result<Option<u32>, String> {
    if entity_type == "counter" {
        return Ok(None);
    }
    let decoded = WatchList.from_journal(&event.payload).map_err(|error| error.to_string())?;
    match decoded.first() {
        Some(OrSetOp::Added { element, .. }) => {
            element.parse().map(Some).map_err(|error| format!("title {element:?}: {error}"))
        }
        Some(OrSetOp::Removed { .. } | OrSetOp::AddedAll { .. }) | None => {
            Err(format!("an event that nobody sent: {decoded:?}"))
        }
    }
}

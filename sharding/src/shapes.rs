//! Compares the shapes of a type's events and state with the shapes stored by the places. The
//! comparison is made before the type starts, or, if no behaviour can be made for an example then,
//! before the first entity recovers.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_base::guard;
use antiphon_persistence::entity::{EventSourced, LateShapes};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::shape::{Kinds, ShapeBook, kinds};
use antiphon_runtime::{ErrorKind, Node, Result};

use crate::provider::ReplicatedEntityProvider;

/// Longest wait for another place. A place that does not answer is not compared: its events are
/// compared when they are stored here.
const PEER_WAIT: Duration = Duration::from_secs(1);

/// Most attempts to read the shapes of the own place. The wait between two attempts doubles, up to
/// `retry_delay_max`.
const ATTEMPTS_MAX: u32 = 8;

/// Returns the book of the type; `None` when no behaviour can be made for the provider's example.
///
/// # Errors
/// `Rejected` when something is stored under another shape; the errors of this place's store.
pub(crate) async fn compare<E: EventSourced>(
    node: &Node,
    provider: &ReplicatedEntityProvider<E>,
    replica: &ReplicaId,
) -> Result<Option<ShapeBook>> {
    let id = ReplicationId::new(&provider.entity_type, &provider.example, replica.clone())?;
    let made = guard::call("factory or event_type", &id, || {
        (provider.factory)(&id).map(|behaviour| kinds(&Arc::new(behaviour)))
    });
    let Ok(Ok(kinds)) = made else {
        tracing::warn!(%id, "no behaviour could be made (`with_example` names an id for it): a changed type will be noticed when the first entity starts, not before");
        return Ok(None);
    };
    let store = node.stores().coordination.clone();
    let book = ShapeBook::new(provider.entity_type.clone(), kinds, store);
    check_own(node, &book).await?;
    check_peers(node, &book).await?;
    Ok(Some(book))
}

/// Compares when the first entity starts. If the comparison fails, the entity is not started, and
/// the comparison is tried again with the next entity.
pub(crate) fn late(node: &Node, entity_type: &Arc<str>) -> LateShapes {
    let (node, entity_type) = (node.clone(), entity_type.clone());
    Arc::new(move |kinds: Kinds| {
        let (node, entity_type) = (node.clone(), entity_type.clone());
        Box::pin(async move {
            let store = node.stores().coordination.clone();
            let book = ShapeBook::new(entity_type, kinds, store.clone());
            book.check(node.place(), &*store).await?;
            check_peers(&node, &book).await?;
            Ok(book)
        })
    })
}

/// Compares with the places that answer in time.
async fn check_peers(node: &Node, book: &ShapeBook) -> Result<()> {
    for (place, stores) in node.peers() {
        let check = book.check_peer(place, &*stores.coordination);
        match tokio::time::timeout(PEER_WAIT, check).await {
            Ok(Err(error)) if error.kind() == ErrorKind::Rejected => return Err(error),
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%place, %error, "its shapes are not compared"),
            Err(_) => tracing::info!(%place, "its shapes are not compared: no answer in time"),
        }
    }
    Ok(())
}

/// Compares with the own place. A store that fails for a moment does not end the start of a type.
async fn check_own(node: &Node, book: &ShapeBook) -> Result<()> {
    let store = &*node.stores().coordination;
    let backoff = Backoff::up_to(node.settings().retry_delay_max);
    for attempt in 1..ATTEMPTS_MAX {
        let wait = backoff.delay(attempt, Jitter::NONE);
        match book.check(node.place(), store).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                tracing::info!(place = %node.place(), %error, ?wait, "the shapes cannot be read yet");
                tokio::time::sleep(wait).await;
            }
            checked => return checked,
        }
    }
    book.check(node.place(), store).await
}

//! Compares the shapes of a type's events and state with those that the places have, before the type starts.

use std::time::Duration;

use std::sync::Arc;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::guard;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::shape::{ShapeBook, kinds};
use antiphon_runtime::{ErrorKind, Node, Result};

use crate::provider::ReplicatedEntityProvider;

/// How long another place is waited for: its events are compared when they were stored here, too.
const PEER_WAIT: Duration = Duration::from_secs(1);

/// Tries to read the shapes of the own place, at most, and the first wait between two; it doubles up to
/// `retry_delay_max`.
const ATTEMPTS_MAX: u32 = 8;
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);

/// The entity that a behaviour is made for to ask it which kinds of events it writes.
const EXAMPLE: &str = "example";

/// The book of the type; `None` when no behaviour can be made.
///
/// # Errors
/// `Rejected` when something is stored under another shape; those of this place's store.
pub(crate) async fn compare<E: EventSourced>(
    node: &Node,
    provider: &ReplicatedEntityProvider<E>,
    replica: &ReplicaId,
) -> Result<Option<ShapeBook>> {
    let id = ReplicationId::new(&provider.entity_type, EXAMPLE, replica.clone())?;
    let made = guard::call("factory or event_type", &id, || {
        (provider.factory)(&id).map(|behaviour| kinds(&Arc::new(behaviour)))
    });
    let Ok(Ok(kinds)) = made else {
        tracing::warn!(%id, "no behaviour could be made: a changed type will not be noticed");
        return Ok(None);
    };
    let store = node.stores().coordination.clone();
    let book = ShapeBook::new(provider.entity_type.clone(), kinds, store.clone());
    check_own(node, &book).await?;
    for (place, stores) in node.peers() {
        let check = book.check_peer(place, &*stores.coordination);
        match tokio::time::timeout(PEER_WAIT, check).await {
            Ok(Err(error)) if error.kind() == ErrorKind::Rejected => return Err(error),
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%place, %error, "its shapes are not compared"),
            Err(_) => tracing::info!(%place, "its shapes are not compared: no answer in time"),
        }
    }
    Ok(Some(book))
}

/// Compares with the own place. A store that fails for a moment does not end the start of a type.
async fn check_own(node: &Node, book: &ShapeBook) -> Result<()> {
    let store = &*node.stores().coordination;
    let mut wait = RETRY_DELAY_MIN;
    for _ in 1..ATTEMPTS_MAX {
        match book.check(node.place(), store).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                tracing::info!(place = %node.place(), %error, ?wait, "the shapes cannot be read yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(node.settings().retry_delay_max);
            }
            checked => return checked,
        }
    }
    book.check(node.place(), store).await
}

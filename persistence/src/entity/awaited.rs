//! The entity whose answer the future of an asynchronous effect waits for, so that a time-out can
//! name it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::identity::ReplicationId;
use crate::reply::Askers;

tokio::task_local! {
    static AWAITED: Awaited;
}

/// The entity that the future of one asynchronous effect waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Awaited {
    entity: Arc<Mutex<Option<ReplicationId>>>,
    /// The entity itself and its askers, when the future holds up commands.
    askers: Option<Askers>,
}

impl Awaited {
    /// The same for a future that holds up the commands of the last of these askers.
    pub(super) fn of(askers: Option<Askers>) -> Self {
        Self { askers, ..Self::default() }
    }

    /// Runs a future of an asynchronous effect; the asks in it are noted here.
    pub(super) async fn scope<F: Future>(&self, future: F) -> F::Output {
        AWAITED.scope(self.clone(), future).await
    }

    /// The entity that is asked at this moment; the last one, if there are several.
    pub(super) fn entity(&self) -> Option<ReplicationId> {
        self.entity.lock().clone()
    }
}

/// The mark that an entity is asked, until it is dropped.
#[derive(Debug)]
pub struct Awaiting(Option<Awaited>);

impl Awaiting {
    /// Marks that this entity is asked from now on. Does nothing outside of the future of an
    /// asynchronous effect, also in a task that the future has started.
    ///
    /// ```
    /// use antiphon_persistence::entity::Awaiting;
    /// use antiphon_persistence::identity::ReplicationId;
    ///
    /// let stock = ReplicationId::parse("stock|s-1")?;
    /// let _asked = Awaiting::the_answer_of(&stock);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn the_answer_of(entity: &ReplicationId) -> Self {
        let awaited = AWAITED.try_with(Awaited::clone).ok();
        if let Some(awaited) = &awaited {
            *awaited.entity.lock() = Some(entity.clone());
        }
        Self(awaited)
    }
}

impl Awaiting {
    /// The entities that hold up their commands until the answer is there, if there are any.
    pub fn askers(&self) -> Option<Askers> {
        self.0.as_ref()?.askers.clone()
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        if let Some(awaited) = &self.0 {
            awaited.entity.lock().take();
        }
    }
}

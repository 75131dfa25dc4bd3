//! The stores of another place. Nothing is taken from a store before it is certain that it is the
//! right one.
//!
//! A path or an address may lead to the journal of another cluster, of another place, or to this
//! place's own one, and it may do so later than at the start: a disk that is mounted meanwhile, a
//! file that is replaced. So an answer is let through only when the `cluster` row of the very store
//! that gave the answer was compared. `calls` has the traits of a store, each call through `ask`.

mod calls;

use std::sync::Arc;

use antiphon_base::ErrorKind;
use antiphon_persistence::store::Stores;
use parking_lot::Mutex;

use super::cluster_row::ClusterRow;
use crate::metrics::IntGaugeVec;
use crate::{Error, Result};

/// The result of the last check of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Nothing,
    /// The right store, as long as its number of replacements is this.
    Right(u64),
    /// A wrong store, for this reason.
    Wrong(Arc<str>),
}

/// The stores of another place, checked. Cheap to clone.
#[derive(Clone)]
pub(super) struct PeerStores {
    inner: Arc<Inner>,
}

struct Inner {
    place: Arc<str>,
    expected: ClusterRow,
    stores: Stores,
    known: Mutex<Known>,
    refused: IntGaugeVec,
}

/// Limit of the checks in a row, when the store is replaced during each of them.
const ATTEMPTS: usize = 3;

impl PeerStores {
    /// The stores of a place, whose row must be `expected`.
    pub(super) fn new(
        place: Arc<str>,
        expected: ClusterRow,
        stores: Stores,
        refused: IntGaugeVec,
    ) -> Self {
        let known = Mutex::new(Known::Nothing);
        Self { inner: Arc::new(Inner { place, expected, stores, known, refused }) }
    }

    /// The checked stores, for all traits.
    pub(super) fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// The place.
    pub(super) fn place(&self) -> Arc<str> {
        self.inner.place.clone()
    }

    /// The reason why nothing is taken from them, when they belong elsewhere.
    pub(super) fn refusal(&self) -> Option<Arc<str>> {
        match &*self.known() {
            Known::Wrong(reason) => Some(reason.clone()),
            Known::Nothing | Known::Right(_) => None,
        }
    }

    /// Makes certain that the store is not a wrong one. Returns how often it was replaced before;
    /// `None` while no node has used it.
    ///
    /// # Errors
    /// `Rejected` when it belongs elsewhere; errors of the store.
    pub(super) async fn certain(&self) -> Result<Option<u64>> {
        let store = &*self.inner.stores.coordination;
        for _ in 0..ATTEMPTS {
            let before = store.replacements();
            if *self.known() == Known::Right(before) {
                return Ok(Some(before));
            }
            let verified = self.inner.expected.verify(store).await;
            if store.replacements() != before {
                continue;
            }
            match &verified {
                Ok(true) => self.judge(Known::Right(before)),
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    self.judge(Known::Wrong(error.to_string().into()));
                }
                Ok(false) | Err(_) => self.judge(Known::Nothing),
            }
            return verified.map(|is_used| is_used.then_some(before)).map_err(|error| {
                let place = &self.inner.place;
                Error::new(error.kind(), format!("journal of place {place:?}: {error}"))
            });
        }
        Err(self.replaced())
    }

    fn replaced(&self) -> Error {
        Error::unavailable(format!(
            "journal of place {:?}: it was replaced while it was read",
            self.inner.place
        ))
    }

    fn known(&self) -> parking_lot::MutexGuard<'_, Known> {
        self.inner.known.lock()
    }

    /// Takes the result of a check, and logs it when it is news.
    fn judge(&self, now: Known) {
        let before = std::mem::replace(&mut *self.known(), now.clone());
        let place = &*self.inner.place;
        let was_wrong = matches!(before, Known::Wrong(_));
        match &now {
            Known::Wrong(reason) if before != now => {
                tracing::error!(place, %reason, "the journal of a peer is not the expected one: nothing is taken from it");
            }
            Known::Right(_) if was_wrong => {
                tracing::info!(place, "the journal of a peer is the right one again");
            }
            Known::Wrong(_) | Known::Right(_) | Known::Nothing => {}
        }
        let is_wrong = matches!(now, Known::Wrong(_));
        self.inner.refused.with_label_values(&[place]).set(i64::from(is_wrong));
    }

    /// The answer of a call, unless the store that gave it was a wrong one.
    async fn ask<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let before = self.certain().await?;
        let answer = call.await?;
        match before {
            Some(before) if self.inner.stores.coordination.replacements() == before => Ok(answer),
            Some(_) => Err(self.replaced()),
            // a node may have begun to use the store meanwhile
            None => self.certain().await.map(|_| answer),
        }
    }
}

#[cfg(test)]
mod tests;

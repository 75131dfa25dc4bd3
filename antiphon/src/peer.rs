//! Peers: the other places of a node. Their journals may be reached later than the node starts.

use std::sync::{Arc, OnceLock};

use antiphon_persistence::store::DeferredStores;
use antiphon_runtime::{ErrorKind, Result};

use crate::{Journal, OpenJournal};

/// Another place: its name and its journal, which is only read.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// The name of the place.
    pub place: String,
    /// The journal of the place.
    pub journal: Journal,
}

/// Another place, as a running node knows it.
#[derive(Clone)]
pub struct Peer {
    /// The name of the place.
    pub place: String,
    /// The stores of the place.
    pub stores: DeferredStores,
    journal: Arc<OnceLock<OpenJournal>>,
}

impl Peer {
    /// A place whose journal is not open.
    pub(crate) fn new(place: &str) -> Self {
        Self { place: place.to_owned(), stores: DeferredStores::default(), journal: Arc::default() }
    }

    /// The journal of the place; `None` until it was reached.
    pub fn journal(&self) -> Option<&OpenJournal> {
        self.journal.get()
    }

    /// Opens the journal of the place; returns whether it is open. Fails when no later attempt can
    /// succeed.
    pub(crate) async fn try_open(&self, settings: &PeerSettings) -> Result<bool> {
        match settings.journal.open(true).await {
            Ok(journal) => {
                self.stores.arrived(journal.stores());
                let _ = self.journal.set(journal);
                Ok(true)
            }
            Err(error) => {
                let place = &self.place;
                if self.stores.reason().is_some_and(|reason| reason.is_empty()) {
                    tracing::warn!(place, %error, "the journal of the place is out of reach; it is tried again");
                }
                self.stores.waits(error.to_string());
                // a remote database without tables may get them later; a wrong file may be replaced
                // too, but the operator must be told first, so the start fails
                if error.kind() == ErrorKind::Rejected && !settings.journal.is_remote() {
                    return Err(error);
                }
                Ok(false)
            }
        }
    }
}

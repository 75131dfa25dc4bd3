//! Stores of a journal that may be unreachable: opened at the first use, and tried again at each
//! use until that succeeds.
//!
//! So a source or a sink whose database is unreachable at the start waits as it does for an event
//! store, with the reason in `/health/ready`.

use std::sync::Arc;

use antiphon_persistence::store::{OpenBackend, Stores};
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::{Error, ErrorKind, Result};

type Open = dyn Fn() -> BoxFuture<'static, Result<Held>> + Send + Sync;

/// Stores that are open. The journal of a backend is closed with its last clone.
#[derive(Clone)]
pub struct Held {
    stores: Stores,
    _backend: Option<Arc<dyn OpenBackend>>,
}

impl From<Stores> for Held {
    fn from(stores: Stores) -> Self {
        Self { stores, _backend: None }
    }
}

impl From<Arc<dyn OpenBackend>> for Held {
    fn from(backend: Arc<dyn OpenBackend>) -> Self {
        Self { stores: backend.stores(), _backend: Some(backend) }
    }
}

/// Stores that are opened at the first use. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct StoresOnDemand {
    name: Arc<str>,
    open: Arc<Open>,
    stores: Arc<OnceCell<Held>>,
}

impl StoresOnDemand {
    /// Stores that are open already.
    pub fn opened(stores: Stores) -> Self {
        let open = || -> BoxFuture<'static, Result<Held>> {
            Box::pin(async { Err(Error::bug("open stores are opened again")) })
        };
        Self {
            name: "the journal".into(),
            open: Arc::new(open),
            stores: Arc::new(OnceCell::new_with(Some(stores.into()))),
        }
    }

    /// Stores that `open` opens. Error messages begin with `name`.
    pub fn new(
        name: &str,
        open: impl Fn() -> BoxFuture<'static, Result<Held>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), open: Arc::new(open), stores: Arc::default() }
    }

    /// The stores, opened if needed. A cancelled call changes nothing.
    ///
    /// # Errors
    /// `Rejected` when a retry cannot help, for example when tables are missing; `Unavailable` when
    /// the database does not answer.
    pub async fn get(&self) -> Result<&Stores> {
        let held = self.stores.get_or_try_init(|| (self.open)()).await;
        held.map(|held| &held.stores).map_err(|error| {
            // opening changes nothing, so a timeout leaves no outcome unknown
            let kind = match error.kind() {
                ErrorKind::Timeout => ErrorKind::Unavailable,
                kind @ (ErrorKind::Unavailable
                | ErrorKind::Rejected
                | ErrorKind::Fenced
                | ErrorKind::Corrupt
                | ErrorKind::Bug) => kind,
            };
            Error::new(kind, format!("{}: {error}", self.name)).with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use antiphon_persistence::memory::MemoryStores;

    use super::*;

    #[tokio::test]
    async fn stores_are_opened_again_until_they_are_there_and_then_never_more() {
        let tried = Arc::new(AtomicU32::new(0));
        let counts = tried.clone();
        let stores = StoresOnDemand::new("`Settings:Journal`", move || {
            let attempt = counts.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match attempt {
                    0 => Err(Error::timeout("nobody answers")),
                    1 => Err(Error::rejected("no tables")),
                    _ => Ok(MemoryStores::new().stores().into()),
                }
            })
        });

        let error = stores.get().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "`Settings:Journal`: nobody answers");
        assert_eq!(stores.get().await.err().unwrap().kind(), ErrorKind::Rejected);
        assert!(stores.get().await.is_ok());
        assert!(stores.clone().get().await.is_ok());
        assert_eq!(tried.load(Ordering::Relaxed), 3);
    }
}

//! The Antiphon journals of a configuration, opened for its source and sink.

use std::sync::Arc;

use antiphon_persistence::store::{Backend, DeferredStores, Role};

use crate::Result;
use crate::config::{Config, SubscriptionSettings};

/// The journal that a subscription reads. A file is opened at once, a journal on a server at the
/// first read.
///
/// # Errors
/// `Rejected`, naming the file, when it is not a journal.
pub async fn source_journal(subscription: &SubscriptionSettings) -> Result<DeferredStores> {
    let name = format!("journal of the subscription `{}`", subscription.display_name());
    let backend = subscription.journal.backend(subscription.journal_path.as_deref())?;
    let aged = backend.with_feed_age(subscription.journal_poll_interval);
    stores(&name, aged.unwrap_or(backend), Role::Reader).await
}

/// The journal of the sink `journal`, for writing or only for reading. A file is opened at once, a
/// journal on a server at the first use.
///
/// # Errors
/// `Rejected`, naming the file, when it is not a journal.
pub async fn sink_journal(config: &Config, role: Role) -> Result<DeferredStores> {
    let settings = &config.settings;
    let backend = settings.journal.backend(settings.journal_path.as_deref())?;
    stores("`Settings:Journal`", backend, role).await
}

async fn stores(name: &str, backend: Arc<dyn Backend>, role: Role) -> Result<DeferredStores> {
    let is_remote = backend.is_remote();
    let stores = DeferredStores::on_demand(name, move || {
        let backend = backend.clone();
        Box::pin(async move { backend.open(role).await.map(Into::into) })
    });
    if !is_remote {
        stores.get().await?;
    }
    Ok(stores)
}

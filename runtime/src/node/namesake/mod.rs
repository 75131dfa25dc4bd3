//! Waits until no earlier incarnation of a node's name can write any more. The rules are in `core`.

mod core;

use self::core::{Effect, Input, NamesakeCore};
use super::parts::NodeParts;
use super::places::{self, limited};
use super::settings::NodeSettings;
use crate::{Error, NodeId, Result};

/// Watches the earlier incarnations of this name for `renew_timeout` and a tenth. If one renews its
/// row it lives, and this node must not start. If not, it is made dead and sealed, which is safe
/// then.
///
/// Cancellation: the earlier incarnation may be dead and not sealed; the holder of the lease seals
/// it, or the next start waits no more for it.
///
/// # Errors
/// `Rejected` when a node of this name lives; errors of the store.
pub(super) async fn wait_out(settings: &NodeSettings, parts: &NodeParts) -> Result<()> {
    let store = &*parts.stores.coordination;
    let limit = settings.store_timeout;
    let read = async || {
        let view = limited(limit, "reading the members", places::read(store)).await?;
        Ok::<_, Error>(Input::Read(view.members))
    };
    let mut core = NamesakeCore::new(settings);
    let mut input = read().await?;
    loop {
        input = match core.step(parts.clock.now(), input) {
            Effect::ReadAfter(pause) => {
                tokio::time::sleep(pause).await;
                read().await?
            }
            Effect::Change(id, version, row) => {
                let changed = places::change_member(store, &id, Some(version), Some(&row));
                Input::Changed(limited(limit, "ending an earlier incarnation", changed).await?)
            }
            Effect::Seal(id) => {
                tracing::info!(%id, "an earlier incarnation is sealed");
                let writer = id.writer();
                let sealed = parts.stores.journal.seal(&writer);
                limited(limit, "sealing an earlier incarnation", sealed).await?;
                Input::Sealed(parts.clock.wall())
            }
            Effect::InUse(id) => return Err(name_in_use(settings, &id)),
            Effect::Free => return Ok(()),
        };
    }
}

fn name_in_use(settings: &NodeSettings, id: &NodeId) -> Error {
    Error::rejected(format!(
        "node name {:?} is used by `{id}`, which renewed its row just now: expected a name that no live node of the place has",
        settings.name
    ))
}

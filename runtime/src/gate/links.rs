//! The links of a node, by the node at the other end.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::task::JoinHandle;

use super::link::{Budget, Link};
use super::settings::GateSettings;
use crate::NodeId;

/// The links of a node, and the budgets that they share.
pub(super) struct Links {
    links: RwLock<BTreeMap<NodeId, Arc<Link>>>,
    members: Arc<Budget>,
    /// The budget of the nodes that this node never asked for.
    strangers: Arc<Budget>,
}

impl Links {
    pub(super) fn new(settings: &GateSettings) -> Self {
        Self {
            links: RwLock::default(),
            members: Budget::new(settings.received_bytes_max),
            strangers: Budget::new(settings.strangers_bytes_max),
        }
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<Arc<Link>> {
        self.links.read().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        self.links.read().values().cloned().collect()
    }

    /// True when the property holds for every link.
    pub(super) fn all_are(&self, property: impl Fn(&Link) -> bool) -> bool {
        self.links.read().values().all(|link| property(link))
    }

    /// The link to that node. A new one has a number above all streams that an earlier link to that
    /// node had, and the task that `start` starts to flush it.
    pub(super) fn get_or_new(
        &self,
        id: &NodeId,
        settings: &GateSettings,
        number: impl FnOnce() -> u64,
        start: impl FnOnce(Arc<Link>) -> JoinHandle<()>,
    ) -> Arc<Link> {
        let mut links = self.links.write();
        if let Some(link) = links.get(id) {
            return link.clone();
        }
        // the upper half tells the links to one node apart, the lower half counts the streams of
        // one link
        let first_stream = number() << 32;
        let link = Arc::new(Link::new(id.clone(), settings, &self.strangers, first_stream));
        link.set_flusher(start(link.clone()));
        links.insert(id.clone(), link.clone());
        link
    }

    /// Notes that this node asked for the link. Returns `false` when the link was forgotten
    /// meanwhile: the next link must be asked for.
    pub(super) fn want(&self, link: &Arc<Link>) -> bool {
        // the lock keeps `forget` from letting go of a link that is just asked for
        let links = self.links.write();
        link.want(&self.members);
        links.get(&link.id).is_some_and(|known| Arc::ptr_eq(known, link))
    }

    pub(super) fn remove(&self, id: &NodeId) -> Option<Arc<Link>> {
        self.links.write().remove(id)
    }

    pub(super) fn take_all(&self) -> BTreeMap<NodeId, Arc<Link>> {
        std::mem::take(&mut *self.links.write())
    }

    /// Lets go of a link whose connection has ended, if this node never asked for the link:
    /// strangers must not fill the memory with their names.
    pub(super) fn forget(&self, link: &Arc<Link>) {
        let mut links = self.links.write();
        let is_known = links.get(&link.id).is_some_and(|known| Arc::ptr_eq(known, link));
        if is_known && !link.is_wanted() && !link.is_up() {
            links.remove(&link.id);
            link.stop_flusher();
        }
    }

    /// The number of links, and of the bytes that have arrived and are not with their receivers.
    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, usize) {
        (self.links.read().len(), self.members.used() + self.strangers.used())
    }
}

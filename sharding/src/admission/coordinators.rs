//! Checks homes against the coordinator leases that a node knows. The rules are in `leases`.

use std::sync::Arc;

use antiphon_runtime::{Node, NodeId};
use parking_lot::Mutex;

use super::leases::Leases;
use super::{Refusal, Refusals};

/// The coordinators of all places, as a node knows them.
pub(crate) struct Coordinators {
    node: Node,
    leases: Mutex<Leases>,
    refusals: Arc<Refusals>,
}

impl Coordinators {
    /// The coordinators that a node knows. All calls for one node return the same.
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        let refusals = Refusals::of(node);
        node.extension(|| {
            let leases = Mutex::default();
            let this = Arc::new(Self { node: node.clone(), leases, refusals });
            let (learning, mut changes) = (Arc::downgrade(&this), node.coordinator_lease());
            node.spawn("leases of coordinators", async move {
                loop {
                    let Some(this) = learning.upgrade() else { return };
                    // the lock comes first: an older state must not be learned after a newer one
                    this.leases.lock().learn(&changes.borrow_and_update());
                    drop(this);
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
            });
            this
        })
    }

    /// Returns whether the lease of the place has this token now.
    pub(crate) fn is_current(&self, place: &str, token: u64) -> bool {
        let mut leases = self.leases.lock();
        leases.learn(&self.node.coordinator_lease().borrow());
        leases.has_token(place, token)
    }

    /// Returns whether `from` may tell homes of `place` under `token`. If it may not, that is
    /// counted; and if the token can be that of a new lease, the leases are read again.
    pub(crate) fn may_tell(&self, place: &str, from: &NodeId, token: u64) -> bool {
        let mut leases = self.leases.lock();
        leases.learn(&self.node.coordinator_lease().borrow());
        let judged = leases.judge(place, from, token);
        drop(leases);
        let Err(why) = judged else { return true };
        self.refusals.refused(from, why);
        if why == Refusal::UnknownLease {
            self.node.look_at_tables();
        }
        false
    }
}

//! Counts refused messages of a node, and logs them from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::lasting::LastingFault;
use antiphon_runtime::metrics::IntCounterVec;
use antiphon_runtime::{Node, NodeId};
use parking_lot::Mutex;

use super::Refusal;

/// The refused messages of other nodes at one node.
pub(crate) struct Refusals {
    node: Node,
    counter: IntCounterVec,
    faults: Mutex<BTreeMap<Refusal, LastingFault>>,
}

impl Refusals {
    /// The refusals of a node. All calls for one node return the same.
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        node.extension(|| {
            let counter = node.metrics().counters_of("antiphon_wire_refused_total");
            Arc::new(Self { node: node.clone(), counter, faults: Mutex::default() })
        })
    }

    /// Counts a refused message. A refusal that shows that something is wrong is logged with its
    /// sender, at the first time and then once in `fault_log_interval`.
    pub(crate) fn refused(&self, from: &NodeId, why: Refusal) {
        self.counter.with_label_values(&[why.reason()]).inc();
        if why.is_usual() {
            return tracing::debug!(%from, reason = why.reason(), "a message is refused: {why}");
        }
        let interval = self.node.settings().fault_log_interval;
        let mut faults = self.faults.lock();
        let fault = faults.entry(why).or_insert_with(|| LastingFault::new(interval));
        if let Some(line) = fault.failed(self.node.clock().now()) {
            let (reason, count) = (why.reason(), line.count);
            tracing::warn!(%from, reason, count, "a message of another node is refused: {why}");
        }
    }
}

//! The knowledge of one journal loop whether its shard is sure of the other place: it has followed
//! that place's feed to the end since the doubt began (`region::doubts`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::Offset;
use antiphon_runtime::Node;
use antiphon_runtime::node::Doubt;
use parking_lot::Mutex;

/// The knowledge of one journal loop of the doubt about the other place.
pub(crate) struct FeedWitness {
    node: Node,
    place: Arc<str>,
    /// The session in which the feed was read to its end.
    sure_since: AtomicU64,
    /// The session for whose doubt a page was read from the start of the feed, and the session for
    /// whose doubt such a read has begun.
    anew_since: AtomicU64,
    beginning_anew: AtomicU64,
    /// The session in which the read under way began.
    reading_in: AtomicU64,
    /// The entities that hold back. Own events may come after the events that they hold back, so
    /// that the end of the feed does not make these entities sure.
    held: Mutex<BTreeSet<Arc<str>>>,
}

impl FeedWitness {
    pub(crate) fn new(node: Node, place: Arc<str>) -> Self {
        let zero = AtomicU64::default;
        Self {
            node,
            place,
            sure_since: zero(),
            anew_since: zero(),
            beginning_anew: zero(),
            reading_in: zero(),
            held: Mutex::default(),
        }
    }

    fn doubt(&self) -> Option<Doubt> {
        self.node.continuity().borrow().doubt(&self.place)
    }

    /// Returns whether the shard is sure with regard to that doubt.
    pub(crate) fn is_sure(&self, doubt: Doubt) -> bool {
        self.sure_since.load(Ordering::Relaxed) >= doubt.since
    }

    /// Notes that the entity holds back, or no longer does.
    pub(crate) fn holds(&self, id: &PersistenceId, is_held: bool) {
        let Ok(id) = ReplicationId::parse(id.as_str()) else { return };
        let mut held = self.held.lock();
        if is_held {
            held.insert(id.entity_id().clone());
        } else {
            held.remove(id.entity_id());
        }
    }

    pub(crate) fn is_held(&self, entity: &Arc<str>) -> bool {
        self.held.lock().contains(entity)
    }

    /// Takes the stored session in which the shard was sure last. The caller has noted the entities
    /// that hold back before.
    pub(crate) fn loaded(&self, stored: &Offset) {
        let number = stored.as_str().parse().unwrap_or(0);
        self.sure_since.fetch_max(number, Ordering::Relaxed);
    }

    /// Notes that a read of the feed begins, and returns the position to read after. When the
    /// journal certainly went back, the stored positions may have gone back too: the feed is read
    /// once from its start.
    pub(crate) fn reads(&self, position: Offset) -> Offset {
        let session = self.node.continuity().borrow().session();
        self.reading_in.store(session, Ordering::Relaxed);
        match self.doubt() {
            Some(Doubt { back_since, .. })
                if self.sure_since.load(Ordering::Relaxed) < back_since
                    && self.anew_since.load(Ordering::Relaxed) < back_since =>
            {
                self.beginning_anew.store(back_since, Ordering::Relaxed);
                Offset::start()
            }
            Some(_) | None => position,
        }
    }

    /// Notes that the last read gave a page.
    pub(crate) fn has_read(&self) {
        self.anew_since.fetch_max(self.beginning_anew.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Notes that the feed was read to its end, and that everything in it is here, except for the
    /// entities that hold back: these go on asking by themselves. Returns the value to store if
    /// that ends a doubt.
    pub(crate) fn ended(&self) -> Option<Offset> {
        let doubt = self.doubt()?;
        let session = self.reading_in.load(Ordering::Relaxed);
        if self.is_sure(doubt) || session < doubt.since {
            return None;
        }
        self.sure_since.fetch_max(session, Ordering::Relaxed);
        Some(Offset::new(session.to_string()))
    }
}

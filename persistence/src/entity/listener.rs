//! Events that this node has made durable, for listeners of the application.
//!
//! Without a listener nothing is kept. A listener that falls behind misses the oldest events, and
//! is told how many: the entities never wait for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use antiphon_base::guard;

use super::listeners::{Appended, Next};
use super::parts::{Factory, Inner};
use super::surroundings::Kin;
use super::{EntityCounters, EventSourced};
use crate::event::{EventMeta, SequenceNr, StoredEvent};
use crate::identity::ReplicationId;
use crate::{Error, Result};

/// An event that is durable at this node: an own one of a replica here, or one of another replica
/// that has arrived.
///
/// ```
/// use antiphon_persistence::entity::DurableEvent;
///
/// /// The line of an audit log.
/// fn line(durable: &DurableEvent<String>) -> String {
///     let DurableEvent { id, sequence_nr, meta, event, .. } = durable;
///     format!("{id} {sequence_nr}: {event}, written at {}", meta.origin)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableEvent<Event> {
    /// The entity, with the replica in whose journal the event stands.
    pub id: ReplicationId,
    /// The number of the event in that journal.
    pub sequence_nr: SequenceNr,
    /// Origin, version, time, metadata and tags.
    pub meta: EventMeta,
    /// The event. An event that was stored as several (`from_journal`) comes as several, with the
    /// same number.
    pub event: Event,
}

/// The reason why a listener does not get an event.
///
/// ```
/// use antiphon_persistence::entity::ListenError;
///
/// /// Returns whether a listener goes on.
/// fn goes_on(error: &ListenError) -> bool {
///     if let ListenError::Missed(count) = error {
///         eprintln!("{count} appends were missed: the cache is filled anew");
///     }
///     *error != ListenError::Ended
/// }
/// assert!(goes_on(&ListenError::Missed(7)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// The listener has missed the events of this many appends, and goes on with the oldest that is
    /// kept: it was behind by more than `listener_appends_max` or `listener_bytes_max`, or an
    /// append had begun before it listened.
    Missed(u64),
    /// The type has ended at this node: nothing comes any more.
    Ended,
    /// The events of an append cannot be read, with the reason; the listener goes on with the next.
    Unreadable(String),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(count) => write!(
                f,
                "the listener has missed the events of {count} appends: it was too slow (`listener_appends_max`, `listener_bytes_max`), or they had begun before it listened"
            ),
            Self::Ended => f.write_str("the entity type has ended at this node"),
            Self::Unreadable(why) => write!(f, "the events of an append cannot be read: {why}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// Listens to the events that entities of one type make durable at this node, from the moment at
/// which it was made. The events of an entity come in the order of its journal. A listener is no
/// projection: events from before, from other nodes, and events that it missed do not come.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use std::sync::Arc;
/// # use antiphon_base::time::SystemClock;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EntityParts, EntityRuntime};
/// # use antiphon_persistence::entity::{EntitySettings, EventContext, EventSourced};
/// # use antiphon_persistence::entity::StandaloneHost;
/// # use antiphon_persistence::identity::{ReplicaId, ReplicationId};
/// # use antiphon_persistence::memory::MemoryStores;
/// # use antiphon_persistence::store::WriterId;
/// # struct Counter;
/// # impl EventSourced for Counter {
/// #     type Command = i64;
/// #     type Event = i64;
/// #     type State = i64;
/// #     fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
/// #         Effect::persist(delta)
/// #     }
/// #     fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) { *sum += delta; }
/// # }
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// # let stores = MemoryStores::new().stores();
/// # let writer = WriterId::new("node@1").unwrap();
/// # stores.journal.open_writer(&writer).await.unwrap();
/// # let parts = EntityParts {
/// #     journal: stores.journal,
/// #     snapshots: stores.snapshots,
/// #     reminders: stores.reminders,
/// #     writer,
/// #     peers: BTreeMap::new(),
/// #     clock: Arc::new(SystemClock),
/// #     host: Arc::new(StandaloneHost),
/// #     coordination: None,
/// # };
/// # let (replicas, settings) = ([ReplicaId::empty()], EntitySettings::default());
/// # let counters = EntityRuntime::new(replicas, |_: &_| Counter, settings, parts).unwrap();
/// let mut listener = counters.listen();
/// let counter = counters.spawn(ReplicationId::parse("counter|c-1")?)?;
/// counter.try_tell(5).unwrap_or_else(|_| panic!("there is room"));
/// let durable = listener.next().await?;
/// assert_eq!((durable.id.to_string().as_str(), durable.event), ("counter|c-1", 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct EventListener<E: EventSourced> {
    kin: Arc<Kin>,
    number: u64,
    factory: Factory<E>,
    /// Events of an append that was read.
    read: VecDeque<DurableEvent<E::Event>>,
}

impl<E: EventSourced> EventListener<E> {
    pub(super) fn new(inner: &Inner<E>) -> Self {
        let kin = inner.kin().clone();
        let number = kin.listeners.listen();
        Self { kin, number, factory: inner.factory.clone(), read: VecDeque::new() }
    }

    /// Waits for the next event.
    ///
    /// A cancelled call loses nothing: the next call returns the event.
    ///
    /// # Errors
    /// See [`ListenError`]. Only `Ended` is final.
    pub async fn next(&mut self) -> std::result::Result<DurableEvent<E::Event>, ListenError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            let appended = self.appended().await?;
            let read = self.read(&appended);
            self.read = read.map_err(|error| ListenError::Unreadable(error.to_string()))?;
        }
    }

    async fn appended(&self) -> std::result::Result<Arc<Appended>, ListenError> {
        let listeners = &self.kin.listeners;
        loop {
            let news = listeners.news();
            match listeners.next(self.number) {
                Next::Item(appended) => return Ok(appended),
                Next::Missed(count) => {
                    let counted = usize::try_from(count).unwrap_or(usize::MAX);
                    EntityCounters::add(&self.kin.counters.listener_appends_missed, counted);
                    return Err(ListenError::Missed(count));
                }
                Next::Ended => return Err(ListenError::Ended),
                Next::Nothing => news.await,
            }
        }
    }

    fn read(&self, appended: &Appended) -> Result<VecDeque<DurableEvent<E::Event>>> {
        let Appended { id, events } = appended;
        let read = guard::call("factory or from_journal", id, || {
            let behaviour = (self.factory)(id)?;
            let mut read = VecDeque::new();
            for StoredEvent { sequence_nr, meta, payload } in events {
                for event in behaviour.from_journal(payload)? {
                    let (id, meta) = (id.clone(), meta.clone());
                    read.push_back(DurableEvent { id, sequence_nr: *sequence_nr, meta, event });
                }
            }
            Ok(read)
        });
        read.unwrap_or_else(|failure| Err(Error::rejected(failure.to_string())))
    }
}

impl<E: EventSourced> fmt::Debug for EventListener<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventListener").finish_non_exhaustive()
    }
}

impl<E: EventSourced> Drop for EventListener<E> {
    fn drop(&mut self) {
        self.kin.listeners.leave(self.number);
        guard::drop_each("Drop of an event", &"a listener", self.read.drain(..));
    }
}

//! The shapes in the store of a place.
//!
//! Key of a row: `event` or `state`, entity type, manifest, version and codec; value: the shape and
//! examples, as JSON. A row is written when the first event of its kind is appended, before the
//! append, and grows with the additions of later releases: it is the union of the shapes that all
//! releases have stored.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::compare::difference;
use super::kinds::{Kind, Kinds};
use super::row::Row;
use super::samples::{Sample, Samples};
use super::stored::{EVENT_KINDS_MAX, StoredKinds};
use crate::codec::CodecId;
use crate::event::{Payload, StoredEvent};
use crate::identity::ReplicaId;
use crate::store::{self, CasOutcome, Coordination};
use crate::{Error, Result};

/// The table of the coordination store that has the shapes.
pub const SHAPES: &str = "shapes";

/// Number of attempts to change a row when other nodes change it too.
const ATTEMPTS_MAX: usize = 8;

/// Most kinds that are remembered as recorded. Each further kind is looked up again.
const RECORDED_MAX: usize = 4 * EVENT_KINDS_MAX;

/// The shapes of one entity type, compared with the stored shapes of a place. Cheap to clone.
#[derive(Clone)]
pub struct ShapeBook {
    inner: Arc<Inner>,
}

struct Inner {
    entity_type: Arc<str>,
    kinds: Kinds,
    store: Arc<dyn Coordination>,
    recorded: Mutex<BTreeSet<Recorded>>,
    /// The kinds of events in the store, once there is no room for another one.
    full: OnceLock<StoredKinds>,
    /// One bit for each codec with which all known kinds of events are recorded, so that nothing
    /// needs to be looked up.
    complete: AtomicU8,
}

/// A kind whose shape is in the store.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Recorded {
    is_state: bool,
    codec: u8,
    manifest: Arc<str>,
    version: u16,
}

impl fmt::Debug for ShapeBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShapeBook({})", self.inner.entity_type)
    }
}

impl ShapeBook {
    /// The book of an entity type; `store` belongs to the place that writes.
    pub fn new(entity_type: Arc<str>, kinds: Kinds, store: Arc<dyn Coordination>) -> Self {
        let inner = Inner {
            entity_type,
            kinds,
            store,
            recorded: Mutex::default(),
            full: OnceLock::new(),
            complete: AtomicU8::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Compares the shapes with the shapes in the store of the own place.
    ///
    /// # Errors
    /// `Rejected` when values were stored under another shape, or cannot be read by today's types,
    /// with the difference and the remedy; errors of the store. A cancelled call changes nothing.
    pub async fn check(&self, place: &str, store: &dyn Coordination) -> Result<()> {
        let rows = store.scan(SHAPES).await?.rows;
        self.compare(place, &rows, |kind, codec, old| self.unlike(kind, codec, old))?;
        let stored = StoredKinds::of(&self.inner.entity_type, &rows);
        if stored.is_full() {
            let _ = self.inner.full.set(stored);
        }
        Ok(())
    }

    /// Compares the shapes with the store of another place, whose events will come. An event that
    /// cannot be read is no reason to refuse: it is held back. An event of another shape could be
    /// read as another value.
    ///
    /// # Errors
    /// `Rejected` when values were stored under another shape, with the difference and the remedy;
    /// errors of the store. A cancelled call changes nothing.
    pub async fn check_peer(&self, place: &str, store: &dyn Coordination) -> Result<()> {
        let unlike =
            |kind: &Kind, codec, old: &Row| difference(codec, &old.shape, kind.shapes.of(codec));
        self.compare(place, &store.scan(SHAPES).await?.rows, unlike)
    }

    fn compare(
        &self,
        place: &str,
        rows: &[store::Row],
        unlike: impl Fn(&Kind, CodecId, &Row) -> Option<String>,
    ) -> Result<()> {
        for kind in &self.inner.kinds.known {
            for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
                let key = self.key(kind.is_state, &kind.manifest, kind.version, codec);
                if let Some(row) = rows.iter().find(|row| *row.key == *key)
                    && let Some(old) = Row::decode(&key, &row.value)
                    && let Some(what) = unlike(kind, codec, &old)
                {
                    return Err(self.refusal(place, kind, codec, &what));
                }
            }
        }
        Ok(())
    }

    fn refusal(&self, place: &str, kind: &Kind, codec: CodecId, what: &str) -> Error {
        let Kind { manifest, version, type_name, .. } = kind;
        let (entity_type, codec) = (&self.inner.entity_type, codec.name());
        Error::rejected(if kind.is_state {
            format!(
                "entity type `{entity_type}`: the state `{type_name}` has another shape than snapshots of version {version} in place `{place}` ({codec}): {what}: raise `snapshot_version`, and carry old ones forward in `from_snapshot`"
            )
        } else {
            format!(
                "entity type `{entity_type}`: the event `{type_name}` has another shape than those stored in place `{place}` with manifest {manifest:?}, version {version} ({codec}): {what}: raise the version in `event_type`, and carry old ones forward in `from_journal`"
            )
        })
    }

    fn key(&self, is_state: bool, manifest: &str, version: u16, codec: CodecId) -> String {
        let entity_type = &*self.inner.entity_type;
        let prefix = if is_state {
            format!("state|{entity_type}|")
        } else {
            StoredKinds::prefix(entity_type)
        };
        format!("{prefix}{manifest}|{version}|{}", codec.name())
    }

    /// The difference between today's types and the stored shape, or a stored example that today's
    /// types cannot read.
    fn unlike(&self, kind: &Kind, codec: CodecId, old: &Row) -> Option<String> {
        let shape = kind.shapes.of(codec);
        let unread = |sample: &Sample| {
            let Some(bytes) = sample.bytes() else {
                tracing::warn!(kind = %kind.manifest, "a damaged example of another release is not read");
                return None;
            };
            let why = self.inner.kinds.read(kind, codec, bytes).err()?;
            Some(format!(
                "what an earlier release writes ({}) cannot be read: {why} (a field that is added needs `#[serde(default)]`)",
                sample.words()
            ))
        };
        let known = || old.samples.iter().filter(|sample| !sample.is_beyond(shape));
        difference(codec, &old.shape, shape).or_else(|| known().find_map(unread))
    }

    /// Checks that an event of this kind can be recorded, as far as this node knows.
    ///
    /// # Errors
    /// The reason why it cannot, with the type, the limit and the remedy.
    pub(crate) fn admits(&self, payload: &Payload) -> std::result::Result<(), String> {
        let Some(stored) = self.inner.full.get() else { return Ok(()) };
        let (manifest, version) = (&*payload.manifest, payload.version);
        if stored.contains(manifest, version) || self.inner.kinds.has_event(manifest, version) {
            return Ok(());
        }
        Err(self.no_room(manifest, version))
    }

    /// Looks whether the store has room for a kind that it has not, with this codec. A kind that
    /// was found when the type started always has room, and so has one of another codec.
    async fn find_room(&self, kind: &Kind) -> Result<()> {
        let Inner { entity_type, kinds, store, full, .. } = &*self.inner;
        let (manifest, version) = (&*kind.manifest, kind.version);
        if kind.is_state || kinds.has_event(manifest, version) {
            return Ok(());
        }
        let stored = StoredKinds::of(entity_type, &store.scan(SHAPES).await?.rows);
        if !stored.is_full() || stored.contains(manifest, version) {
            return Ok(());
        }
        // from now on, the entities refuse such events before they apply them
        let _ = full.set(stored);
        Err(Error::rejected(self.no_room(manifest, version)))
    }

    fn no_room(&self, manifest: &str, version: u16) -> String {
        let Inner { entity_type, kinds, .. } = &*self.inner;
        format!(
            "entity type `{entity_type}`: an event of type `{}` (manifest {manifest:?}, version {version}) is not stored, because its place has recorded {EVENT_KINDS_MAX} kinds of events of the entity type (`EVENT_KINDS_MAX`); let `event_type` name a kind of a fixed set, and keep data in the event",
            kinds.event_type_name
        )
    }

    /// Returns whether the shapes of all events with this codec are in the store, so that nothing
    /// is left to record.
    pub fn is_complete(&self, codec: u8) -> bool {
        self.inner.complete.load(Ordering::Acquire) & bit(codec) != 0
    }

    /// Stores the shapes of the events of `origin`, so that they are in the store before the
    /// events.
    ///
    /// # Errors
    /// `Rejected` when another release has stored events of that kind with another shape, or when
    /// there is no room for a new kind ([`EVENT_KINDS_MAX`]); errors of the store. A cancelled call
    /// may have stored some of the shapes; repeat the call before the events are stored.
    pub async fn record_events(&self, events: &[StoredEvent], origin: &ReplicaId) -> Result<()> {
        let mut kinds: Vec<&Payload> = Vec::new();
        for event in events.iter().filter(|event| event.meta.origin == *origin) {
            let is_same = |one: &&Payload| {
                let other = &event.payload;
                (one.codec, &one.manifest, one.version)
                    == (other.codec, &other.manifest, other.version)
            };
            if !kinds.iter().any(is_same) {
                kinds.push(&event.payload);
            }
        }
        for payload in kinds {
            self.record(false, payload).await?;
        }
        Ok(())
    }

    /// Stores the shape of a snapshot's state, so that it is in the store before the snapshot.
    ///
    /// # Errors
    /// As for [`Self::record_events`]. A cancelled call may have stored the shape.
    pub async fn record_state(&self, payload: &Payload) -> Result<()> {
        self.record(true, payload).await
    }

    pub(super) async fn record(&self, is_state: bool, payload: &Payload) -> Result<()> {
        let it = Recorded {
            is_state,
            codec: payload.codec,
            manifest: payload.manifest.clone(),
            version: payload.version,
        };
        if self.recorded().contains(&it) {
            return Ok(());
        }
        let codec = CodecId::from_stored(payload.codec)?;
        let key = self.key(is_state, &payload.manifest, payload.version, codec);
        let kinds = &self.inner.kinds;
        let is_it = |kind: &&Kind| {
            (kind.is_state, &*kind.manifest, kind.version)
                == (is_state, &*payload.manifest, payload.version)
        };
        let known = kinds.known.iter().find(is_it);
        let kind = known.cloned().unwrap_or_else(|| {
            kinds.of_other_version(is_state, &payload.manifest, payload.version)
        });
        self.write(&key, &kind, codec).await?;
        let mut recorded = self.recorded();
        if recorded.len() < RECORDED_MAX {
            recorded.insert(it);
        }
        let is_recorded = |kind: &Kind| {
            let same = |it: &Recorded| *it.manifest == kind.manifest && it.version == kind.version;
            recorded.iter().any(|it| !it.is_state && it.codec == payload.codec && same(it))
        };
        let mut events = kinds.known.iter().filter(|kind| !kind.is_state).peekable();
        if events.peek().is_some() && events.all(is_recorded) {
            self.inner.complete.fetch_or(bit(payload.codec), Ordering::AcqRel);
        }
        Ok(())
    }

    fn recorded(&self) -> parking_lot::MutexGuard<'_, BTreeSet<Recorded>> {
        self.inner.recorded.lock()
    }

    async fn write(&self, key: &str, kind: &Kind, codec: CodecId) -> Result<()> {
        let today = Row { shape: kind.shapes.of(codec).clone(), samples: kind.samples(codec) };
        let store = &self.inner.store;
        let mut row = store.read(SHAPES, key).await?;
        if row.is_none() {
            self.find_room(kind).await?;
        }
        for _ in 0..ATTEMPTS_MAX {
            let (united, samples) = match &row {
                None => (today.clone(), Samples::default()),
                Some(row) => {
                    // a row that this release cannot read is left to the release that can read it
                    let Some(old) = Row::decode(key, &row.value) else { return Ok(()) };
                    if let Some(what) = self.unlike(kind, codec, &old) {
                        return Err(self.refusal("of this node", kind, codec, &what));
                    }
                    let united = old.union(codec, &today);
                    if united == old {
                        return Ok(());
                    }
                    (united, old.samples)
                }
            };
            // the shape matters more than new examples
            let value = united.encode().or_else(|| Row { samples, ..united }.encode());
            let Some(value) = value else {
                tracing::warn!(%key, "the shape is too large to be kept: a change of the type will not be noticed");
                return Ok(());
            };
            let expected = row.as_ref().map(|row| row.version);
            match store.compare_and_set(SHAPES, key, expected, Some(value.into())).await? {
                CasOutcome::Applied(_) => return Ok(()),
                CasOutcome::Conflict(other) => row = other,
            }
        }
        Err(Error::unavailable(format!("the shape `{key}` is changed by others all the time")))
    }
}

fn bit(codec: u8) -> u8 {
    1_u8.checked_shl(codec.into()).unwrap_or_default()
}

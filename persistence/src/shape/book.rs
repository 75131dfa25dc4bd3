//! The shapes in the store of a place.
//!
//! Key of a row: `event` or `state`, entity type, manifest, version and codec; value: the shape as JSON. A row is written when the first event
//! of its kind is appended, before the append, and grows with the variants that later releases add.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::compare::difference;
use super::form::Shape;
use super::kinds::{Kind, Kinds};
use crate::codec::CodecId;
use crate::event::{Payload, StoredEvent};
use crate::identity::ReplicaId;
use crate::store::{CasOutcome, Coordination};
use crate::{Error, Result};

/// The table of the coordination store that has the shapes.
pub const SHAPES: &str = "shapes";

/// A larger shape is not kept, and not compared.
const SHAPE_BYTES_MAX: usize = 256 * 1024;

/// So often a change of a row is tried when others change it too.
const ATTEMPTS_MAX: usize = 8;

/// The shapes of one entity type, compared with those of a place. Cheap to clone.
#[derive(Clone)]
pub struct ShapeBook {
    inner: Arc<Inner>,
}

struct Inner {
    entity_type: Arc<str>,
    kinds: Kinds,
    store: Arc<dyn Coordination>,
    recorded: Mutex<Vec<Recorded>>,
    /// All known kinds of events are recorded, so that nothing needs to be looked up.
    is_complete: AtomicBool,
}

/// A kind whose shape is in the store.
#[derive(PartialEq)]
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
    /// The book of an entity type; `store` is that of the place that writes.
    pub fn new(entity_type: Arc<str>, kinds: Kinds, store: Arc<dyn Coordination>) -> Self {
        let inner = Inner {
            entity_type,
            kinds,
            store,
            recorded: Mutex::default(),
            is_complete: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Compares with what a place has: its own, or a peer whose events will come.
    ///
    /// # Errors
    /// `Rejected` when something was stored under another shape, with the difference and what to do; those of the store.
    pub async fn check(&self, place: &str, store: &dyn Coordination) -> Result<()> {
        let rows = store.scan(SHAPES).await?.rows;
        for kind in &self.inner.kinds.known {
            for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
                let key = self.key(kind.is_state, &kind.manifest, kind.version, codec);
                if let Some(row) = rows.iter().find(|row| *row.key == *key)
                    && let Some(old) = decode(&key, &row.value)
                    && let Some(what) = difference(codec, &old, kind.shapes.of(codec))
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
        let what = if is_state { "state" } else { "event" };
        format!("{what}|{}|{manifest}|{version}|{}", self.inner.entity_type, codec.name())
    }

    /// Whether the shapes of all events are in the store: there is nothing to be recorded any more.
    pub fn is_complete(&self) -> bool {
        self.inner.is_complete.load(Ordering::Acquire)
    }

    /// Sees to it that the shapes of the events of `origin` are in the store before they are.
    ///
    /// # Errors
    /// `Rejected` when another release has stored events of that kind with another shape; those of the store.
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

    /// Sees to it that the shape of a snapshot's state is in the store before it is.
    ///
    /// # Errors
    /// As for [`Self::record_events`].
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
        if !recorded.contains(&it) {
            recorded.push(it);
        }
        let is_recorded = |kind: &Kind| {
            let same = |it: &Recorded| *it.manifest == kind.manifest && it.version == kind.version;
            recorded.iter().any(|it| !it.is_state && same(it))
        };
        let mut events = kinds.known.iter().filter(|kind| !kind.is_state).peekable();
        let is_complete = events.peek().is_some() && events.all(is_recorded);
        self.inner.is_complete.store(is_complete, Ordering::Release);
        Ok(())
    }

    fn recorded(&self) -> std::sync::MutexGuard<'_, Vec<Recorded>> {
        self.inner.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, key: &str, kind: &Kind, codec: CodecId) -> Result<()> {
        let shape = kind.shapes.of(codec);
        let value = serde_json::to_vec(shape).expect("a shape has nothing that cannot be written");
        if value.len() > SHAPE_BYTES_MAX {
            tracing::warn!(%key, bytes = value.len(), "the shape is too large to be kept: a change of the type will not be noticed");
            return Ok(());
        }
        let store = &self.inner.store;
        let mut row = store.read(SHAPES, key).await?;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(old) = row.as_ref().and_then(|row| decode(key, &row.value))
                && let Some(what) = difference(codec, &old, shape)
            {
                return Err(self.refusal("of this node", kind, codec, &what));
            }
            // the longer one has more variants
            if row.as_ref().is_some_and(|row| row.value.len() >= value.len()) {
                return Ok(());
            }
            let expected = row.as_ref().map(|row| row.version);
            let value = Some(Bytes::from(value.clone()));
            match store.compare_and_set(SHAPES, key, expected, value).await? {
                CasOutcome::Applied(_) => return Ok(()),
                CasOutcome::Conflict(other) => row = other,
            }
        }
        Err(Error::unavailable(format!("the shape `{key}` is changed by others all the time")))
    }
}

fn decode(key: &str, value: &[u8]) -> Option<Shape> {
    match CodecId::Json.decode_within(value, SHAPE_BYTES_MAX) {
        Ok(shape) => Some(shape),
        Err(error) => {
            tracing::warn!(%key, %error, "a shape of another release is not compared");
            None
        }
    }
}

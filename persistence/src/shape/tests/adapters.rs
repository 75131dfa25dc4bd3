//! Adapters to the journal: the stored types are compared, and those of the handlers may change.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::codec::CodecId;
use crate::entity::{CommandContext, Effect, EventContext, EventSourced};
use crate::event::Payload;
use crate::memory::MemoryStores;
use crate::shape::{ShapeBook, StoredTypes, kinds};
use crate::store::Stores;

/// Events of type `E`, which are stored as `S`.
struct Adapted<E, S> {
    codec: CodecId,
    says_types: bool,
    types: PhantomData<fn() -> (E, S)>,
}

trait Value: Default + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T> Value for T where
    T: Default + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<E: Value, S: Value> EventSourced for Adapted<E, S> {
    type Command = ();
    type Event = E;
    type State = E;

    fn on_command(&self, _: &CommandContext, _: &E, (): ()) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, _: &EventContext, _: &mut E, _: &E) {}

    fn to_journal(&self, _: &E) -> Result<Payload> {
        Payload::encode(self.codec, "kind", 1, &S::default())
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<E>> {
        payload.decode::<S>().map(|_| vec![E::default()])
    }

    fn to_snapshot(&self, _: &E) -> Result<Payload> {
        Payload::encode(self.codec, "", 7, &S::default())
    }

    fn from_snapshot(&self, payload: &Payload) -> Result<E> {
        payload.decode::<S>().map(|_| E::default())
    }

    fn stored_types(&self) -> StoredTypes {
        match self.says_types {
            true => StoredTypes::new().event::<S>("kind", 1).state::<S>(7),
            false => StoredTypes::new(),
        }
    }
}

mod before {
    use super::{Deserialize, Serialize};

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub(super) struct Paid {
        euros: u32,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub(super) struct Stored {
        amount: String,
        currency: String,
    }
}

mod after {
    use super::{Deserialize, Serialize};

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub(super) struct Paid {
        note: String,
        cents: u64,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub(super) struct Stored {
        amount: u64,
        currency: String,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub(super) struct More {
        amount: String,
        currency: String,
        note: String,
    }
}

fn book<E: Value, S: Value>(stores: &Stores, codec: CodecId, says_types: bool) -> ShapeBook {
    let behaviour = Adapted::<E, S> { codec, says_types, types: PhantomData };
    let kinds = kinds(&Arc::new(behaviour));
    assert!(kinds.has_event("kind", 1), "the kind of the adapter: {kinds:?}");
    ShapeBook::new(Arc::from("account"), kinds, stores.coordination.clone())
}

async fn stored_by_the_release_before(codec: CodecId) -> Stores {
    let stores = MemoryStores::new().stores();
    let first = book::<before::Paid, before::Stored>(&stores, codec, true);
    first.check("A", &*stores.coordination).await.unwrap();
    let payload = |manifest: &str, version| Payload::encode(codec, manifest, version, &()).unwrap();
    first.record(false, &payload("kind", 1)).await.unwrap();
    first.record_state(&payload("", 7)).await.unwrap();
    stores
}

const CODECS: [CodecId; 3] = [CodecId::Bincode, CodecId::Cbor, CodecId::Json];

#[tokio::test]
async fn a_changed_type_of_the_handlers_is_accepted_while_the_stored_type_stays() {
    for codec in CODECS {
        let stores = stored_by_the_release_before(codec).await;
        for says_types in [true, false] {
            let next = book::<after::Paid, before::Stored>(&stores, codec, says_types);
            next.check("A", &*stores.coordination).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_changed_stored_type_under_the_same_version_is_refused_with_its_name() {
    for codec in CODECS {
        let stores = stored_by_the_release_before(codec).await;
        let next = book::<before::Paid, after::Stored>(&stores, codec, true);
        let error = next.check("A", &*stores.coordination).await.unwrap_err().to_string();
        assert!(error.contains("after::Stored") && error.contains("amount"), "{codec:?}: {error}");
    }
}

#[tokio::test]
async fn a_field_of_the_stored_type_without_a_default_is_found_by_the_examples() {
    for codec in [CodecId::Cbor, CodecId::Json] {
        let stores = stored_by_the_release_before(codec).await;
        let next = book::<before::Paid, after::More>(&stores, codec, true);
        let error = next.check("A", &*stores.coordination).await.unwrap_err().to_string();
        assert!(error.contains("missing field `note`"), "{codec:?}: {error}");
    }
}

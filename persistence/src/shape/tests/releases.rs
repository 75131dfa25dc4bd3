//! Releases one after the other, on the store of one place: the checks of later releases against
//! the earlier ones.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::shape;
use crate::codec::CodecId;
use crate::entity::{CommandContext, Effect, EventContext, EventSourced};
use crate::event::Payload;
use crate::memory::MemoryStores;
use crate::reply::ReplyTo;
use crate::shape::union::union;
use crate::shape::{SHAPES, ShapeBook, kinds};
use crate::store::Stores;
use crate::{Error, ErrorKind};

struct Release<E>(CodecId, PhantomData<fn() -> E>);

impl<E: Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static> EventSourced
    for Release<E>
{
    type Command = ReplyTo<i64>;
    type Event = E;
    type State = u8;

    fn on_command(&self, _: &CommandContext, _: &u8, _: ReplyTo<i64>) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, _: &EventContext, _: &mut u8, _: &E) {}

    fn event_codec(&self) -> CodecId {
        self.0
    }
}

const NAMED: [CodecId; 2] = [CodecId::Cbor, CodecId::Json];

/// The store of a place.
struct Place(Stores, CodecId);

impl Place {
    fn new(codec: CodecId) -> Self {
        Self(MemoryStores::new().stores(), codec)
    }

    fn book<E>(&self) -> ShapeBook
    where
        E: Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let kinds = kinds(&Arc::new(Release::<E>(self.1, PhantomData)));
        ShapeBook::new(Arc::from("account"), kinds, self.0.coordination.clone())
    }

    /// A release starts, and stores an event.
    async fn runs<E>(&self) -> Result<(), Error>
    where
        E: Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let book = self.book::<E>();
        book.check("A", &*self.0.coordination).await?;
        let bytes = bytes::Bytes::new();
        let payload = Payload { codec: self.1 as u8, manifest: "".into(), version: 1, bytes };
        book.record(false, &payload).await
    }

    /// The reason why a release is refused.
    async fn refuses<E>(&self) -> String
    where
        E: Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let error = self.book::<E>().check("A", &*self.0.coordination).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        error.to_string()
    }

    async fn row(&self) -> serde_json::Value {
        let rows = self.0.coordination.scan(SHAPES).await.unwrap().rows;
        assert_eq!(rows.len(), 1);
        serde_json::from_slice(&rows[0].value).unwrap()
    }
}

releases! {
    moved {
        pub(super) struct Moved { x: u8, y: u8, note: Option<String> }
    }
    required {
        pub(super) struct Moved { x: u8, y: u8, note: Option<String>, z: u8 }
    }
    defaulted {
        pub(super) struct Moved { x: u8, y: u8, note: Option<String>, #[serde(default)] z: u8 }
    }
    strict {
        #[serde(deny_unknown_fields)]
        pub(super) struct Moved { x: u8, y: u8 }
    }
}

#[tokio::test]
async fn an_added_field_is_refused_unless_it_has_a_default() {
    for codec in NAMED {
        let place = Place::new(codec);
        place.runs::<moved::Moved>().await.unwrap();
        let why = place.refuses::<required::Moved>().await;
        assert!(why.contains("missing field `z`") && why.contains("#[serde(default)]"), "{why}");
        place.runs::<defaulted::Moved>().await.unwrap();
        let why = place.refuses::<required::Moved>().await;
        assert!(why.contains("missing field `z`"), "the first release's are still there: {why}");
        place.runs::<moved::Moved>().await.unwrap();
    }
}

/// An event of another place that cannot be read is held back; an old release there must be able to
/// start while a new one is rolled out.
#[tokio::test]
async fn what_a_peer_writes_and_this_release_cannot_read_is_no_reason_to_refuse() {
    let place = Place::new(CodecId::Cbor);
    place.runs::<moved::Moved>().await.unwrap();
    let book = place.book::<required::Moved>();
    book.check_peer("B", &*place.0.coordination).await.unwrap();
}

#[tokio::test]
async fn a_removed_field_is_refused_where_unknown_fields_are() {
    for codec in NAMED {
        let place = Place::new(codec);
        place.runs::<moved::Moved>().await.unwrap();
        let why = place.refuses::<strict::Moved>().await;
        assert!(why.contains("unknown field `note`"), "{why}");
    }
}

#[tokio::test]
async fn a_row_of_an_earlier_build_has_no_examples_and_gets_them() {
    let place = Place::new(CodecId::Cbor);
    place.runs::<moved::Moved>().await.unwrap();
    let row = place.0.coordination.scan(SHAPES).await.unwrap().rows.remove(0);
    let mut value = place.row().await;
    value.as_object_mut().unwrap().remove("samples").expect("examples");
    let value = Some(serde_json::to_vec(&value).unwrap().into());
    let store = &place.0.coordination;
    store.compare_and_set(SHAPES, &row.key, Some(row.version), value).await.unwrap();

    let book = place.book::<required::Moved>();
    book.check("A", &**store).await.unwrap();
    place.runs::<moved::Moved>().await.unwrap();
    place.refuses::<required::Moved>().await;
}

releases! {
    few_variants {
        pub(super) enum Event { Closed { reason: Reason }, Opened }
        pub(super) enum Reason { Moved }
    }
    more_variants {
        pub(super) enum Event { Closed { reason: Reason }, Opened, Frozen(u8) }
        pub(super) enum Reason { Moved, Other(String) }
    }
}

#[tokio::test]
async fn a_release_that_added_variants_can_be_taken_back() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(codec);
        place.runs::<few_variants::Event>().await.unwrap();
        place.runs::<more_variants::Event>().await.unwrap();
        place.runs::<few_variants::Event>().await.unwrap();
    }
}

releases! {
    described {
        pub(super) struct Put { amount: u32, #[serde(default)] description: Option<String> }
    }
    tagged {
        pub(super) struct Put { amount: u32, #[serde(default)] tag: Option<String> }
    }
    tagged_for_long {
        pub(super) struct Put { amount: u32, #[serde(default)] tag: Option<String>, #[serde(default)] a_long_name_beside: u8 }
    }
    numbered {
        pub(super) struct Put { amount: u32, #[serde(default)] tag: Option<u64> }
    }
    description_numbered {
        pub(super) struct Put { amount: u32, #[serde(default)] description: Option<u64> }
    }
}

#[tokio::test]
async fn a_release_is_compared_with_all_that_have_stored_something() {
    for codec in NAMED {
        let place = Place::new(codec);
        place.runs::<described::Put>().await.unwrap();
        place.runs::<tagged::Put>().await.unwrap();
        let why = place.refuses::<numbered::Put>().await;
        assert!(why.contains("field `tag` of `Put` was Text, is U64"), "{why}");

        let place = Place::new(codec);
        place.runs::<described::Put>().await.unwrap();
        place.runs::<tagged_for_long::Put>().await.unwrap();
        let why = place.refuses::<description_numbered::Put>().await;
        assert!(why.contains("field `description` of `Put` was Text, is U64"), "{why}");
    }
}

#[tokio::test]
async fn releases_side_by_side_do_not_change_a_row_back_and_forth() {
    let place = Place::new(CodecId::Json);
    place.runs::<described::Put>().await.unwrap();
    place.runs::<tagged::Put>().await.unwrap();
    let row = place.row().await;
    place.runs::<described::Put>().await.unwrap();
    place.runs::<tagged::Put>().await.unwrap();
    assert_eq!(place.row().await, row);
}

#[test]
fn a_union_has_what_both_have_and_that_once() {
    use super::{Chain, Outer, extended, first};
    for codec in [CodecId::Bincode, CodecId::Cbor] {
        for one in [shape::<Outer>(), shape::<Chain>(), shape::<first::Tree>()] {
            assert_eq!(union(codec, &one, &one), one);
        }
        let (few, many) = (shape::<first::Event>(), shape::<extended::Event>());
        let both = union(codec, &few, &many);
        for part in [&few, &many, &both] {
            assert_eq!(union(codec, &both, part), both);
        }
        let text = format!("{both:?}");
        assert!(text.contains("Closed") && text.contains("Reason<Moved|Other>"), "{text}");
    }
}

#[tokio::test]
async fn an_event_whose_destructor_panics_is_recorded_and_compared() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Bomb {
        count: u8,
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the test wants it");
        }
    }
    let place = Place::new(CodecId::Cbor);
    place.runs::<Bomb>().await.unwrap();
    assert!(place.row().await.to_string().contains("count"));
}

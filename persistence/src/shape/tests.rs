//! The tracing of types, and the changes that are noticed.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compare::difference;
use super::form::{Container, Content, Form, Shape, Variant};
use super::tracer::trace;
use super::{SHAPES, ShapeBook, kinds};
use crate::ErrorKind;
use crate::codec::CodecId;
use crate::entity::{CommandContext, Effect, EventContext, EventSourced, EventType};
use crate::event::Payload;
use crate::memory::MemoryStores;
use crate::reply::ReplyTo;

fn shape<T: serde::de::DeserializeOwned>() -> Shape {
    trace(false, false, |_: T, _| {})
}

fn bincode<A, B>() -> Option<String>
where
    A: serde::de::DeserializeOwned,
    B: serde::de::DeserializeOwned,
{
    difference(CodecId::Bincode, &shape::<A>(), &shape::<B>())
}

fn cbor<A, B>() -> Option<String>
where
    A: serde::de::DeserializeOwned,
    B: serde::de::DeserializeOwned,
{
    difference(CodecId::Cbor, &shape::<A>(), &shape::<B>())
}

/// A type of that name as it was in some release.
macro_rules! releases {
    ($($release:ident { $($item:item)* })*) => {
        $(mod $release {
            use super::*;
            $(#[derive(Debug, PartialEq, Serialize, Deserialize)] $item)*
        })*
    };
}

mod adapters;
mod limit;
mod releases;

releases! {
    first {
        pub(super) enum Event { Deposited(i64), Withdrawn(i64) }
        pub(super) struct Moved { x: u8, y: u8, note: Option<String> }
        pub(super) enum Tree { Leaf(u8), Node(Box<Tree>, Vec<Tree>) }
    }
    reordered {
        pub(super) enum Event { Withdrawn(i64), Deposited(i64) }
        pub(super) struct Moved { y: u8, x: u8, note: Option<String> }
        pub(super) enum Tree { Node(Box<Tree>, Vec<Tree>), Leaf(u8) }
    }
    extended {
        pub(super) enum Event { Deposited(i64), Withdrawn(i64), Closed { reason: Option<Reason> } }
        pub(super) enum Reason { Moved, Other(String) }
        pub(super) struct Moved { x: u8, y: u8, note: Option<String>, z: u8 }
    }
    retyped {
        pub(super) enum Event { Deposited(u64), Withdrawn(i64) }
        pub(super) struct Moved { x: String, y: u8, note: Option<String> }
        pub(super) enum Tree { Leaf(u16), Node(Box<Tree>, Vec<Tree>) }
    }
}

#[test]
fn variants_that_change_places_are_noticed() {
    assert_eq!(bincode::<first::Event, first::Event>(), None);
    let what = bincode::<first::Event, reordered::Event>().unwrap();
    assert_eq!(what, "variant 0 of `Event` was `Deposited`, is `Withdrawn`");
    assert!(bincode::<first::Tree, reordered::Tree>().is_some());
    assert_eq!(cbor::<first::Event, reordered::Event>(), None, "names are stored");
}

#[test]
fn fields_that_change_places_come_or_change_their_type_are_noticed() {
    let what = bincode::<first::Moved, reordered::Moved>().unwrap();
    assert_eq!(what, "field 0 of `Moved` was `x`, is `y`");
    let what = bincode::<first::Moved, extended::Moved>().unwrap();
    assert_eq!(what, "`Moved` was 3 fields, is 4 fields");
    let what = bincode::<first::Moved, retyped::Moved>().unwrap();
    assert_eq!(what, "field `x` of `Moved` was U8, is Text");
    let what = bincode::<first::Tree, retyped::Tree>().unwrap();
    assert_eq!(what, "`Tree::Leaf` was U8, is U16");
    let what = bincode::<first::Event, retyped::Event>().unwrap();
    assert_eq!(what, "`Event::Deposited` was I64, is U64");
}

#[test]
fn variants_at_the_end_are_compatible_in_both_directions() {
    assert_eq!(bincode::<first::Event, extended::Event>(), None);
    assert_eq!(bincode::<extended::Event, first::Event>(), None);
}

#[test]
fn with_names_fields_come_and_go_and_what_has_the_same_name_has_the_same_form() {
    assert_eq!(cbor::<first::Moved, extended::Moved>(), None);
    assert_eq!(cbor::<extended::Moved, first::Moved>(), None);
    assert_eq!(cbor::<first::Event, retyped::Event>(), None, "numbers are numbers");
    let what = cbor::<first::Moved, retyped::Moved>().unwrap();
    assert_eq!(what, "field `x` of `Moved` was U8, is Text");
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Date(String);

impl TryFrom<String> for Date {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 10 { Ok(Self(text)) } else { Err("no date") }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "u32")]
struct Never(u32);

impl TryFrom<u32> for Never {
    type Error = &'static str;

    fn try_from(_: u32) -> Result<Self, Self::Error> {
        Err("never")
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Outer {
    Plain(Inner),
    Optional { never: Option<Never>, date: Date },
    Impossible(Never, u8),
    Map(HashMap<String, Vec<Inner>>),
    Values(serde_json::Value),
    Last(NonZeroU32),
}

#[derive(Debug, Serialize, Deserialize)]
enum Inner {
    One,
    #[serde(alias = "deux")]
    Two(Box<Outer>),
    Three {
        #[serde(alias = "b")]
        a: u8,
        c: char,
    },
}

fn variants<'a>(shape: &'a Shape, name: &str) -> &'a BTreeMap<u32, Variant> {
    let found = shape.types.iter().find(|(key, _)| key.starts_with(&format!("{name}<")));
    match found {
        Some((_, Container::Enum(variants))) => variants,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_variant_is_found_whatever_is_around_it() {
    let mut samples = Vec::new();
    let shape = trace(false, false, |value: Outer, made_of| {
        samples.push((made_of.variant.unwrap(), value));
    });
    let outer = variants(&shape, "Outer");
    let seen: Vec<_> = outer.values().map(|variant| variant.content.is_some()).collect();
    assert_eq!(seen, [true; 6], "{outer:#?}");
    let date = Form::Scalar(super::form::Scalar::Text);
    let Some(Content::Struct(fields)) = &outer[&1].content else { panic!("{outer:#?}") };
    assert_eq!((&*fields[1].name, &fields[1].form), ("date", &date));
    let inner = variants(&shape, "Inner");
    assert_eq!(inner.len(), 3, "an alias is no variant");
    assert!(inner.values().all(|variant| variant.content.is_some()), "{inner:#?}");
    let sampled: std::collections::BTreeSet<u32> =
        samples.iter().map(|(index, _)| *index).collect();
    assert_eq!(sampled.into_iter().collect::<Vec<_>>(), [0, 1, 3, 4, 5], "{samples:?}");
}

#[derive(Debug, Serialize, Deserialize)]
struct Endless {
    next: Box<Endless>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Chain {
    name: String,
    next: Option<Box<Chain>>,
    others: Vec<Chain>,
    named: BTreeMap<String, Chain>,
}

#[test]
fn types_that_contain_themselves_are_traced_and_end() {
    assert_eq!(bincode::<Chain, Chain>(), None);
    let Some(Container::Struct(fields)) = shape::<Chain>().types.into_values().next() else {
        panic!("a structure")
    };
    assert!(matches!(&fields[1].form, Form::Option(inner) if matches!(**inner, Form::Type(_))));
    shape::<Endless>();
}

/// Two kinds of events, of which the second is of version `1`.
struct Account<E>(u16, std::marker::PhantomData<fn() -> E>);

impl<E> EventSourced for Account<E>
where
    E: Serialize + serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    type Command = ReplyTo<i64>;
    type Event = E;
    type State = Chain;

    fn on_command(&self, _: &CommandContext, _: &Chain, _: ReplyTo<i64>) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, _: &EventContext, _: &mut Chain, _: &E) {}

    fn event_type(&self, event: &E) -> EventType {
        let text = format!("{event:?}");
        let manifest = text.split(['(', ' ']).next().unwrap_or_default();
        EventType { manifest: manifest.into(), version: self.0 }
    }
}

fn account<E>(version: u16) -> Account<E> {
    Account(version, std::marker::PhantomData)
}

fn payload(manifest: &str, version: u16) -> Payload {
    let bytes = bytes::Bytes::new();
    Payload { codec: CodecId::Bincode as u8, manifest: manifest.into(), version, bytes }
}

#[tokio::test]
async fn another_shape_under_the_same_version_is_refused_with_the_difference_and_the_remedy() {
    let stores = MemoryStores::new().stores();
    let book = |kinds| ShapeBook::new(Arc::from("account"), kinds, stores.coordination.clone());
    let first = book(kinds(&Arc::new(account::<first::Event>(1))));
    first.check("A", &*stores.coordination).await.unwrap();
    assert!(stores.coordination.scan(SHAPES).await.unwrap().rows.is_empty(), "nothing was stored");
    first.record_state(&payload("", 1)).await.unwrap();
    first.record(false, &payload("Deposited", 1)).await.unwrap();
    assert!(!first.is_complete(CodecId::Bincode as u8));

    // a type that was never stored may change
    let other = book(kinds(&Arc::new(account::<reordered::Event>(2))));
    other.check("A", &*stores.coordination).await.unwrap();
    first.record(false, &payload("Withdrawn", 1)).await.unwrap();
    assert!(first.is_complete(CodecId::Bincode as u8));
    assert!(!first.is_complete(CodecId::Cbor as u8), "another codec has rows of its own");

    let other = book(kinds(&Arc::new(account::<reordered::Event>(1))));
    let error = other.check("A", &*stores.coordination).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let text = error.to_string();
    for part in ["`account`", "reordered::Event", "place `A`", "version 1", "raise the version"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = other.record(false, &payload("Deposited", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "the first write looks again");

    // a release that knows more variants may come and go
    let extended = book(kinds(&Arc::new(account::<extended::Event>(1))));
    extended.check("A", &*stores.coordination).await.unwrap();
    for manifest in ["Deposited", "Withdrawn", "Closed"] {
        extended.record(false, &payload(manifest, 1)).await.unwrap();
    }
    first.check("A", &*stores.coordination).await.unwrap();
}

#[tokio::test]
async fn a_state_of_a_version_that_was_not_named_at_the_start_is_recorded_as_a_state() {
    let stores = MemoryStores::new().stores();
    let book = |version| {
        let kinds = kinds(&Arc::new(account::<first::Event>(version)));
        ShapeBook::new(Arc::from("account"), kinds, stores.coordination.clone())
    };
    book(1).record_state(&payload("", 7)).await.unwrap();

    let rows = stores.coordination.scan(SHAPES).await.unwrap().rows;
    let stored = String::from_utf8_lossy(&rows[0].value).into_owned();
    assert!(stored.contains("Chain") && !stored.contains("Deposited"), "{stored}");
}

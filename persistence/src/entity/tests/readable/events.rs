//! Events: stored and readable, or refused before they are stored.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_event_of_a_million_small_numbers_survives_a_restart() {
    let place = Place::new(EntitySettings::default()).await;
    let keeper = Keeper::new(CodecId::Bincode);
    let numbers: Vec<u64> = vec![7; 1_100_000];
    assert_eq!(place.start(&keeper).put(numbers.clone()).await, Ok(1));
    assert_eq!(place.start(&keeper).read().await, Ok(vec![numbers]));
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_limit_is_rejected_and_the_entity_goes_on() {
    let place = Place::new(EntitySettings::default()).await;
    let entity = place.start(&Keeper::new(CodecId::Bincode));
    let refused = entity.put("x".repeat(9_000_000)).await.unwrap_err();
    assert!(matches!(&refused, ReplyError::Rejected(why) if why.contains("bytes")), "{refused}");
    assert_eq!(entity.put("y".to_owned()).await, Ok(1));
    assert_eq!(entity.counter("events_rejected"), 1);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    amount: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Amount { amount: u32 },
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Amount { amount: u32 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    amount: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

/// Asserts that a value is refused with bincode before anything is stored, with the type and the
/// remedy, and is kept by the codecs with names.
async fn needs_names<V: Value + PartialEq>(value: V) {
    let place = Place::new(EntitySettings::default()).await;
    let entity = place.start(&Keeper::new(CodecId::Bincode));
    let ReplyError::Rejected(why) = entity.put(value.clone()).await.unwrap_err() else {
        panic!("another error than `Rejected`")
    };
    let type_name = std::any::type_name::<V>();
    assert!(why.contains(type_name) && why.contains("event_codec"), "{why}");
    assert_eq!((place.event_count().await, entity.read().await), (0, Ok(vec![])), "{why}");

    for codec in [CodecId::Cbor, CodecId::Json] {
        let place = Place::new(EntitySettings::default()).await;
        assert_eq!(place.start(&Keeper::new(codec)).put(value.clone()).await, Ok(1), "{codec:?}");
        assert_eq!(place.start(&Keeper::new(codec)).read().await, Ok(vec![value.clone()]));
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_bincode_cannot_read_are_rejected_with_the_type_and_the_remedy() {
    needs_names(Skips { note: None, amount: 3 }).await;
    needs_names(Untagged::Text("x".into())).await;
    needs_names(Tagged::Amount { amount: 3 }).await;
    needs_names(Flat { amount: 3, rest: BTreeMap::new() }).await;
    needs_names(serde_json::json!({ "amount": 3 })).await;
}

/// A value that is written as `(x, y)` and read as `(y, x)`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "(u8, u8)")]
struct Swapped {
    x: u8,
    y: u8,
}

impl From<(u8, u8)> for Swapped {
    fn from((y, x): (u8, u8)) -> Self {
        Self { x, y }
    }
}

impl Serialize for Swapped {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        (self.x, self.y).serialize(serializer)
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_read_as_another_value_is_rejected() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(EntitySettings::default()).await;
        let entity = place.start(&Keeper::new(codec));
        let refused = entity.put(Swapped { x: 3, y: 4 }).await.unwrap_err();
        assert!(refused.to_string().contains("read as another value"), "{refused}");
        assert_eq!(place.event_count().await, 0);
        let list = place.start(&Keeper::new(codec));
        let refused = list.put((Swapped { x: 3, y: 4 }, vec![1_u8, 2])).await.unwrap_err();
        assert!(refused.to_string().contains("read as another value"), "{codec:?}: {refused}");
        assert_eq!(place.event_count().await, 0, "beside a list, too");
    }
}

/// A list whose `Serialize` and `Deserialize` do not fit: it is read in reverse, or sorted.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Misread<const SORTED: bool>(Vec<u32>);

impl<'de, const SORTED: bool> Deserialize<'de> for Misread<SORTED> {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let mut list = Vec::deserialize(deserializer)?;
        if SORTED {
            list.sort_unstable()
        } else {
            list.reverse()
        }
        Ok(Self(list))
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_read_in_another_order_is_rejected_even_beside_a_set() {
    let set: HashSet<u32> = (0..50).collect();
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(EntitySettings::default()).await;
        let reversed = place.start(&Keeper::new(codec));
        let refused = reversed.put((Misread::<false>(vec![1, 2]), set.clone())).await.unwrap_err();
        assert!(refused.to_string().contains("a list in another order"), "{codec:?}: {refused}");
        let sorted = place.start(&Keeper::new(codec));
        let refused = sorted.put((Misread::<true>(vec![2, 1]), set.clone())).await.unwrap_err();
        assert!(refused.to_string().contains("a list in another order"), "{codec:?}: {refused}");
        assert_eq!(place.event_count().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn sets_without_an_order_are_stored() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(EntitySettings::default()).await;
        let keeper = Keeper::new(codec);
        let entity = place.start(&keeper);
        let mut all = Vec::new();
        for size in [0, 1, 2, 2, 2, 3, 50] {
            let sets: Vec<HashSet<u32>> = vec![(0..size).collect(), (0..2).collect()];
            entity.put((sets.clone(), vec![3_u8, 1])).await.unwrap();
            all.push((sets, vec![3_u8, 1]));
        }
        assert_eq!(place.start(&keeper).read().await, Ok(all), "{codec:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_map_without_an_order_is_stored_and_snapshots_too() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(every(1)).await;
        let keeper = Keeper::new(codec);
        let map: HashMap<String, u32> = (0..50).map(|n| (format!("key-{n}"), n)).collect();
        let entity = place.start(&keeper);
        assert_eq!(entity.put(map.clone()).await, Ok(1));
        entity.snapshots_ended(1).await;
        assert!(place.snapshot().await.is_some(), "{:?}", keeper.failed_snapshots());
        assert_eq!(place.start(&keeper).read().await, Ok(vec![map]));
    }
}

/// An old release reads an event that a newer one wrote with another manifest or version.
#[tokio::test(start_paused = true)]
async fn an_event_of_a_version_that_is_not_known_is_never_read_as_one_of_today() {
    for (manifest, version) in [("", 2), ("moved", 1)] {
        let place = Place::new(EntitySettings::default()).await;
        let keeper = Keeper::<(u8, u8)>::new(CodecId::Bincode);
        place.start(&keeper).put((3, 4)).await.unwrap();
        let mut event = place
            .stores
            .journal
            .replay(&place.id(), SequenceNr::ZERO, SequenceNr::MAX, 1)
            .await
            .unwrap()
            .remove(0);
        let newer = Place::new(EntitySettings::default()).await;
        (event.payload.manifest, event.payload.version) = (manifest.into(), version);
        let append = crate::store::Append {
            persistence_id: place.id(),
            expected: SequenceNr::ZERO,
            events: vec![event],
        };
        newer.stores.journal.append(&newer.writer, append).await.unwrap();

        let error = newer.start(&keeper).read().await.unwrap_err().to_string();
        assert!(error.contains(&format!("actual {manifest:?}, {version}")), "{error}");
        assert!(error.contains("from_journal"), "{error}");
    }
}

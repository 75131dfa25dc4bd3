//! Tests of the encoded bytes, and of decoding any bytes without harm.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::ErrorKind;

const ALL: [CodecId; 3] = [CodecId::Bincode, CodecId::Cbor, CodecId::Json];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(i64),
    Tuple(u8, String),
    Struct { a: Option<u32>, b: Vec<bool> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    small: (u8, i8, u16, i16, u32, i32),
    large: (u64, i64, u128, i128),
    floats: (f32, f64),
    text: String,
    letter: char,
    flag: bool,
    bytes: bytes::Bytes,
    kinds: Vec<Kind>,
    map: BTreeMap<String, Vec<i16>>,
    unit: (),
    wrapped: Wrapped,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(Option<Box<Kind>>);

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Unit),
        any::<i64>().prop_map(Kind::Newtype),
        (any::<u8>(), ".{0,5}").prop_map(|(a, b)| Kind::Tuple(a, b)),
        (any::<Option<u32>>(), prop::collection::vec(any::<bool>(), 0..300))
            .prop_map(|(a, b)| Kind::Struct { a, b }),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    // of all sizes, and not infinite: JSON has no such numbers
    let floats =
        (any::<f32>(), any::<f64>()).prop_filter("finite", |(a, b)| a.is_finite() && b.is_finite());
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let map =
        prop::collection::btree_map(".{0,3}", prop::collection::vec(any::<i16>(), 0..3), 0..3);
    let wrapped = prop::option::of(kinds());
    let numbers = (any::<(u8, i8, u16, i16, u32, i32)>(), any::<(u64, i64, u128, i128)>(), floats);
    let rest = (".{0,300}", any::<char>(), any::<bool>(), bytes, map, wrapped);
    (numbers, rest, prop::collection::vec(kinds(), 0..3)).prop_map(
        |((small, large, floats), (text, letter, flag, bytes, map, wrapped), kinds)| Everything {
            small,
            large,
            floats,
            text,
            letter,
            flag,
            bytes: bytes.into(),
            kinds,
            map,
            unit: (),
            wrapped: Wrapped(wrapped.map(Box::new)),
        },
    )
}

proptest! {
    #[test]
    fn the_bytes_are_those_of_the_bincode_crate(value in everything()) {
        let standard = bincode::config::standard();
        let theirs = bincode::serde::encode_to_vec(&value, standard).unwrap();
        prop_assert_eq!(&CodecId::Bincode.encode(&value).unwrap(), &theirs);
        prop_assert_eq!(CodecId::Bincode.decode::<Everything>(&theirs).unwrap(), value);
    }

    #[test]
    fn a_value_is_read_back_equal_by_every_codec(value in everything()) {
        for codec in ALL {
            let bytes = codec.encode(&value).unwrap();
            prop_assert_eq!(&codec.decode::<Everything>(&bytes).unwrap(), &value, "{:?}", codec);
            prop_assert!(codec.is_encoded_as(&value, &bytes));
            prop_assert!(!codec.is_encoded_as(&value, &bytes[1..]));
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in ALL {
            let _ = codec.decode::<Everything>(&bytes);
            let _ = codec.decode::<Vec<Kind>>(&bytes);
            let _ = codec.decode::<HashMap<Kind2, Vec<()>>>(&bytes);
        }
    }

    #[test]
    fn a_cut_or_longer_value_is_an_error(value in everything(), cut in any::<prop::sample::Index>()) {
        for codec in ALL {
            let mut bytes = codec.encode(&value).unwrap();
            let cut = cut.index(bytes.len());
            prop_assert!(codec.decode::<Everything>(&bytes[..cut]).is_err(), "{:?}", codec);
            bytes.push(0);
            prop_assert!(codec.decode::<Everything>(&bytes).is_err(), "{:?}", codec);
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Kind2(Vec<u8>);

#[test]
fn a_limit_counts_encoded_bytes() {
    let numbers: Vec<u64> = vec![7; 1_100_000];
    let bytes = CodecId::Bincode.encode(&numbers).unwrap();
    assert_eq!(bytes.len(), 1_100_005);
    assert_eq!(CodecId::Bincode.decode::<Vec<u64>>(&bytes).unwrap(), numbers);
    for codec in ALL {
        let bytes = codec.encode(&numbers).unwrap();
        let size = bytes.len();
        assert_eq!(codec.encode_within(&numbers, size).unwrap(), bytes);
        let error = codec.encode_within(&numbers, size - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains("at most"), "{error}");
        assert!(codec.decode_within::<Vec<u64>>(&bytes, size).is_ok());
        let error = codec.decode_within::<Vec<u64>>(&bytes, size - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&format!("at most {}", size - 1)), "{error}");
    }
}

/// A length of 2^46, and nothing after it.
fn claim() -> Vec<u8> {
    let mut bytes = vec![253];
    bytes.extend((1u64 << 46).to_le_bytes());
    bytes
}

#[test]
fn a_claimed_length_allocates_nothing_and_ends_at_once() {
    let claim = claim();
    assert!(CodecId::Bincode.decode::<String>(&claim).is_err());
    assert!(CodecId::Bincode.decode::<bytes::Bytes>(&claim).is_err());
    assert!(CodecId::Bincode.decode::<Vec<u8>>(&claim).is_err());
    assert!(CodecId::Bincode.decode::<Vec<[u64; 30]>>(&claim).is_err());
    assert!(CodecId::Bincode.decode::<BTreeMap<u64, u64>>(&claim).is_err());
    // nothing is read for these elements, so that the loop itself must be bounded
    assert!(CodecId::Bincode.decode::<Vec<()>>(&claim).is_err());
    assert!(CodecId::Bincode.decode::<Vec<[u8; 0]>>(&claim).is_err());
    assert!(CodecId::Bincode.decode::<BTreeMap<(), ()>>(&claim).is_err());
    for (first, length) in [(0x5b_u8, "bytes"), (0x7b, "text"), (0x9b, "array"), (0xbb, "map")] {
        let mut bytes = vec![first];
        bytes.extend((1u64 << 46).to_be_bytes());
        assert!(CodecId::Cbor.decode::<String>(&bytes).is_err(), "{length}");
        assert!(CodecId::Cbor.decode::<Vec<u64>>(&bytes).is_err(), "{length}");
        assert!(CodecId::Cbor.decode::<Vec<()>>(&bytes).is_err(), "{length}");
        assert!(CodecId::Cbor.decode::<BTreeMap<u64, ()>>(&bytes).is_err(), "{length}");
        assert!(CodecId::Cbor.decode::<serde_json::Value>(&bytes).is_err(), "{length}");
    }
}

/// A sequence of sequences, each of which claims as many elements as there are bytes.
#[test]
fn sequences_in_sequences_reserve_no_more_memory_than_there_are_bytes() {
    #[derive(Debug, Deserialize)]
    struct Deep(#[expect(dead_code, reason = "only its capacity counts")] Vec<Deep>);

    thread_local! {
        static RESERVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Counts the elements that are announced.
    #[derive(Debug)]
    struct Announced;

    impl<'de> Deserialize<'de> for Announced {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Elements;
            impl<'de> serde::de::Visitor<'de> for Elements {
                type Value = Announced;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut from: A,
                ) -> Result<Announced, A::Error> {
                    let announced = from.size_hint().unwrap_or(0);
                    RESERVED.with(|reserved| reserved.set(reserved.get() + announced));
                    while from.next_element::<Announced>()?.is_some() {}
                    Ok(Announced)
                }
            }
            from.deserialize_seq(Elements)
        }
    }

    // 0xfb is a length of two bytes in bincode, 0x99 in CBOR
    let bincode = [0xfb, 0, 3].repeat(100);
    let cbor = [0x99, 3, 0].repeat(100);
    for (codec, bytes) in [(CodecId::Bincode, bincode), (CodecId::Cbor, cbor)] {
        RESERVED.set(0);
        assert!(codec.decode::<Announced>(&bytes).is_err(), "{codec:?}");
        assert!(codec.decode::<Deep>(&bytes).is_err(), "{codec:?}");
        let reserved = RESERVED.get();
        assert!(reserved <= bytes.len(), "{codec:?}: {reserved} elements announced");
    }
    // the content of a variant behind its name: 2^40 elements are claimed
    let behind = [b"\x64List\x9b".as_slice(), &(1_u64 << 40).to_be_bytes()].concat();
    #[derive(Debug, Deserialize)]
    enum Named {
        List(Announced),
    }
    RESERVED.set(0);
    assert!(CodecId::Cbor.decode::<Named>(&behind).is_err());
    assert_eq!(RESERVED.get(), 0);
    let nested: Vec<Vec<u8>> = vec![vec![7; 50]; 50];
    for codec in ALL {
        assert_eq!(codec.decode::<Vec<Vec<u8>>>(&codec.encode(&nested).unwrap()).unwrap(), nested);
    }
}

#[test]
fn elements_that_take_no_bytes_are_few_on_both_sides() {
    let units = vec![(); EMPTY_ELEMENTS_MAX];
    let bytes = CodecId::Bincode.encode(&units).unwrap();
    assert_eq!(CodecId::Bincode.decode::<Vec<()>>(&bytes).unwrap(), units);
    let units = vec![(); EMPTY_ELEMENTS_MAX + 1];
    assert_eq!(CodecId::Bincode.encode(&units).unwrap_err().kind(), ErrorKind::Rejected);
    let bytes = CodecId::Bincode.encode(&units.len()).unwrap();
    assert_eq!(CodecId::Bincode.decode::<Vec<()>>(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A list nested as deep as its bytes say.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum List {
    End,
    Next(Box<List>),
}

fn list(depth: usize) -> List {
    (0..depth).fold(List::End, |rest, _| List::Next(Box::new(rest)))
}

#[test]
fn a_deep_value_is_refused_by_the_encoder() {
    for codec in ALL {
        let fits = list(DEPTH_MAX - 2);
        assert_eq!(codec.decode::<List>(&codec.encode(&fits).unwrap()).unwrap(), fits, "{codec:?}");
        let error = codec.encode(&list(DEPTH_MAX + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains("nesting"), "{error}");
    }
}

#[test]
fn megabytes_of_nesting_are_an_error_and_no_overflow() {
    const COUNT: usize = 8 * 1024 * 1024;
    assert!(CodecId::Bincode.decode::<List>(&vec![1; COUNT]).is_err());
    assert!(CodecId::Bincode.decode::<Wrapped>(&vec![1; COUNT]).is_err());
    for first in [0x81, 0xa1, 0x9f, 0xc1, 0xd8] {
        assert!(CodecId::Cbor.decode::<serde_json::Value>(&vec![first; COUNT]).is_err());
        assert!(CodecId::Cbor.decode::<List>(&vec![first; COUNT]).is_err());
    }
    let next: Vec<u8> = [&[0xa1, 0x64][..], b"Next"].concat();
    assert!(CodecId::Cbor.decode::<List>(&next.repeat(COUNT / next.len())).is_err());
    assert!(CodecId::Json.decode::<serde_json::Value>(&vec![b'['; COUNT]).is_err());
    assert!(CodecId::Json.decode::<List>(&b"{\"Next\":".repeat(COUNT / 8)).is_err());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Aliased {
    #[serde(alias = "old", alias = "older")]
    new: u8,
    other: u8,
}

#[test]
fn a_field_with_aliases_is_one_field() {
    for codec in ALL {
        let value = [Aliased { new: 1, other: 2 }, Aliased { new: 3, other: 4 }];
        assert_eq!(codec.decode::<[Aliased; 2]>(&codec.encode(&value).unwrap()).unwrap(), value);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Skips {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    second: Option<u64>,
}

#[test]
fn a_field_that_is_left_out_is_refused_where_it_would_shift_the_others() {
    let value = Skips { first: None, second: Some(3) };
    let error = CodecId::Bincode.encode(&value).unwrap_err();
    assert!(error.to_string().contains("`first` is left out"), "{error}");
    for codec in [CodecId::Cbor, CodecId::Json] {
        let read: Skips = codec.decode(&codec.encode(&value).unwrap()).unwrap();
        assert_eq!((read.first, read.second), (None, Some(3)));
    }
}

#[test]
fn a_some_of_nothing_is_refused_where_it_would_be_read_as_none() {
    for codec in [CodecId::Cbor, CodecId::Json] {
        assert!(codec.encode(&Some(None::<u8>)).is_err(), "{codec:?}");
        assert!(codec.encode(&[Some(())]).is_err(), "{codec:?}");
        assert!(codec.encode(&Some(Wrapped(None))).is_err(), "{codec:?}");
        assert!(codec.encode(&Some([None::<u8>])).is_ok(), "{codec:?}");
        assert!(codec.encode(&(None::<u8>, Some(1))).is_ok(), "{codec:?}");
    }
    assert!(CodecId::Json.encode(&Some(f64::NAN)).is_err());
    assert!(CodecId::Cbor.encode(&Some(f64::NAN)).is_ok());
    assert!(CodecId::Bincode.encode(&Some(None::<u8>)).is_ok());
}

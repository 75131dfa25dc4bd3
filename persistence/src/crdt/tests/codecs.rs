//! States and operations are read back as they were, in every codec, and the bytes of the types
//! that are stored since the first release stay.

use std::marker::PhantomData;

use antiphon_base::time::Timestamp;

use super::*;
use crate::entity::testkit::check_stored;
use crate::entity::{CommandContext, Effect, EventContext, EventSourced};

const CODECS: [CodecId; 3] = [CodecId::Bincode, CodecId::Cbor, CodecId::Json];

struct Of<V>(CodecId, PhantomData<fn() -> V>);

impl<V> EventSourced for Of<V>
where
    V: Law + Send + Sync + 'static,
    V::Operation: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Command = ();
    type Event = V::Operation;
    type State = V;

    fn on_command(&self, _: &CommandContext, _: &V, (): ()) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, context: &EventContext, state: &mut V, event: &V::Operation) {
        state.apply(event, context);
    }

    fn event_codec(&self) -> CodecId {
        self.0
    }

    fn snapshot_codec(&self) -> CodecId {
        self.0
    }
}

/// The shapes are read, and so are a state and its operations.
fn is_read_back<V>(make: impl Fn(&V, &ReplicaId, u8) -> V::Operation)
where
    V: Law + Send + Sync + 'static,
    V::Operation: Serialize + DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    let mut state = V::default();
    let mut operations = Vec::new();
    for number in 0..12 {
        let origin = usize::from(number) % 3;
        let operation = make(&state, &replica(origin), number);
        apply(&mut state, origin, usize::from(number), std::slice::from_ref(&operation));
        operations.push(operation);
    }
    operations.extend(state.reset());
    for codec in CODECS {
        check_stored(&Of::<V>(codec, PhantomData)).unwrap();
        let bytes = codec.encode(&state).unwrap();
        assert_eq!(codec.decode::<V>(&bytes).unwrap(), state, "{}", codec.name());
        let bytes = codec.encode(&operations).unwrap();
        let read: Vec<V::Operation> = codec.decode(&bytes).unwrap();
        assert!(read == operations, "{}: {read:?}", codec.name());
    }
}

#[test]
fn every_type_is_read_back_in_every_codec() {
    let name = |n: u8| format!("k{}", n % 3);
    is_read_back::<Counter>(|state, _, n| state.update(i64::from(n) - 5));
    is_read_back::<ResettableCounter>(|state, _, n| match n % 4 {
        3 => state.set_back(),
        _ => state.update(i64::from(n) - 5),
    });
    is_read_back::<BoundedCounter>(|state, here, n| match n {
        0..6 => state.increment(u64::MAX),
        6..9 => state.decrement(u64::from(n), here).unwrap(),
        _ => state.transfer(u64::from(n), here, replica(0)).unwrap(),
    });
    is_read_back::<LwwRegister<String>>(|state, here, n| {
        state.set(name(n), Timestamp::from_micros(u64::from(n)), here)
    });
    is_read_back::<MultiValueRegister<Option<String>>>(|state, _, n| match n {
        8 => state.clear(),
        9 => MultiValueRegister::default().write(None),
        _ => MultiValueRegister::default().write(Some(name(n))),
    });
    is_read_back::<EnableWinsFlag>(
        |state, _, n| if n % 4 == 3 { state.disable() } else { state.enable() },
    );
    is_read_back::<DisableWinsFlag>(
        |state, _, n| if n % 4 == 3 { state.enable() } else { state.disable() },
    );
    is_read_back::<OrSet<String>>(|state, here, n| match n % 4 {
        0 => state.add_all([name(n), name(n + 1)], here),
        1 => state.remove(&name(n)),
        _ => state.add(name(n), here),
    });
    is_read_back::<Sequence<Option<char>>>(|state, _, n| match n % 4 {
        0 => state.remove(1..2),
        1 => state.insert(1, [None]),
        _ => state.push([Some('a'), None]),
    });
    is_read_back::<OrMap<String, OrMap<String, Sequence<char>>>>(|state, _, n| match n % 4 {
        3 => state.remove(&name(n)),
        _ => state.update(name(n), |map| map.update(name(n / 2), |text| text.push(['a']))),
    });
    is_read_back::<OrMap<String, BoundedCounter>>(|state, _, n| match n % 4 {
        3 => state.remove(&name(n)),
        _ => state.update(name(n), |count| count.increment(1)),
    });
}

#[test]
fn the_bytes_of_the_first_types_stay() {
    let (a, b) = (replica(0), replica(1));
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let encode = |value: &dyn Fn() -> Vec<u8>| hex(value());
    let mut counter = Counter::default();
    let update = counter.update(-3);
    apply(&mut counter, 0, 1, &[update]);
    assert_eq!(encode(&|| CodecId::Bincode.encode(&(update, counter)).unwrap()), "0505");

    let mut title = LwwRegister::new(String::new());
    let set = title.set("x".to_owned(), Timestamp::from_micros(7), &a);
    apply(&mut title, 0, 1, std::slice::from_ref(&set));
    let bytes = CodecId::Bincode.encode(&(set, &title)).unwrap();
    assert_eq!(hex(bytes), "01780701410178010701".to_owned() + "41");

    let mut tags = OrSet::default();
    let add = tags.add(1_u8, &a);
    apply(&mut tags, 0, 1, std::slice::from_ref(&add));
    let again = tags.add(1_u8, &b);
    apply(&mut tags, 1, 1, std::slice::from_ref(&again));
    let remove = tags.remove(&1);
    let bytes = |operation| hex(CodecId::Bincode.encode(operation).unwrap());
    assert_eq!(bytes(&add), "000101410100");
    assert_eq!(bytes(&again), "00010142010101".to_owned() + "4101");
    assert_eq!(bytes(&remove), "010101010142".to_owned() + "01");
    let bytes = hex(CodecId::Bincode.encode(&tags).unwrap());
    assert_eq!(bytes, "01010101420102014101".to_owned() + "014201");
}

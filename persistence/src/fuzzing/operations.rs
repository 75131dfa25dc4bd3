//! Operations of replicated types from another replica, which may say anything.

use antiphon_base::fuzzing::{Bounds, Check, Decoder};
use antiphon_base::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::CodecId;
use crate::crdt::{
    BoundedCounter, DisableWinsFlag, EnableWinsFlag, LwwRegister, MultiValueRegister, OperationOf,
    OrMap, OrSet, Replicated, ResettableCounter, Sequence, StandaloneContext,
};
use crate::identity::ReplicaId;

type Shelves = OrMap<String, OrMap<u8, Sequence<char>>>;

/// The last decoder of payloads: operations that are applied.
pub(super) const OPERATIONS: Decoder = Decoder {
    name: "operations",
    decode: operations,
    seeds,
    // an element of a list is one byte, and an operation in memory
    bounds: Bounds::new(4096, 1024),
};

#[derive(Debug, Serialize, Deserialize)]
enum Operation {
    Resettable(OperationOf<ResettableCounter>),
    Bounded(OperationOf<BoundedCounter>),
    Title(OperationOf<LwwRegister<String>>),
    Body(OperationOf<MultiValueRegister<String>>),
    Wanted(OperationOf<EnableWinsFlag>),
    Open(OperationOf<DisableWinsFlag>),
    Tags(OperationOf<OrSet<u8>>),
    Text(OperationOf<Sequence<char>>),
    Shelves(Box<OperationOf<Shelves>>),
}

/// A value of each type.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Values {
    resettable: ResettableCounter,
    bounded: BoundedCounter,
    title: LwwRegister<String>,
    body: MultiValueRegister<String>,
    wanted: EnableWinsFlag,
    open: DisableWinsFlag,
    tags: OrSet<u8>,
    text: Sequence<char>,
    shelves: Shelves,
}

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).expect("a name")
}

impl Values {
    fn apply(&mut self, event: u64, operation: &Operation) {
        let origin = replica(if event.is_multiple_of(2) { "A" } else { "B" });
        let context = StandaloneContext::new(origin, event);
        match operation {
            Operation::Resettable(operation) => self.resettable.apply(operation, &context),
            Operation::Bounded(operation) => self.bounded.apply(operation, &context),
            Operation::Title(operation) => self.title.apply(operation, &context),
            Operation::Body(operation) => self.body.apply(operation, &context),
            Operation::Wanted(operation) => self.wanted.apply(operation, &context),
            Operation::Open(operation) => self.open.apply(operation, &context),
            Operation::Tags(operation) => self.tags.apply(operation, &context),
            Operation::Text(operation) => self.text.apply(operation, &context),
            Operation::Shelves(operation) => self.shelves.apply(operation, &context),
        }
        assert!(self.bounded.value() >= i128::from(self.bounded.limit()), "below the limit");
    }

    /// Operations that a handler here would prepare from the state.
    fn prepare(&self) -> Vec<Operation> {
        let here = replica("A");
        let mut operations = vec![
            Operation::Resettable(self.resettable.update(5)),
            Operation::Resettable(self.resettable.set_back()),
            Operation::Bounded(self.bounded.increment(5)),
            Operation::Title(self.title.set("a".to_owned(), Timestamp::from_micros(7), &here)),
            Operation::Body(self.body.write("a".to_owned())),
            Operation::Body(self.body.clear()),
            Operation::Wanted(self.wanted.enable()),
            Operation::Wanted(self.wanted.disable()),
            Operation::Open(self.open.disable()),
            Operation::Open(self.open.enable()),
            Operation::Tags(self.tags.add_all([1, 2], &here)),
            Operation::Tags(self.tags.add(3, &here)),
            Operation::Tags(self.tags.remove(&1)),
            Operation::Text(self.text.insert(1, ['a', 'b'])),
            Operation::Text(self.text.remove(0..2)),
            Operation::Shelves(Box::new(
                self.shelves
                    .update("k".to_owned(), |shelf| shelf.update(1, |text| text.push(['a']))),
            )),
            Operation::Shelves(Box::new(self.shelves.clear())),
        ];
        let [decrement, transfer] =
            [self.bounded.decrement(2, &here), self.bounded.transfer(1, &here, replica("B"))];
        operations.extend(decrement.into_iter().chain(transfer).map(Operation::Bounded));
        operations
    }
}

fn operations(bytes: &[u8]) -> Option<Check> {
    let operations: Vec<Operation> = CodecId::Bincode.decode(bytes).ok()?;
    Some(Box::new(move || {
        let mut values = Values::default();
        for (number, operation) in (1_u64..).zip(&operations) {
            values.apply(number, operation);
        }
        is_read_back(&values);
        let first = operations.len() as u64 + 1;
        for (number, operation) in (first..).zip(values.prepare()) {
            values.apply(number, &operation);
        }
        is_read_back(&values);
    }))
}

fn is_read_back<V: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &V) {
    let bytes = CodecId::Bincode.encode(value).expect("a value");
    assert_eq!(CodecId::Bincode.decode::<V>(&bytes).expect("an encoded value is read"), *value);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut values = Values::default();
    let (mut all, mut number) = (Vec::new(), 0);
    for _ in 0..2 {
        let operations = values.prepare();
        for operation in &operations {
            number += 1;
            values.apply(number, operation);
        }
        all.extend(operations);
    }
    let single = all.iter().map(|operation| CodecId::Bincode.encode(&[operation].to_vec()));
    let seeds = single.chain([CodecId::Bincode.encode(&all)]);
    seeds.map(|bytes| bytes.expect("operations")).collect()
}

//! A recorded history: operations with their times and answers, and the journals at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What became of an operation, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// It was answered.
    Ok(T),
    /// It was refused, with the word that it has no effect.
    WithoutEffect(String),
    /// It may have taken effect, or may still.
    Unknown(String),
}

impl<T> Answer<T> {
    /// The answer, if there was one.
    pub fn ok(&self) -> Option<&T> {
        match self {
            Self::Ok(value) => Some(value),
            Self::WithoutEffect(_) | Self::Unknown(_) => None,
        }
    }
}

/// What a read saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The ids of a set, sorted.
    Ids(Vec<u32>),
    /// The value of a counter.
    Count(u64),
}

impl Seen {
    /// How many events the state has that was read.
    pub fn position(&self) -> u64 {
        match self {
            Self::Ids(ids) => ids.len() as u64,
            Self::Count(count) => *count,
        }
    }

    /// The ids, of a set.
    pub fn ids(&self) -> Option<&[u32]> {
        match self {
            Self::Ids(ids) => Some(ids),
            Self::Count(_) => None,
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An add, and the position that it was answered to have reached.
    Add {
        /// Unique in the run.
        id: u32,
        /// The position after it.
        answer: Answer<u64>,
    },
    /// A read.
    Read(Answer<Seen>),
}

/// One operation of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The entity.
    pub entity: String,
    /// The replica that was asked.
    pub replica: String,
    /// Microseconds of the run at which it was sent.
    pub invoked: u64,
    /// Microseconds of the run at which its client had the answer, or gave up.
    pub ended: u64,
    /// What was asked, and answered.
    pub kind: Kind,
}

impl Operation {
    /// The position that the answer tells.
    pub fn position(&self) -> Option<u64> {
        match &self.kind {
            Kind::Add { answer, .. } => answer.ok().copied(),
            Kind::Read(answer) => answer.ok().map(Seen::position),
        }
    }

    /// The id and the answer of an add.
    pub fn add(&self) -> Option<(u32, &Answer<u64>)> {
        match &self.kind {
            Kind::Add { id, answer } => Some((*id, answer)),
            Kind::Read(_) => None,
        }
    }

    /// The ids that a read of a set saw.
    pub fn ids(&self) -> Option<&[u32]> {
        match &self.kind {
            Kind::Read(answer) => answer.ok().and_then(Seen::ids),
            Kind::Add { .. } => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.kind {
            Kind::Add { id, answer } => format!("add {id}: {answer:?}"),
            Kind::Read(Answer::Ok(seen)) => format!("read of {}", seen.position()),
            Kind::Read(answer) => format!("read: {answer:?}"),
        };
        write!(f, "[{} us, {} us] {what}", self.invoked, self.ended)
    }
}

/// A replica's journal was deleted, or replaced by an older copy of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewind {
    /// The replica.
    pub replica: String,
    /// Microseconds of the run at which its last node had ended.
    pub from: u64,
    /// Microseconds of the run at which its first node was started on the older journal.
    pub until: u64,
    /// Adds that no other place had by then.
    pub lost: BTreeSet<u32>,
}

/// All that clients saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In any order.
    pub operations: Vec<Operation>,
    /// In the order of their times.
    pub rewinds: Vec<Rewind>,
}

impl History {
    /// By entity and replica, the operations in the order in which they were sent.
    pub(crate) fn by_replica(&self) -> BTreeMap<(&str, &str), Vec<&Operation>> {
        let mut groups: BTreeMap<_, Vec<&Operation>> = BTreeMap::new();
        for operation in &self.operations {
            let key = (operation.entity.as_str(), operation.replica.as_str());
            groups.entry(key).or_default().push(operation);
        }
        for group in groups.values_mut() {
            group.sort_by_key(|operation| operation.invoked);
        }
        groups
    }

    /// How often the replica's journal had gone back before an operation; `None` when it did during the operation.
    pub(crate) fn epoch(&self, operation: &Operation) -> Option<usize> {
        let mut epoch = 0;
        for rewind in self.rewinds.iter().filter(|rewind| rewind.replica == operation.replica) {
            if operation.invoked >= rewind.until {
                epoch += 1;
            } else if operation.ended > rewind.from {
                return None;
            }
        }
        Some(epoch)
    }

    /// Whether the replica's journal ever went back.
    pub(crate) fn went_back(&self, replica: &str) -> bool {
        self.rewinds.iter().any(|rewind| rewind.replica == replica)
    }

    /// The adds that may be lost, for no place had them any more.
    pub(crate) fn may_be_lost(&self) -> BTreeSet<u32> {
        self.rewinds.iter().flat_map(|rewind| rewind.lost.iter().copied()).collect()
    }
}

/// An event in a journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// The id of the add; `None` for a counter.
    pub id: Option<u32>,
    /// Where it was written first.
    pub origin: String,
    /// The how manieth it is of its origin.
    pub origin_nr: u64,
}

/// The events of one replica of one entity, in order.
pub type Stream = Vec<Event>;

/// By entity and replica, all streams.
pub type Journals = BTreeMap<(String, String), Stream>;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// Where and how.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// An id of `part` that is not in `whole`; both are sorted.
pub(crate) fn missing(part: &[u32], whole: &[u32]) -> Option<u32> {
    let mut rest = whole.iter().peekable();
    for id in part {
        while rest.next_if(|other| *other < id).is_some() {}
        if rest.next_if_eq(&id).is_none() {
            return Some(*id);
        }
    }
    None
}

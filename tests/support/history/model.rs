//! A recorded history: operations with their times and answers, and the journals at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The outcome of an operation, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The operation was answered.
    Ok(T),
    /// The operation was refused, and the answer says that it has no effect.
    WithoutEffect(String),
    /// The operation may have taken effect, or may still take effect.
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

/// The state that a read saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The ids of a set, sorted.
    Ids(Vec<u32>),
    /// The value of a counter.
    Count(u64),
}

impl Seen {
    /// The number of events in the state.
    pub fn position(&self) -> u64 {
        match self {
            Self::Ids(ids) => ids.len() as u64,
            Self::Count(count) => *count,
        }
    }

    /// The ids of a set; `None` for a counter.
    pub fn ids(&self) -> Option<&[u32]> {
        match self {
            Self::Ids(ids) => Some(ids),
            Self::Count(_) => None,
        }
    }
}

/// The kind of an operation, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An add, and the position that it reached.
    Add {
        /// Unique in the run.
        id: u32,
        /// The position after the add.
        answer: Answer<u64>,
    },
    /// A read.
    Read(Answer<Seen>),
}

/// An operation of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The entity.
    pub entity: String,
    /// The replica that was asked.
    pub replica: String,
    /// The time at which the operation was sent, in microseconds of the run.
    pub invoked: u64,
    /// The time at which its client had the answer, or gave up, in microseconds of the run.
    pub ended: u64,
    /// The request and its answer.
    pub kind: Kind,
}

impl Operation {
    /// The position in the answer.
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
    /// The time at which the replica's last node had ended, in microseconds of the run.
    pub from: u64,
    /// The time at which its first node was started on the older journal, in microseconds of the
    /// run.
    pub until: u64,
    /// Adds that no other place had at that time.
    pub lost: BTreeSet<u32>,
}

/// All operations of all clients.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The operations, in any order.
    pub operations: Vec<Operation>,
    /// The rewinds, in the order of their times.
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

    /// Number of times that the replica's journal had gone back before an operation; `None` when it
    /// went back during the operation.
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

    /// Returns whether the replica's journal ever went back.
    pub(crate) fn went_back(&self, replica: &str) -> bool {
        self.rewinds.iter().any(|rewind| rewind.replica == replica)
    }

    /// The adds that are lost when the journal of a replica goes back now: they were acknowledged
    /// or shown there, and no other place has them. A read shows an add also when the answer to the
    /// add itself was lost on its way.
    pub fn lost_at(&self, replica: &str, kept_elsewhere: &BTreeSet<u32>) -> BTreeSet<u32> {
        let here = self.operations.iter().filter(|operation| operation.replica == replica);
        let known = here.flat_map(|operation| {
            let added = operation.add().filter(|_| operation.position().is_some());
            let shown = operation.ids().unwrap_or_default().iter().copied();
            added.map(|(id, _)| id).into_iter().chain(shown)
        });
        known.filter(|id| !kept_elsewhere.contains(id)).collect()
    }

    /// The adds that may be lost, because no place had them any more.
    pub(crate) fn may_be_lost(&self) -> BTreeSet<u32> {
        self.rewinds.iter().flat_map(|rewind| rewind.lost.iter().copied()).collect()
    }
}

/// An event in a journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// The id of the add; `None` for a counter.
    pub id: Option<u32>,
    /// The replica at which the event was written first.
    pub origin: String,
    /// The number of the event among those of its origin.
    pub origin_nr: u64,
}

/// The events of one replica of one entity, in order.
pub type Stream = Vec<Event>;

/// By entity and replica, all streams.
pub type Journals = BTreeMap<(String, String), Stream>;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// The place of the violation, and a description.
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

//! The answers that clients of a cluster got, and the rules that the answers must follow.
//!
//! Clients add to sets and counters, and read them, at several replicas. Every add has an id that
//! is unique in a run, and no add is ever removed. So the state of an entity at one replica is
//! described by its *position*: the number of its events. The answer to an add has the position
//! that the add reached, and the answer to a read has the position (and, for a set, the ids) that
//! the read saw.
//!
//! - `linearizable`: at one replica, positions follow the real time of the operations, and reads of
//!   a set form a chain;
//! - `no_lost_ack`: every acknowledged add is in every later read and in the journals;
//! - `exactly_once`: no event is in a journal twice, or counted twice;
//! - `true_answer`: an add that was answered as without effect is in no read and in no journal;
//! - `causal_order`: at each replica, an event comes after all events that its writer could have
//!   seen;
//! - `journal_order`: the journal of a replica has its events in the order in which they were
//!   acknowledged and read;
//! - `convergence`: the journals of all replicas have the same events;
//! - `no_invention`: an id in a read or a journal was sent before, and to the replica that is its
//!   origin.
//!
//! A place whose journal was replaced by an older copy counts its positions anew ([`Rewind`]).

mod causal;
mod journals;
mod linearizable;
mod model;
#[cfg(test)]
mod tests;

pub use journals::check_journals;
pub use model::{
    Answer, Event, History, Journals, Kind, Operation, Rewind, Seen, Stream, Violation,
};

/// Checks the answers of clients, without the journals. Returns every violation found.
pub fn check_answers(history: &History) -> Vec<Violation> {
    let mut found = linearizable::check(history);
    found.extend(linearizable::check_truth(history));
    found.extend(causal::check(history));
    found
}

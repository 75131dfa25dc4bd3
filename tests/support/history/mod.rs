//! What clients of a cluster saw, and the rules that it must follow.
//!
//! Clients add to sets and counters, and read them, at several replicas. Every add has an id that is unique in a run, and nothing is
//! ever taken away. So the state of an entity at one replica is described by its *position*: how many events it has. An add
//! answers with the position that it reached, a read with the position (and, for a set, with the ids) that it saw.
//!
//! | rule | holds |
//! |---|---|
//! | `linearizable` | at one replica, positions follow the real time of the operations, and reads of a set form a chain |
//! | `no_lost_ack` | what was acknowledged is in every later read and in the journals |
//! | `exactly_once` | nothing is in a journal twice, or counted twice |
//! | `true_answer` | what was answered as without effect is in no read and in no journal |
//! | `causal_order` | what the writer of an event could have seen comes before the event, at each replica |
//! | `journal_order` | the journal of a replica has its events in the order in which they were acknowledged and read |
//! | `convergence` | the journals of all replicas have the same events |
//! | `no_invention` | an id in a read or a journal was sent before, and to the replica that is its origin |
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

/// Checks what clients saw; without the journals. Returns every violation that it finds.
pub fn check_answers(history: &History) -> Vec<Violation> {
    let mut found = linearizable::check(history);
    found.extend(linearizable::check_truth(history));
    found.extend(causal::check(history));
    found
}

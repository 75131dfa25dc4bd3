//! Decides whether a node may tell the homes of a place: it holds the coordinator lease of the
//! place, and the homes are under the token of that lease.
//!
//! A token that is greater than the known one is that of a new coordinator, or of no lease at all.
//! This node reads the lease again then, and asks its holder for the homes: a version that no lease
//! has is never taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::store::FencingToken;
use antiphon_runtime::{LeaseState, NodeId};

use super::Refusal;

/// The coordinator leases of all places, each with its last holder.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<Arc<str>, Lease>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    token: FencingToken,
    /// The last node that held the lease under this token: homes that it sent before it gave the
    /// lease back are true. `None` when no holder was known.
    holder: Option<NodeId>,
}

impl Leases {
    /// Takes the leases as this node knows them now.
    pub(super) fn learn(&mut self, known: &LeaseState) {
        for (place, lease) in &known.holders {
            let before = self.leases.get(place).filter(|before| before.token == lease.token);
            let holder = lease.holder.clone().or_else(|| before?.holder.clone());
            self.leases.insert(place.clone(), Lease { token: lease.token, holder });
        }
        self.leases.retain(|place, _| known.holders.contains_key(place));
        self.check(known);
    }

    /// Decides whether `from` may tell homes of `place` under `token`.
    ///
    /// # Errors
    /// The reason why not.
    pub(super) fn judge(&self, place: &str, from: &NodeId, token: u64) -> Result<(), Refusal> {
        let Some(lease) = self.leases.get(place) else { return Err(Refusal::UnknownLease) };
        if token > lease.token.0 {
            return Err(Refusal::UnknownLease);
        }
        if token < lease.token.0 {
            return Err(Refusal::EarlierLease);
        }
        match &lease.holder {
            Some(holder) if holder == from => Ok(()),
            Some(_) => Err(Refusal::NotCoordinator),
            // it was given back before this node read it: its next holder tells the homes
            None => Err(Refusal::UnknownLease),
        }
    }

    /// Returns whether the lease of the place has this token.
    pub(super) fn has_token(&self, place: &str, token: u64) -> bool {
        self.leases.get(place).is_some_and(|lease| lease.token.0 == token)
    }

    /// Panics when an invariant is broken.
    fn check(&self, known: &LeaseState) {
        assert_eq!(self.leases.len(), known.holders.len(), "a lease that no place has");
        for (place, lease) in &known.holders {
            let kept = &self.leases[place];
            assert_eq!(kept.token, lease.token, "`{place}`: the token of another lease");
            let is_held = lease.holder.is_some();
            assert!(!is_held || kept.holder == lease.holder, "`{place}`: another holder");
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_runtime::lease::LeaseHolder;

    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    fn known(holder: Option<&str>, token: u64) -> LeaseState {
        let lease = LeaseHolder { holder: holder.map(id), token: FencingToken(token) };
        LeaseState { holders: [("A".into(), lease)].into(), ..LeaseState::default() }
    }

    #[test]
    fn only_the_holder_of_the_lease_tells_homes_and_only_under_its_token() {
        let mut leases = Leases::default();
        assert_eq!(leases.judge("A", &id("a"), 0), Err(Refusal::UnknownLease), "none was read");
        leases.learn(&known(Some("a"), 7));
        assert_eq!(leases.judge("A", &id("a"), 7), Ok(()));
        assert_eq!(leases.judge("A", &id("b"), 7), Err(Refusal::NotCoordinator));
        for token in [8, u64::MAX] {
            assert_eq!(leases.judge("A", &id("a"), token), Err(Refusal::UnknownLease));
            assert_eq!(leases.judge("A", &id("b"), token), Err(Refusal::UnknownLease));
        }
        assert_eq!(leases.judge("A", &id("a"), 6), Err(Refusal::EarlierLease));
        assert_eq!(leases.judge("B", &id("a"), 7), Err(Refusal::UnknownLease));
    }

    #[test]
    fn homes_that_were_sent_before_the_lease_was_given_back_are_true() {
        let mut leases = Leases::default();
        leases.learn(&known(Some("a"), 7));
        leases.learn(&known(None, 7));
        assert_eq!(leases.judge("A", &id("a"), 7), Ok(()));
        assert_eq!(leases.judge("A", &id("b"), 7), Err(Refusal::NotCoordinator));

        leases.learn(&known(Some("b"), 8));
        assert_eq!(leases.judge("A", &id("b"), 8), Ok(()));
        assert_eq!(leases.judge("A", &id("a"), 7), Err(Refusal::EarlierLease));
        leases.learn(&known(None, 9));
        assert_eq!(leases.judge("A", &id("b"), 9), Err(Refusal::UnknownLease), "never its own");
        leases.learn(&LeaseState::default());
        assert_eq!(leases.judge("A", &id("b"), 9), Err(Refusal::UnknownLease));
    }

    /// The table of a place that was restored has an older lease.
    #[test]
    fn a_lease_that_went_back_is_the_lease() {
        let mut leases = Leases::default();
        leases.learn(&known(Some("a"), 7));
        leases.learn(&known(Some("b"), 3));
        assert!(leases.has_token("A", 3) && !leases.has_token("A", 7));
        assert_eq!(leases.judge("A", &id("b"), 3), Ok(()));
        assert_eq!(leases.judge("A", &id("a"), 7), Err(Refusal::UnknownLease));
    }
}

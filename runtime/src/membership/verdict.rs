//! Decides which member gives way when members that renew their rows cannot reach each other.
//!
//! A cut says that one of its two ends has to go, and not which one. So one word alone is
//! not enough:
//!
//! ```text
//!   `votes_required` (more than 1) members say it of one end  -> after `cut_timeout`
//!   both ends say it, and no third member reaches both        -> after `cut_timeout`
//!   both ends say it, and a third member reaches both         -> after `bridged_cut_timeout`
//!   one end says it, and there is no other member             -> after `bridged_cut_timeout`
//!   one end says it, and there are other members              -> never counts
//! ```
//!
//! The member with the most cuts that count gives way. Among equals, the member whose end
//! costs least: first a member that is leaving, then a member without the coordinator lease, then
//! the member with fewer shards, then the younger one. All members judge by the same rows. A
//! verdict is written into the row of the lease by compare-and-set, so verdicts and changes of the
//! lease are in one order: of two members that condemn each other, the second finds itself
//! condemned.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_persistence::store::RowVersion;
use serde::{Deserialize, Serialize};

use super::row::MemberRow;
use super::view::MemberState;
use crate::NodeId;

/// The decision that a member has to go, although it renews its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The member that has to go.
    pub id: NodeId,
    /// The member that wrote the verdict.
    pub by: NodeId,
    /// The reason.
    pub why: String,
}

/// The verdicts in the row of the coordinator lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The version of the row; `None` when there is none yet.
    pub version: Option<RowVersion>,
    /// The holder of the lease.
    pub holder: Option<NodeId>,
    /// The members that have to go.
    pub condemned: Vec<Verdict>,
}

impl Verdicts {
    /// The verdict about a member.
    pub fn about(&self, id: &NodeId) -> Option<&Verdict> {
        self.condemned.iter().find(|verdict| verdict.id == *id)
    }
}

/// Two members, the smaller id first.
pub(super) type Pair = (NodeId, NodeId);

pub(super) fn pair(a: &NodeId, b: &NodeId) -> Pair {
    if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

/// The limits of the age of cuts.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    pub(super) votes_required: usize,
    pub(super) cut_timeout: Duration,
    pub(super) bridged_cut_timeout: Duration,
}

/// The members that have joined, renew their rows and are not condemned, and the pairs among them
/// that cannot reach each other.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) members: BTreeMap<&'a NodeId, &'a MemberRow>,
    /// Pairs of members of which the first says that it cannot reach the second.
    pub(super) said: BTreeSet<(NodeId, NodeId)>,
}

impl<'a> Words<'a> {
    pub(super) fn new(rows: impl IntoIterator<Item = &'a MemberRow>) -> Self {
        let members: BTreeMap<_, _> = rows.into_iter().map(|row| (&row.id, row)).collect();
        let mut said = BTreeSet::new();
        for row in members.values() {
            let about = row.unreachable.iter();
            // a row that names its own member says nothing
            let about = about.filter(|id| **id != row.id && members.contains_key(id));
            said.extend(about.map(|id| (row.id.clone(), id.clone())));
        }
        Self { members, said }
    }

    /// The cuts that at least one end speaks of.
    pub(super) fn cuts(&self) -> BTreeSet<Pair> {
        self.said.iter().map(|(by, about)| pair(by, about)).collect()
    }

    fn counts(&self, cuts: &BTreeSet<Pair>, of: &Pair, age: Duration, limits: &Patience) -> bool {
        let (a, b) = of;
        let says = |by: &NodeId, about: &NodeId| self.said.contains(&(by.clone(), about.clone()));
        let is_outvoted = |id: &NodeId| {
            self.said.iter().filter(|(_, about)| about == id).count() >= limits.votes_required
        };
        let others = || self.members.keys().filter(|id| **id != a && **id != b);
        let is_bridged = || {
            others().any(|third| !cuts.contains(&pair(third, a)) && !cuts.contains(&pair(third, b)))
        };
        let limit = if limits.votes_required > 1 && (is_outvoted(a) || is_outvoted(b)) {
            limits.cut_timeout
        } else if says(a, b) && says(b, a) {
            if is_bridged() { limits.bridged_cut_timeout } else { limits.cut_timeout }
        } else if others().next().is_none() {
            limits.bridged_cut_timeout
        } else {
            return false;
        };
        age >= limit
    }

    /// The member that gives way, and the members that it is cut off from; `None` when no member
    /// has to.
    pub(super) fn who_gives_way(
        &self,
        ages: &BTreeMap<Pair, Duration>,
        holder: Option<&NodeId>,
        limits: &Patience,
    ) -> Option<(NodeId, Vec<NodeId>)> {
        let cuts = self.cuts();
        let mut cut_from: BTreeMap<&NodeId, Vec<NodeId>> = BTreeMap::new();
        for cut in &cuts {
            let age = ages.get(cut).copied().unwrap_or_default();
            if self.counts(&cuts, cut, age, limits) {
                cut_from.entry(&cut.0).or_default().push(cut.1.clone());
                cut_from.entry(&cut.1).or_default().push(cut.0.clone());
            }
        }
        let (id, from) = cut_from.into_iter().max_by_key(|(id, from)| {
            let row = self.members[*id];
            (
                from.len(),
                row.state == MemberState::Leaving,
                holder != Some(*id),
                Reverse(row.hosted),
                row.id.incarnation(),
                *id,
            )
        })?;
        Some((id.clone(), from))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    /// Rows with these names, hosted shards, and unreachable members.
    fn rows(members: &[(&str, u32, &[&str])]) -> Vec<MemberRow> {
        let row = |(name, hosted, unreachable): &(&str, u32, &[&str])| MemberRow {
            id: id(name),
            place: "p".into(),
            roles: Vec::new(),
            proxy_only: false,
            replicas: Arc::default(),
            address: String::new(),
            http_address: None,
            state: MemberState::Up,
            sealed: false,
            renewals: 1,
            unreachable: unreachable.iter().map(|name| id(name)).collect(),
            hosted: *hosted,
            ended_why: String::new(),
            ended_micros: 0,
        };
        members.iter().map(row).collect()
    }

    fn gives_way(seconds: u64, holder: &str, members: &[(&str, u32, &[&str])]) -> Option<String> {
        let rows = rows(members);
        let words = Words::new(&rows);
        let age = Duration::from_secs(seconds);
        let ages = words.cuts().into_iter().map(|pair| (pair, age)).collect();
        let limits = Patience {
            votes_required: 2,
            cut_timeout: Duration::from_secs(1),
            bridged_cut_timeout: Duration::from_secs(5),
        };
        let judged = words.who_gives_way(&ages, Some(&id(holder)), &limits);
        judged.map(|(id, _)| id.name().to_owned())
    }

    #[test]
    fn a_row_that_names_its_own_member_makes_no_cut() {
        let rows = rows(&[("a", 1, &["a"]), ("b", 1, &[])]);
        assert!(Words::new(&rows).cuts().is_empty());
    }

    #[test]
    fn of_two_the_one_without_the_lease_goes_then_the_emptier_then_the_later() {
        let cut = |a, b| [("a", a, &["b"][..]), ("b", b, &["a"][..])];
        assert_eq!(gives_way(0, "a", &cut(0, 9)), None);
        assert_eq!(gives_way(1, "a", &cut(0, 9)).as_deref(), Some("b"));
        assert_eq!(gives_way(1, "b", &cut(9, 0)).as_deref(), Some("a"));
        assert_eq!(gives_way(1, "x", &cut(0, 9)).as_deref(), Some("a"));
        assert_eq!(gives_way(1, "x", &cut(9, 9)).as_deref(), Some("b"));
    }

    #[test]
    fn one_that_nobody_reaches_goes_although_it_holds_the_lease_and_says_it_first() {
        let members = [("a", 1, &[][..]), ("b", 1, &[]), ("c", 9, &["a", "b"])];
        assert_eq!(gives_way(9, "c", &members), None, "its word alone says nothing");
        let members = [("a", 1, &["c"][..]), ("b", 1, &["c"]), ("c", 9, &["a", "b"])];
        assert_eq!(gives_way(1, "c", &members).as_deref(), Some("c"));
        let members = [("a", 1, &["c"][..]), ("b", 1, &["c"]), ("c", 9, &[])];
        assert_eq!(gives_way(1, "c", &members).as_deref(), Some("c"), "two words are enough");
    }

    #[test]
    fn two_whom_a_third_reaches_have_more_time() {
        let members = [("a", 1, &[][..]), ("b", 2, &["c"]), ("c", 3, &["b"])];
        assert_eq!(gives_way(4, "a", &members), None);
        assert_eq!(gives_way(5, "a", &members).as_deref(), Some("b"));
    }

    #[test]
    fn one_word_about_one_of_many_never_counts() {
        let members = [("a", 1, &[][..]), ("b", 2, &["c"]), ("c", 3, &[])];
        assert_eq!(gives_way(1000, "a", &members), None);
        let members = [("b", 2, &["c"][..]), ("c", 3, &[])];
        assert_eq!(gives_way(4, "c", &members), None);
        assert_eq!(gives_way(5, "c", &members).as_deref(), Some("b"), "with nobody else it does");
    }
}

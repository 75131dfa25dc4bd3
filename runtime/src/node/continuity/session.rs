//! The rows of sessions, and the rules about them.
//!
//! | key in table `sessions` | content |
//! |---|---|
//! | `own` | the session of the place, a [`SessionRow`] |
//! | `seen/PLACE` | the session of another place that was seen last, a [`Witness`] |
//!
//! Invariants:
//! - the number of a session is above the number of every earlier session that the place or a
//!   witness knows, as soon as the witness was read;
//! - a witness is never replaced by an older session, nor before the place has read it.
//!
//! A doubt does not end because the session before was closed, or because of the session that the
//! witnesses saw: events of a session can reach another place before its witness has seen that
//! session. These two facts decide only the log line and the position from which the shard reads.

use std::collections::BTreeMap;

use antiphon_persistence::store::Row;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, NodeId, Result};

/// The table.
pub(in crate::node) const SESSIONS: &str = "sessions";
/// The key of the session of this place.
pub(super) const OWN: &str = "own";

/// The key of the session that was seen of another place.
pub(super) fn seen_key(place: &str) -> String {
    format!("seen/{place}")
}

/// The evidence against the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoubtKind {
    /// The nodes of the place ended without closing their session, or the place has its first one:
    /// the journal may have gone back.
    Unclean,
    /// The other place has seen a newer session than the journal has: the journal went back.
    WentBack,
}

/// The doubt about own events that another place may have and this place may miss. Each session
/// begins with one doubt for each other place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The number of the session in which the doubt began. A shard that has read the other place's
    /// feed to its end since then is sure.
    pub since: u64,
    /// The evidence; `None` when only a member that vouches for the journal is missing.
    pub kind: Option<DoubtKind>,
    /// The number of the newest session that began with a journal that certainly went back; zero
    /// when there was none. A shard that was not sure since reads the other place's feed from its
    /// beginning, because its stored positions may be wrong too.
    pub back_since: u64,
    /// The witness was not read yet.
    pub unread: bool,
}

/// An operator's decision that a place goes on without the word of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Time of the decision, in microseconds since 1970.
    pub at_micros: u64,
    /// The node that opened the session in which the operator decided.
    pub session_of: NodeId,
}

/// The name of a session for other places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Witness {
    #[serde(deserialize_with = "number")]
    pub(super) number: u64,
    pub(super) opened_by: NodeId,
}

/// The session before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    number: u64,
    opened_by: NodeId,
    closed: bool,
}

/// The session of a place. JSON, so that a person can read the store; unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The number of the session, higher than the number of every session before. At most
    /// `i64::MAX`.
    #[serde(deserialize_with = "number")]
    pub number: u64,
    /// The incarnation that opened the session; it opens no other.
    pub opened_by: NodeId,
    /// Time when the session was opened, in microseconds since 1970.
    pub opened_micros: u64,
    /// The nodes that may vouch for the journal while they live.
    pub members: Vec<NodeId>,
    /// True when the last member has left, and nothing was written since.
    pub closed: bool,
    /// The session before; `None` when the store had none.
    pub previous: Option<Previous>,
    /// The doubts, by place.
    pub doubts: BTreeMap<String, Doubt>,
    /// The decisions of an operator to go on without the word of a place, by place. A decision
    /// holds until that place is reached in a later session.
    pub accepted: BTreeMap<String, Accepted>,
}

/// Reads the number of a session. Above the greatest number there would be no later session.
fn number<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<u64, D::Error> {
    let number = u64::deserialize(from)?;
    if number <= u64::MAX >> 1 {
        return Ok(number);
    }
    Err(D::Error::custom(format!("session {number}: expected a number of at most {}", i64::MAX)))
}

impl SessionRow {
    pub(super) fn decode(row: &Row) -> Result<Self> {
        serde_json::from_slice(&row.value).map_err(|error| {
            Error::corrupt(format!(
                "row `{}` of table `{SESSIONS}` cannot be read: {error}",
                row.key
            ))
        })
    }

    /// The session after `own`, opened by `me`, in doubt about all `peers`.
    pub(super) fn open(
        own: Option<&Self>,
        me: &NodeId,
        now_micros: u64,
        peers: impl IntoIterator<Item = String>,
    ) -> Self {
        let number = own.map_or(0, |own| own.number) + 1;
        let is_clean = own.is_some_and(|own| own.closed);
        let accepted = own.map(|own| own.accepted.clone()).unwrap_or_default();
        let doubt = |peer: String| {
            let before = own.and_then(|own| own.doubts.get(&peer));
            let back_since = before.map_or(0, |doubt| doubt.back_since);
            let kind = (!is_clean).then_some(DoubtKind::Unclean);
            (peer, Doubt { since: number, kind, back_since, unread: true })
        };
        let asked = peers.into_iter().filter(|peer| !accepted.contains_key(peer));
        let doubts = asked.map(doubt).collect();
        Self {
            number,
            opened_by: me.clone(),
            opened_micros: now_micros,
            members: vec![me.clone()],
            closed: false,
            previous: own.map(|own| Previous {
                number: own.number,
                opened_by: own.opened_by.clone(),
                closed: own.closed,
            }),
            doubts,
            accepted,
        }
    }

    /// Takes the word of a witness; `None` when that place has never seen a session of this one.
    /// Returns whether anything changed.
    pub(super) fn judge(&mut self, place: &str, witness: Option<&Witness>) -> bool {
        let Some(doubt) = self.doubts.get_mut(place).filter(|doubt| doubt.unread) else {
            return false;
        };
        doubt.unread = false;
        let went_back = match (&self.previous, witness) {
            (_, None) => false,
            (_, Some(seen)) if seen.opened_by == self.opened_by => false,
            (None, Some(_)) => true,
            // a session gets a higher number while it is open, and a backup from before that has
            // the lower one
            (Some(before), Some(seen)) => {
                seen.number > before.number
                    || (seen.number == before.number && seen.opened_by != before.opened_by)
            }
        };
        if went_back {
            let seen = witness.map_or(0, |witness| witness.number);
            self.number = self.number.max(seen) + 1;
            (doubt.since, doubt.back_since) = (self.number, self.number);
            doubt.kind = Some(DoubtKind::WentBack);
        }
        true
    }

    /// Takes the word of an entity that found own events elsewhere that the journal has not,
    /// although there was no evidence against the journal: every place is in doubt.
    pub(super) fn suspect(&mut self, peers: impl IntoIterator<Item = String>) {
        self.number += 1;
        let (since, back_since) = (self.number, self.number);
        let doubt = Doubt { since, kind: Some(DoubtKind::WentBack), back_since, unread: false };
        self.doubts.extend(peers.into_iter().map(|peer| (peer, doubt)));
    }

    /// Takes an operator's decision that the place goes on without the word of `place`. Returns the
    /// doubt that was there, if any.
    pub(super) fn accept(&mut self, place: &str, now_micros: u64) -> Option<Doubt> {
        let doubt = self.doubts.remove(place)?;
        let accepted = Accepted { at_micros: now_micros, session_of: self.opened_by.clone() };
        self.accepted.insert(place.to_owned(), accepted);
        Some(doubt)
    }

    /// Takes note that a place is reached again which an operator had given up. If the decision is
    /// of an earlier session, the place is asked again. Returns whether anything changed.
    pub(super) fn returned(&mut self, place: &str) -> bool {
        let is_old = |accepted: &Accepted| accepted.session_of != self.opened_by;
        if !self.accepted.get(place).is_some_and(is_old) {
            return false;
        }
        self.accepted.remove(place);
        self.number += 1;
        let doubt = Doubt { since: self.number, kind: None, back_since: 0, unread: true };
        self.doubts.insert(place.to_owned(), doubt);
        true
    }

    /// Adds a member, after a member that lives has vouched for the journal.
    pub(super) fn join(&mut self, me: &NodeId) {
        if !self.members.contains(me) {
            self.members.push(me.clone());
        }
    }

    /// Takes off a member that has written its last, and all members that can write nothing any
    /// more. The last one closes the session.
    pub(super) fn leave(&mut self, me: &NodeId, has_ended: impl Fn(&NodeId) -> bool) {
        self.members.retain(|member| member != me && !has_ended(member));
        self.closed = self.members.is_empty();
    }

    /// The witness that a node of the place `here` writes down of this session of another place;
    /// `None` when the stored one stays as it is.
    pub(super) fn witness(&self, here: &str, known: Option<&Witness>) -> Option<Witness> {
        // that place has to read the witness that was written down before
        if self.doubts.get(here).is_some_and(|doubt| doubt.unread) {
            return None;
        }
        let is_newer = known.is_none_or(|known| self.number > known.number);
        is_newer.then(|| Witness { number: self.number, opened_by: self.opened_by.clone() })
    }
}

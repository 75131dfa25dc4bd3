//! The walk along a lane: from which round to read, when the lane ends, and what a gap means.
//!
//! ```text
//! part p:    round 7, round 8, closed      part p + 1:    round 9, (open or sealed)
//!                     `----------------------------------------^
//! ```
//!
//! - Rounds are dense over all parts of a lane.
//! - A closed part has no more rounds; the lane continues in the next part.
//! - An open part may get more rounds. A sealed part never does, and the lane ends there. No part
//!   is closed and sealed.
//! - The state of a part is read before its rounds. So a page may have rounds after the head that
//!   its state names, but a page without rounds has no round that the head names: a gap.
//! - A gap in a part below the first part of the lane is no loss: the part was removed, and its
//!   events are in the streams' own partitions. Any other gap is lost data.
//!
//! [`Walk`] is the rule, and [`LaneReader`] reads pages by it. The seal, the view, the change feed
//! and the check of all rows walk by this rule.

use std::sync::Arc;

use antiphon_base::{Error, Result};
use bytes::Bytes;

use super::entry::Entry;
use super::round;
use crate::damaged::damaged;
use crate::tables::{LaneId, LanePosition, LaneState, PartState, RoundPage, Tables};

/// A place on the way along a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    at: LanePosition,
    /// False as long as the first round of the walk may have any number.
    is_dense: bool,
}

/// Continuation of a walk after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The lane goes on: read the next page.
    Page,
    /// The lane may get more rounds later.
    Open,
    /// The lane has ended.
    Sealed,
}

/// Rounds that are missing in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The part.
    pub(crate) part: u64,
    /// The last round before the gap.
    pub(crate) after: u64,
    /// The round that exists, or existed, although the one after `after` is not there.
    pub(crate) found: u64,
}

/// Sources of the rounds after a position, as a reader finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The memory has the rounds.
    Memory,
    /// The rounds are older than those in memory: read them from the database.
    Database,
    /// The part was removed: read the streams instead.
    Streams,
}

/// The source of the rounds after `after`, when the memory has the rounds after `base` and the
/// lane has parts from `first_part` on.
pub(crate) fn source(after: LanePosition, base: LanePosition, first_part: u64) -> Source {
    if after.nr >= base.nr {
        Source::Memory
    } else if after.part < first_part {
        Source::Streams
    } else {
        Source::Database
    }
}

impl Walk {
    /// A walk that goes on after a round.
    pub(crate) fn after(at: LanePosition) -> Self {
        Self { at, is_dense: true }
    }

    /// A walk that begins with the first round of a part, whatever its number is.
    pub(crate) fn from_part(part: u64) -> Self {
        Self { at: LanePosition { part, nr: 0 }, is_dense: false }
    }

    /// The part to read, and the last round that was read.
    pub(crate) fn at(&self) -> LanePosition {
        self.at
    }

    /// Goes on to a round that was read. After a gap, the walk goes on behind the gap.
    ///
    /// # Errors
    /// The gap, when the round is not the next one.
    pub(crate) fn round(&mut self, nr: u64) -> std::result::Result<LanePosition, Gap> {
        let LanePosition { part, nr: after } = self.at;
        let is_next = if self.is_dense { nr.checked_sub(1) == Some(after) } else { nr > 0 };
        self.at.nr = after.max(nr);
        self.is_dense = true;
        if is_next { Ok(self.at) } else { Err(Gap { part, after, found: nr }) }
    }

    /// Goes on after a page of `round_count` rounds, of which [`Self::round`] took each.
    ///
    /// # Errors
    /// The gap, when the part has a round that the page should have and does not have.
    pub(crate) fn page(
        &mut self,
        state: PartState,
        round_count: usize,
    ) -> std::result::Result<Next, Gap> {
        let LanePosition { part, nr } = self.at;
        match state.head {
            Some(head) if head > nr && round_count == 0 => {
                return Err(Gap { part, after: nr, found: head });
            }
            Some(head) if head > nr => return Ok(Next::Page),
            Some(_) | None => {}
        }
        if state.closed {
            self.at.part += 1;
            return Ok(Next::Page);
        }
        Ok(if state.sealed { Next::Sealed } else { Next::Open })
    }
}

impl Gap {
    /// The error of a gap in a lane that still has the part.
    pub(crate) fn lost(&self, lane: &LaneId) -> Error {
        let LaneId { writer, lane } = lane;
        let expected = self.after.saturating_add(1);
        Error::corrupt(format!(
            "lane {lane} of writer `{writer}`: expected round {expected}, actual {}: the store has lost data",
            self.found
        ))
    }
}

/// Checks the state of a part.
///
/// # Errors
/// `Corrupt` when no order of conditional writes leads to this state.
pub(crate) fn check_state(lane: &LaneId, part: u64, state: PartState) -> Result<()> {
    let PartState { head, closed, sealed } = state;
    if closed && (sealed || head.is_none()) {
        return Err(Error::corrupt(format!(
            "lane {} of writer `{}`, part {part}: expected a part that is open, or closed by a round, or sealed, actual {state:?}: the store has lost data",
            lane.lane, lane.writer
        )));
    }
    Ok(())
}

/// The part to seal after this one, whose state was read after it was sealed. `None` when the lane
/// is sealed.
///
/// # Errors
/// `Corrupt` when the part is neither sealed nor closed: a late append could still take effect.
pub(crate) fn after_seal(lane: &LaneId, part: u64, state: PartState) -> Result<Option<u64>> {
    check_state(lane, part, state)?;
    match (state.sealed, state.closed) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(part + 1)),
        (false, false) => Err(Error::corrupt(format!(
            "lane {} of writer `{}`, part {part}: it was sealed, and is not sealed: the store has lost data",
            lane.lane, lane.writer
        ))),
    }
}

/// Rounds with their decoded appends.
pub(crate) type Rounds = Vec<(LanePosition, Arc<[Entry]>)>;

/// Result of [`LaneReader::page`].
pub(crate) enum Read {
    /// The next rounds, and whether the lane goes on.
    Rounds(Rounds, Next),
    /// The part was removed. All events up to `copied` are in the streams' own partitions.
    Gone(LaneState),
}

/// Reads a lane page by page.
pub(crate) struct LaneReader<'a> {
    tables: &'a dyn Tables,
    lane: &'a LaneId,
    walk: Walk,
}

impl<'a> LaneReader<'a> {
    /// A reader of the rounds after `after`.
    pub(crate) fn new(tables: &'a dyn Tables, lane: &'a LaneId, after: LanePosition) -> Self {
        Self { tables, lane, walk: Walk::after(after) }
    }

    /// The part to read next, and the last round that was read.
    pub(crate) fn at(&self) -> LanePosition {
        self.walk.at()
    }

    /// Goes on after another round.
    pub(crate) fn jump(&mut self, to: LanePosition) {
        self.walk = Walk::after(to);
    }

    /// Reads the next page. A cancelled call leaves the reader where it was.
    ///
    /// # Errors
    /// - `Corrupt` when a round is damaged or lost.
    /// - `Unavailable` or `Timeout` when the server does not answer.
    pub(crate) async fn page(&mut self) -> Result<Read> {
        let LanePosition { part, nr } = self.walk.at();
        let RoundPage { state, rounds } = self.tables.rounds(self.lane, part, nr).await?;
        check_state(self.lane, part, state)?;
        let mut walk = self.walk;
        let mut decoded = Vec::with_capacity(rounds.len());
        for (nr, record) in &rounds {
            let at = match walk.round(*nr) {
                Ok(at) => at,
                Err(gap) => return self.gone_or_lost(gap).await,
            };
            decoded.push((at, decode_stored(self.lane, at, record)?));
        }
        let next = match walk.page(state, rounds.len()) {
            Ok(next) => next,
            Err(gap) => return self.gone_or_lost(gap).await,
        };
        assert!(walk.at() >= self.walk.at(), "a walk along a lane went back");
        self.walk = walk;
        Ok(Read::Rounds(decoded, next))
    }

    async fn gone_or_lost(&self, gap: Gap) -> Result<Read> {
        let state = self.tables.lane_state(self.lane).await?;
        // parts are removed after their events were copied
        let is_gone = gap.part < state.first_part && gap.after < state.copied.nr;
        if is_gone { Ok(Read::Gone(state)) } else { Err(gap.lost(self.lane)) }
    }
}

/// Decodes a round that was read from the database.
///
/// # Errors
/// `Corrupt`, naming table and key, when the round is damaged.
pub(crate) fn decode_stored(
    lane: &LaneId,
    at: LanePosition,
    record: &Bytes,
) -> Result<Arc<[Entry]>> {
    let LanePosition { part, nr } = at;
    let entries = round::decode_stored(lane, at, record).map_err(|why| {
        damaged(
            "log",
            &format!("writer `{}`, lane {}, part {part}, round {nr}", lane.writer, lane.lane),
            &why,
        )
    })?;
    Ok(entries.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(part: u64, nr: u64) -> LanePosition {
        LanePosition { part, nr }
    }

    fn state(head: Option<u64>, closed: bool, sealed: bool) -> PartState {
        PartState { head, closed, sealed }
    }

    fn lane() -> LaneId {
        LaneId { writer: "w".into(), lane: 0 }
    }

    #[test]
    fn a_walk_goes_on_in_the_next_part_and_the_numbers_of_the_rounds_continue() {
        let mut walk = Walk::after(at(0, 6));
        assert_eq!(walk.round(7), Ok(at(0, 7)));
        assert_eq!(walk.page(state(Some(8), true, false), 1), Ok(Next::Page));
        assert_eq!(walk.at(), at(0, 7), "the part has one more round");
        assert_eq!(walk.round(8), Ok(at(0, 8)));
        assert_eq!(walk.page(state(Some(8), true, false), 1), Ok(Next::Page));
        assert_eq!(walk.at(), at(1, 8));
        assert_eq!(walk.page(state(None, false, false), 0), Ok(Next::Open));
        assert_eq!(walk.round(9), Ok(at(1, 9)));
        assert_eq!(walk.page(state(Some(9), false, true), 1), Ok(Next::Sealed));
        assert_eq!(walk.at(), at(1, 9));
    }

    #[test]
    fn rounds_that_came_after_the_state_was_read_are_no_gap() {
        let mut walk = Walk::after(at(0, 6));
        for nr in [7, 8] {
            walk.round(nr).unwrap();
        }
        assert_eq!(walk.page(state(Some(7), false, false), 2), Ok(Next::Open));
    }

    #[test]
    fn a_round_that_is_not_the_next_one_is_a_gap_behind_which_the_walk_goes_on() {
        let mut walk = Walk::after(at(3, 6));
        assert_eq!(walk.round(8), Err(Gap { part: 3, after: 6, found: 8 }));
        assert_eq!(walk.round(9), Ok(at(3, 9)));
        assert_eq!(walk.round(9), Err(Gap { part: 3, after: 9, found: 9 }), "twice");
        assert_eq!(walk.round(2), Err(Gap { part: 3, after: 9, found: 2 }), "back");
        assert_eq!(walk.at(), at(3, 9), "a walk never goes back");
    }

    #[test]
    fn a_page_without_a_round_that_its_head_names_is_a_gap() {
        let mut walk = Walk::after(at(3, 6));
        let gap = Gap { part: 3, after: 6, found: 7 };
        assert_eq!(walk.page(state(Some(7), false, false), 0), Err(gap));
        assert!(gap.lost(&lane()).to_string().contains("expected round 7, actual 7"));
    }

    #[test]
    fn a_walk_from_a_part_takes_the_number_of_its_first_round() {
        let mut walk = Walk::from_part(2);
        assert_eq!(walk.round(40), Ok(at(2, 40)));
        assert_eq!(walk.round(42), Err(Gap { part: 2, after: 40, found: 42 }));
    }

    #[test]
    fn a_seal_goes_on_to_the_part_after_a_closed_one_and_ends_at_a_sealed_one() {
        assert_eq!(after_seal(&lane(), 4, state(Some(9), true, false)).unwrap(), Some(5));
        assert_eq!(after_seal(&lane(), 5, state(None, false, true)).unwrap(), None);
        for impossible in
            [state(Some(9), false, false), state(Some(9), true, true), state(None, true, false)]
        {
            assert!(after_seal(&lane(), 5, impossible).is_err(), "{impossible:?}");
        }
    }

    #[test]
    fn rounds_are_in_memory_in_the_database_or_in_the_streams() {
        let base = at(5, 50);
        assert_eq!(source(at(5, 50), base, 3), Source::Memory);
        assert_eq!(source(at(3, 30), base, 3), Source::Database);
        assert_eq!(source(at(2, 20), base, 3), Source::Streams);
    }
}

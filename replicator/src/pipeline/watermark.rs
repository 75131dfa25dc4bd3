//! The contiguous low watermark: the position up to which every event is done.
//!
//! Each pending event stores the position before it. So the watermark is the stored position of the
//! oldest pending event. Memory is needed for pending events only, regardless of how far the others
//! have advanced.

use std::collections::BTreeMap;

use super::Seq;
use crate::source::Position;

#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// Pending events: the position before each, and its size.
    pending: BTreeMap<Seq, (Option<Position>, usize)>,
    pending_bytes: usize,
    /// The newest delivered position.
    delivered: Option<Position>,
    next: u64,
}

impl Watermark {
    pub(super) fn starting_at(position: Option<Position>) -> Self {
        Self { delivered: position, ..Self::default() }
    }

    /// Adds an arrived event as pending.
    pub(super) fn arrived(&mut self, position: Option<&Position>, bytes: usize) -> Seq {
        let seq = Seq(self.next);
        self.next += 1;
        self.pending.insert(seq, (self.delivered.clone(), bytes));
        self.pending_bytes += bytes;
        self.passed(position);
        seq
    }

    /// Advances over a position that needs no work. A position before the newest one is ignored: a
    /// server's checkpoint may lie before its last event.
    pub(super) fn passed(&mut self, position: Option<&Position>) {
        if let Some(position) = position
            && !self.delivered.as_ref().is_some_and(|newest| position.is_before(newest))
        {
            self.delivered = Some(position.clone());
        }
    }

    /// Goes on from another position of the source. The pending events came before it.
    pub(super) fn rewind(&mut self, position: Option<Position>) {
        self.pending.values_mut().for_each(|(before, _)| before.clone_from(&position));
        self.delivered = position;
    }

    pub(super) fn done(&mut self, seq: Seq) {
        let was = self.pending.remove(&seq);
        let (_, bytes) = was.unwrap_or_else(|| panic!("{seq:?} was done twice"));
        self.pending_bytes -= bytes;
    }

    pub(super) fn delivered(&self) -> Option<&Position> {
        self.delivered.as_ref()
    }

    /// Position up to which every event is done.
    pub(super) fn position(&self) -> Option<&Position> {
        match self.pending.first_key_value() {
            Some((_, (before, _))) => before.as_ref(),
            None => self.delivered.as_ref(),
        }
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stops_before_the_oldest_pending_event_and_jumps_when_that_is_done() {
        let mut watermark = Watermark::starting_at(None);
        let [first, second, third] =
            [0, 1, 2].map(|n| watermark.arrived(Some(&Position::Stream(n)), 1));
        assert_eq!(watermark.position(), None);

        watermark.done(second);
        watermark.done(first);
        assert_eq!(watermark.position(), Some(&Position::Stream(1)));

        watermark.passed(Some(&Position::Stream(9)));
        watermark.passed(Some(&Position::Stream(8)));
        assert_eq!(watermark.position(), Some(&Position::Stream(1)));
        watermark.done(third);
        assert_eq!(watermark.position(), Some(&Position::Stream(9)));
    }
}

//! The last event up to a position, by which a source that was replaced or restored is noticed.
//!
//! Kept are the delivered events behind the position up to which every event is done, and the last
//! one before it. When there are too many, the later ones are not kept: an earlier event is an
//! anchor as well.

use std::collections::VecDeque;

use crate::source::{Anchor, Bookmark, Delivery, Position};

/// Largest number of events that are kept.
const KEPT_MAX: usize = 8192;

/// The anchors of one subscription.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    /// The last event up to the position up to which every event is done.
    last: Option<Anchor>,
    later: VecDeque<Anchor>,
    /// True until a position is saved after the source went back.
    went_back: bool,
    /// True when the save in progress is of a position after the source went back.
    saves_back: bool,
}

impl Anchors {
    pub(super) fn starting_at(bookmark: Option<&Bookmark>) -> Self {
        Self { last: bookmark.and_then(|bookmark| bookmark.event.clone()), ..Self::default() }
    }

    pub(super) fn delivered(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let (Delivery::Event(envelope) | Delivery::Excluded(envelope)) = delivery else {
                continue;
            };
            if let Some(position) = envelope.position.clone()
                && self.later.len() < KEPT_MAX
            {
                let event = &envelope.event;
                let (stream, revision, id) = (event.stream.clone(), event.revision, event.id);
                self.later.push_back(Anchor { stream, revision, id, position });
            }
        }
    }

    /// Every event up to `position` is done.
    pub(super) fn done(&mut self, position: &Position) {
        while let Some(first) = self.later.front()
            && !position.is_before(&first.position)
        {
            self.last = self.later.pop_front();
        }
    }

    /// The source continues from another place: its earlier events are not those of its past.
    pub(super) fn went_back(&mut self) {
        *self = Self { went_back: true, ..Self::default() };
    }

    /// A position that is about to be saved.
    pub(super) fn saving(&mut self, position: Position) -> Bookmark {
        self.saves_back = self.went_back;
        self.bookmark(position)
    }

    /// The position is saved. One that was on its way when the source went back changes nothing.
    pub(super) fn saved(&mut self) {
        if self.saves_back {
            self.went_back = false;
        }
    }

    /// A position with the last known event up to there.
    pub(super) fn bookmark(&self, position: Position) -> Bookmark {
        let is_before = |anchor: &&Anchor| !position.is_before(&anchor.position);
        let event = self.later.iter().rfind(is_before).or(self.last.as_ref()).cloned();
        Bookmark { position, event, went_back: self.went_back }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Envelope, Event};

    fn delivered(number: u64) -> Delivery {
        let position = Some(Position::Stream(number));
        let event = Event::example("a", number, "");
        Delivery::Event(Box::new(Envelope { position, ..Envelope::of(event) }))
    }

    fn event_of(anchors: &Anchors, position: u64) -> Option<u64> {
        let event = anchors.bookmark(Position::Stream(position)).event;
        event.map(|event| event.revision)
    }

    #[test]
    fn a_position_has_the_last_event_up_to_it() {
        let mut anchors = Anchors::default();
        assert_eq!(event_of(&anchors, 9), None);
        anchors.delivered(&[delivered(3), Delivery::Mark(Position::Stream(4)), delivered(7)]);
        assert_eq!(
            [2, 3, 6, 8].map(|at| event_of(&anchors, at)),
            [None, Some(3), Some(3), Some(7)]
        );
        anchors.done(&Position::Stream(5));
        assert_eq!([5, 8].map(|at| event_of(&anchors, at)), [Some(3), Some(7)]);

        anchors.went_back();
        // the save that was under way is that of the former source
        anchors.saved();
        let bookmark = anchors.saving(Position::Stream(1));
        assert_eq!((bookmark.event, bookmark.went_back), (None, true));
        anchors.saved();
        assert!(!anchors.saving(Position::Stream(1)).went_back);
    }
}

//! The decisions of a subscription beside those of its pipeline, as a pure core: the room that
//! finished events give back to the reader, and the end of a subscription that runs once.
//!
//! Invariants: no more is done than was delivered, and the numbers of what is done only ascend.

use crate::pipeline::Note;
use crate::source::{Delivery, Position};

/// An input of the course.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// The reader delivered.
    Arrived(&'a [Delivery]),
    /// The newest event at the start is known; none when the source has none.
    Target(Option<Position>),
    /// The pipeline reports.
    Noted(&'a Note),
    /// The pipeline has advanced.
    Advanced {
        /// Position up to which every event is done.
        position: Option<&'a Position>,
        /// Number of events that are held.
        held_count: usize,
        /// Number of their bytes.
        held_bytes: usize,
    },
}

/// A request of the course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Report that this number of events is no longer held.
    Released(usize),
    /// Let the reader go on: this number of bytes is done since the start.
    BytesDone(usize),
    /// Finish what is held, then end.
    Drain,
}

/// The course of one subscription.
#[derive(Debug, Default)]
pub(super) struct Course {
    runs_once: bool,
    target: Option<Target>,
    /// True when everything up to the end of this run is delivered.
    has_all: bool,
    /// True when the source was open: a source that cannot be the one of the checkpoint is not.
    was_open: bool,
    /// Events and bytes that were delivered since the start.
    arrived: (usize, usize),
    /// Events and bytes that are no longer held.
    done: (usize, usize),
}

/// The end of a subscription that runs once.
#[derive(Debug)]
struct Target {
    position: Option<Position>,
    reached: Option<Position>,
}

impl Course {
    pub(super) fn new(runs_once: bool) -> Self {
        Self { runs_once, ..Self::default() }
    }

    /// Advances the course by one step.
    pub(super) fn step(&mut self, step: Step<'_>) -> Vec<Request> {
        match step {
            Step::Arrived(deliveries) => {
                self.arrived.0 += deliveries.iter().filter(|one| one.envelope().is_some()).count();
                self.arrived.1 += deliveries.iter().map(Delivery::size).sum::<usize>();
                Vec::new()
            }
            Step::Target(position) => {
                // an end that is known to be reached stays so
                if !self.has_all {
                    let reached = self.target.take().and_then(|target| target.reached);
                    self.has_all = position.is_none();
                    self.target = Some(Target { position, reached });
                }
                Vec::new()
            }
            Step::Noted(note) => {
                self.note(note);
                Vec::new()
            }
            Step::Advanced { position, held_count, held_bytes } => {
                let before = self.done;
                self.done = self.done_with(held_count, held_bytes);
                self.check(before);
                let released = Request::Released(self.done.0 - before.0);
                let mut requests = vec![released, Request::BytesDone(self.done.1)];
                if held_count == 0 && self.was_open && self.is_at_target(position) {
                    self.target = None;
                    requests.push(Request::Drain);
                }
                requests
            }
        }
    }

    fn done_with(&self, held_count: usize, held_bytes: usize) -> (usize, usize) {
        let count = self.arrived.0.checked_sub(held_count);
        let bytes = self.arrived.1.checked_sub(held_bytes);
        let done = count.zip(bytes);
        done.unwrap_or_else(|| panic!("{held_count} events are held of {:?}", self.arrived))
    }

    /// Asserts the invariants; in release builds too, because the flow of the reader hangs on them.
    fn check(&self, before: (usize, usize)) {
        let (count, bytes) = self.done;
        assert!(
            count >= before.0 && bytes >= before.1,
            "{:?} is done after {before:?} was",
            self.done
        );
        assert!(count <= self.arrived.0 && bytes <= self.arrived.1, "{self:?}");
    }

    fn note(&mut self, note: &Note) {
        self.was_open |= *note == Note::SourceUp;
        if self.runs_once && *note == Note::CaughtUp {
            // all events that were there are delivered: only the held ones are left
            self.has_all = true;
            self.target = Some(Target { position: None, reached: None });
        }
        if let Note::Completed { envelope, .. }
        | Note::Skipped { envelope, .. }
        | Note::Parked { envelope, .. }
        | Note::Unresolved(envelope) = note
            && let Some(target) = &mut self.target
        {
            target.reached = Some(Position::Stream(envelope.current_revision()));
        }
    }

    fn is_at_target(&self, position: Option<&Position>) -> bool {
        let Some(target) = &self.target else { return false };
        match (&target.position, position.or(target.reached.as_ref())) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(reached)) => !reached.is_before(wanted) && wanted.is_like(reached),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Envelope, Event};

    fn arrived(count: usize) -> Vec<Delivery> {
        let event = || Box::new(Envelope::of(Event::example("a", 0, "")));
        (0..count).map(|_| Delivery::Event(event())).chain([Delivery::CaughtUp]).collect()
    }

    fn advanced(position: Option<&Position>, held_count: usize) -> Step<'_> {
        let held_bytes = held_count * Event::example("a", 0, "").size();
        Step::Advanced { position, held_count, held_bytes }
    }

    #[test]
    fn what_is_no_longer_held_gives_its_room_back_once() {
        let mut course = Course::new(false);
        course.step(Step::Arrived(&arrived(3)));
        let bytes = |count| Request::BytesDone(count * Event::example("a", 0, "").size());
        assert_eq!(course.step(advanced(None, 2)), [Request::Released(1), bytes(1)]);
        assert_eq!(course.step(advanced(None, 2)), [Request::Released(0), bytes(1)]);
        assert_eq!(course.step(advanced(None, 0)), [Request::Released(2), bytes(3)]);
    }

    #[test]
    fn the_end_is_not_moved_to_an_event_that_the_filter_hides() {
        let mut course = Course::new(true);
        course.step(Step::Noted(&Note::SourceUp));
        course.step(Step::Arrived(&arrived(0)));
        course.step(Step::Noted(&Note::CaughtUp));
        course.step(Step::Target(Some(Position::Stream(7))));
        assert_eq!(course.step(advanced(None, 0)).pop(), Some(Request::Drain));
    }

    #[test]
    fn the_number_of_a_stream_does_not_reach_a_position_of_the_log() {
        let mut course = Course::new(true);
        course.step(Step::Noted(&Note::SourceUp));
        course.step(Step::Target(Some(Position::All { commit: 1, prepare: 1 })));
        let other = Position::Stream(9);
        assert_ne!(course.step(advanced(Some(&other), 0)).pop(), Some(Request::Drain));
        course.step(Step::Target(None));
        assert_eq!(course.step(advanced(Some(&other), 0)).pop(), Some(Request::Drain));
    }

    #[test]
    fn a_run_that_ends_by_itself_ends_when_the_newest_event_of_its_start_is_done() {
        let mut course = Course::new(true);
        course.step(Step::Noted(&Note::SourceUp));
        course.step(Step::Arrived(&arrived(2)));
        course.step(Step::Target(Some(Position::Stream(7))));
        let (early, there) = (Position::Stream(6), Position::Stream(7));
        for (position, held_count) in [(&early, 0), (&there, 1)] {
            let requests = course.step(advanced(Some(position), held_count));
            assert!(!requests.contains(&Request::Drain), "{position} {held_count}");
            course.step(Step::Arrived(&arrived(1)));
        }
        assert_eq!(course.step(advanced(Some(&there), 0)).pop(), Some(Request::Drain));
        assert_ne!(course.step(advanced(Some(&there), 0)).pop(), Some(Request::Drain));
    }
}

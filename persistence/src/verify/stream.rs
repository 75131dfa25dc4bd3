//! The rules of one stream: its numbers are dense; the numbers of each origin's events are dense
//! too; no event comes before an event that it knows.

use crate::event::StoredEvent;
use crate::version::VersionVector;

/// A check of the events of a stream, in their order.
#[derive(Debug, Clone)]
pub struct StreamCheck {
    next: u64,
    seen: VersionVector,
    /// True when events before the first one are deleted or missing, so that their versions are not
    /// known.
    began_late: bool,
}

impl StreamCheck {
    /// A stream whose events up to `deleted` are deleted.
    pub fn after(deleted: u64) -> Self {
        Self { next: deleted + 1, seen: VersionVector::new(), began_late: deleted > 0 }
    }

    /// The number that the next event should have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Checks the next event; returns the problem, if there is one.
    pub fn event(&mut self, event: &StoredEvent) -> Option<String> {
        let (actual, expected) = (event.sequence_nr.value(), self.next);
        assert!(expected > 0, "the first event of a stream has the number 1");
        if actual != expected {
            (self.next, self.began_late) = (actual.saturating_add(1), true);
            self.seen.merge(&event.meta.version);
            return Some(format!("expected event {expected}, actual {actual}"));
        }
        self.next = actual.saturating_add(1);
        let wrong = self.versions(event);
        self.seen.merge(&event.meta.version);
        wrong
    }

    fn versions(&self, event: &StoredEvent) -> Option<String> {
        let origin = &event.meta.origin;
        for (replica, counter) in event.meta.version.iter() {
            let seen = self.seen.get(replica);
            // an origin that is met for the first time after deleted events cannot be checked
            if self.began_late && seen == 0 {
                continue;
            }
            if replica == origin && counter != seen + 1 {
                return Some(format!(
                    "expected the event {} of origin `{origin}`, actual {counter}",
                    seen + 1
                ));
            }
            if replica != origin && counter > seen {
                return Some(format!(
                    "expected at most {seen} earlier events of `{replica}`, actual {counter}"
                ));
            }
        }
        (event.meta.origin_nr() == 0)
            .then(|| format!("its version does not name its origin `{origin}`"))
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use bytes::Bytes;

    use super::*;
    use crate::event::{EventMeta, Labels, Payload, SequenceNr};
    use crate::identity::ReplicaId;

    fn event(number: u64, origin: &str, version: &[(&str, u64)]) -> StoredEvent {
        let replica = |name: &str| ReplicaId::new(name).unwrap();
        let version = version.iter().map(|(name, counter)| (replica(name), *counter)).collect();
        let meta = EventMeta {
            origin: replica(origin),
            version,
            source_seq: SequenceNr::new(number),
            concurrent: false,
            timestamp: Timestamp::from_micros(1),
            labels: Labels::none(),
        };
        let payload = Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() };
        StoredEvent { sequence_nr: SequenceNr::new(number), meta, payload }
    }

    fn problems(deleted: u64, events: &[StoredEvent]) -> Vec<String> {
        let mut check = StreamCheck::after(deleted);
        events.iter().filter_map(|event| check.event(event)).collect()
    }

    #[test]
    fn a_dense_stream_of_two_origins_is_sound() {
        let events = [
            event(1, "A", &[("A", 1)]),
            event(2, "B", &[("B", 1)]),
            event(3, "A", &[("A", 2), ("B", 1)]),
        ];
        assert_eq!(problems(0, &events), [""; 0]);
        assert_eq!(problems(2, &events[2..]), [""; 0], "what is deleted is not asked for");
    }

    #[test]
    fn a_hole_an_event_twice_and_an_event_before_its_cause_are_found() {
        let first = event(1, "A", &[("A", 1)]);
        let problem = |second| problems(0, &[first.clone(), second]).join(";");
        assert_eq!(problem(event(3, "A", &[("A", 2)])), "expected event 2, actual 3");
        let twice = event(2, "A", &[("A", 1)]);
        assert_eq!(problem(twice), "expected the event 2 of origin `A`, actual 1");
        let early = event(2, "A", &[("A", 2), ("B", 1)]);
        assert_eq!(problem(early), "expected at most 0 earlier events of `B`, actual 1");
        let unnamed = event(2, "B", &[("A", 1)]);
        assert_eq!(problem(unnamed), "its version does not name its origin `B`");
    }
}

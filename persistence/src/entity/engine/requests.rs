//! The requests of an entity that were done: commands that came with a request id, and stored
//! events. A repetition gets the first one's answer.
//!
//! The events are the truth: each names its request, so the memory follows from the stream, and a
//! snapshot has it. The memory changes with events alone, never with the time of day, so that a
//! replay sees what `on_event` saw before:
//! - the first event of a request is remembered, with the answer;
//! - an event of the same handling adds the answer, if there was none;
//! - an event of another handling is a repetition: two replicas have handled the request without
//!   knowing of each other. The earlier handling stays, or takes the place of the later one;
//! - a new request drops the oldest ones beyond `requests_max`, and one of this replica those that
//!   are older than `requests_age`, by the times of the events. The clock of another place drops
//!   nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use antiphon_base::time::Timestamp;

use crate::entity::context::DoneBefore;
use crate::entity::request_note::{Handling, RequestNote, read_answer};
use crate::entity::{EntityCounters, EntitySettings};
use crate::event::{EventMeta, RequestId};
use crate::store::{DoneRequest, KeptAnswer};

/// The requests of an entity. An entity that has none has no memory for them.
#[derive(Debug, Default)]
pub(super) struct Requests(Option<Box<Book>>);

#[derive(Debug, Default)]
struct Book {
    done: BTreeMap<RequestId, Done>,
    /// The ids, in the order in which their first events came.
    order: VecDeque<RequestId>,
}

/// A request that was done.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    handling: Handling,
    answer: KeptAnswer,
    /// The checksum of the content of its command, if its client gave one.
    content: Option<u64>,
}

impl Done {
    /// Takes the answer of a command of the handling, unless there is one.
    fn answered(&mut self, answer: KeptAnswer) {
        let waits = match self.answer {
            KeptAnswer::None => true,
            KeptAnswer::Later => answer != KeptAnswer::None,
            KeptAnswer::Bytes(_) | KeptAnswer::TooLarge(_) => false,
        };
        if waits {
            self.answer = answer;
        }
    }
}

/// The meaning of an event for the request that it names.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The request is new.
    First,
    /// The event is of the handling that is remembered.
    Same,
    /// The event is of another handling, which is earlier if this is true.
    Repeated(bool),
}

impl Requests {
    /// Takes the requests of a snapshot.
    pub(super) fn adopt(&mut self, settings: &EntitySettings, requests: &[DoneRequest]) {
        self.0 = None;
        // a setting may be lower than it was
        let skipped = requests.len().saturating_sub(settings.requests_max);
        for request in &requests[skipped..] {
            let DoneRequest { id, origin, first, at, answer } = request.clone();
            let book = self.0.get_or_insert_default();
            let handling = Handling { at, origin, first };
            let done = Done { handling, answer, content: id.content() };
            if book.done.insert(id.clone(), done).is_none() {
                book.order.push_back(id);
            }
        }
    }

    /// The requests that are remembered, oldest first, for a snapshot.
    pub(super) fn for_snapshot(&self) -> Vec<DoneRequest> {
        let Some(book) = &self.0 else { return Vec::new() };
        let request = |id: &RequestId| {
            let Done { handling, answer, content } = &book.done[id];
            let Handling { at, origin, first } = handling.clone();
            DoneRequest { id: id.marked(*content), origin, first, at, answer: answer.clone() }
        };
        book.order.iter().map(request).collect()
    }

    /// The same within so many bytes: the oldest answers are left out. Ids are never left out.
    pub(super) fn for_snapshot_within(&self, bytes_max: usize) -> Vec<DoneRequest> {
        let mut requests = self.for_snapshot();
        let mut bytes: usize = requests.iter().map(DoneRequest::bytes).sum();
        for request in &mut requests {
            if bytes <= bytes_max {
                break;
            }
            if let KeptAnswer::Bytes(answer) = &request.answer {
                bytes -= answer.len();
                request.answer = KeptAnswer::TooLarge(answer.len() as u64);
            }
        }
        requests
    }

    /// The handling and the answer of a request that was done.
    pub(super) fn get(&self, id: &str) -> Option<(&Handling, &KeptAnswer)> {
        let done = self.0.as_ref()?.done.get(id)?;
        Some((&done.handling, &done.answer))
    }

    /// The checksum of the content of a request that was done, if its client gave one.
    pub(super) fn content(&self, id: &str) -> Option<u64> {
        self.0.as_ref()?.done.get(id)?.content
    }

    /// The other handling of the request of an event, if the request was done before.
    pub(super) fn done_before(&self, meta: &EventMeta) -> Option<Box<DoneBefore>> {
        let book = self.0.as_ref()?;
        let note = RequestNote::read(meta.labels.metadata()).ok()??;
        let handling = note.handling(meta)?;
        let done = book.done.get(&note.id)?;
        match meaning(Some(done), &handling) {
            Meaning::First | Meaning::Same => None,
            Meaning::Repeated(is_overruled) => Some(Box::new(DoneBefore {
                origin: done.handling.origin.clone(),
                timestamp: done.handling.at,
                is_overruled,
            })),
        }
    }

    /// Takes note of an event that was applied, in the order of the stream. `is_own`: this replica
    /// has written it.
    ///
    /// # Errors
    /// The reason why its note cannot be read: the request is not remembered.
    pub(super) fn applied(
        &mut self,
        settings: &EntitySettings,
        counters: &EntityCounters,
        (meta, is_own): (&EventMeta, bool),
    ) -> Result<(), String> {
        let metadata = meta.labels.metadata();
        let Some(note) = RequestNote::read(metadata)? else { return Ok(()) };
        let wrong = || "its numbers do not fit the event".to_owned();
        let handling = note.handling(meta).ok_or_else(wrong)?;
        let answer = match read_answer(metadata) {
            // another replica may have another setting
            KeptAnswer::Bytes(bytes) if bytes.len() > settings.request_answer_bytes_max => {
                KeptAnswer::TooLarge(bytes.len() as u64)
            }
            answer @ (KeptAnswer::None
            | KeptAnswer::Later
            | KeptAnswer::TooLarge(_)
            | KeptAnswer::Bytes(_)) => answer,
        };
        let content = note.id.content();
        let book = self.0.get_or_insert_default();
        match meaning(book.done.get(&note.id), &handling) {
            Meaning::First if settings.requests_max == 0 => {}
            Meaning::First => {
                book.forget(settings, counters, is_own.then_some(handling.at));
                book.order.push_back(note.id.clone());
                book.done.insert(note.id, Done { handling, answer, content });
            }
            Meaning::Same => {
                let done = book.done.get_mut(&note.id).expect("it has the same handling");
                done.answered(answer);
            }
            Meaning::Repeated(true) => {
                book.done.insert(note.id, Done { handling, answer, content });
            }
            Meaning::Repeated(false) => {}
        }
        Ok(())
    }

    /// Remembers the answer of a command of a future which stored no event, as long as the entity
    /// stays in memory, if there is no answer yet.
    pub(super) fn answered(&mut self, id: &str, answer: KeptAnswer) {
        if let Some(done) = self.0.as_mut().and_then(|book| book.done.get_mut(id)) {
            done.answered(answer);
        }
    }

    /// Returns whether there is room for a new request beside `others`, which have stored no event
    /// yet: the oldest one can be forgotten, unless it is younger than `requests_kept_min`. A time
    /// that is further ahead than `time_skew_max` is that of a wrong clock, and keeps nothing.
    pub(super) fn has_room(
        &self,
        settings: &EntitySettings,
        now: Timestamp,
        others: usize,
    ) -> bool {
        let order = self.0.as_ref().map(|book| &book.order);
        let count = order.map_or(0, VecDeque::len);
        let kept = settings.requests_kept_min;
        if count + others < settings.requests_max || kept == Duration::ZERO {
            return true;
        }
        let oldest = order.and_then(|order| self.get(order.front()?.as_str()));
        oldest.is_some_and(|(oldest, _)| {
            now.is_ahead_of(oldest.at, kept) || oldest.at.is_ahead_of(now, settings.time_skew_max)
        })
    }

    /// Asserts that each request is there once, and not more of them than `requests_max`.
    pub(super) fn check(&self, settings: &EntitySettings) {
        let Some(book) = &self.0 else { return };
        assert_eq!(book.done.len(), book.order.len(), "each request has its turn");
        assert!(book.order.iter().all(|id| book.done.contains_key(id)), "a turn without request");
        let (count, limit) = (book.done.len(), settings.requests_max);
        assert!(count <= limit, "{count} requests are remembered, at most {limit} may be");
    }
}

/// The meaning of an event of this handling, for a request that is remembered so.
fn meaning(done: Option<&Done>, handling: &Handling) -> Meaning {
    match done {
        None => Meaning::First,
        Some(Done { handling: known, .. }) if *known == *handling => Meaning::Same,
        Some(Done { handling: known, .. }) => Meaning::Repeated(handling < known),
    }
}

impl Book {
    /// Drops the requests that are too many beside a new one, and those that are too old at the
    /// time `now` of this replica.
    fn forget(
        &mut self,
        settings: &EntitySettings,
        counters: &EntityCounters,
        now: Option<Timestamp>,
    ) {
        while let Some(oldest) = self.order.front() {
            let at = self.done[oldest].handling.at;
            let is_old = now.is_some_and(|now| now.is_ahead_of(at, settings.requests_age));
            let is_full = self.order.len() >= settings.requests_max;
            if !is_old && !is_full {
                break;
            }
            let counter =
                if is_old { &counters.requests_aged } else { &counters.requests_forgotten };
            EntityCounters::add(counter, 1);
            let oldest = self.order.pop_front().expect("just seen");
            self.done.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::entity::request_note::write_answer;
    use crate::event::{Labels, Metadata, SequenceNr, Tags};
    use crate::identity::ReplicaId;

    fn settings() -> EntitySettings {
        let requests_age = Duration::from_micros(100);
        EntitySettings { requests_max: 3, requests_age, ..EntitySettings::default() }
    }

    fn bytes(byte: u8) -> KeptAnswer {
        KeptAnswer::Bytes(vec![byte].into())
    }

    /// An event of a replica with this own number, time, note and answer.
    fn event(origin: &str, number: u64, at: u64, note: &str, answer: &KeptAnswer) -> EventMeta {
        let origin = ReplicaId::new(origin).unwrap();
        let metadata = Metadata::new().with_done(note.into());
        let metadata = match write_answer(answer) {
            Some(answer) => metadata.with_answer(answer),
            None => metadata,
        };
        EventMeta {
            version: [(origin.clone(), number)].into_iter().collect(),
            origin,
            source_seq: SequenceNr::new(number),
            concurrent: false,
            timestamp: Timestamp::from_micros(at),
            labels: Labels::new(metadata, Tags::none()).unwrap(),
        }
    }

    fn apply(requests: &mut Requests, counters: &EntityCounters, events: &[EventMeta]) {
        for event in events {
            let is_own = event.origin.as_str() == "A";
            requests.applied(&settings(), counters, (event, is_own)).unwrap();
            requests.check(&settings());
        }
    }

    fn ids(requests: &Requests) -> Vec<String> {
        requests.for_snapshot().iter().map(|request| request.id.to_string()).collect()
    }

    #[test]
    fn a_request_is_remembered_with_the_answer_of_its_first_event_that_has_one() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        let events = [
            event("A", 1, 10, "0 0 x", &KeptAnswer::Later),
            event("A", 2, 15, "1 5 x", &bytes(1)),
            event("A", 3, 16, "2 6 x", &bytes(2)),
        ];
        assert_eq!(requests.done_before(&events[0]), None);
        apply(&mut requests, &counters, &events);
        let handling = Handling {
            at: Timestamp::from_micros(10),
            origin: ReplicaId::new("A").unwrap(),
            first: 1,
        };
        assert_eq!(requests.get("x"), Some((&handling, &bytes(1))));
        assert_eq!(requests.get("y"), None);
        assert_eq!(requests.done_before(&events[2]), None, "it is of the same handling");
    }

    #[test]
    fn of_two_handlings_the_earlier_one_counts_in_either_order() {
        let early = event("B", 1, 10, "0 0 x", &bytes(1));
        let late = event("A", 1, 11, "0 0 x", &bytes(2));
        let later = event("A", 2, 30, "1 19 x", &KeptAnswer::None);
        let last = event("C", 1, 20, "0 0 x", &bytes(3));
        let before = |origin: &str, at: u64, is_overruled| {
            let origin = ReplicaId::new(origin).unwrap();
            let timestamp = Timestamp::from_micros(at);
            Some(Box::new(DoneBefore { origin, timestamp, is_overruled }))
        };
        let counters = EntityCounters::default();
        let mut one = Requests::default();
        apply(&mut one, &counters, std::slice::from_ref(&late));
        assert_eq!(one.done_before(&early), before("A", 11, true));
        apply(&mut one, &counters, std::slice::from_ref(&early));
        assert_eq!(one.done_before(&later), before("B", 10, false));
        assert_eq!(one.done_before(&last), before("B", 10, false), "the earliest one is known");
        let mut other = Requests::default();
        apply(&mut other, &counters, std::slice::from_ref(&early));
        assert_eq!(other.done_before(&late), before("B", 10, false));
        apply(&mut other, &counters, &[late, later, last]);
        assert_eq!(one.for_snapshot(), other.for_snapshot());
        assert_eq!(one.get("x").unwrap().1, &bytes(1));
    }

    #[test]
    fn the_oldest_requests_are_forgotten_beyond_the_count_and_those_beyond_the_age() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        for (number, id) in (1..).zip(["a", "b", "c", "d"]) {
            let note = format!("0 0 {id}");
            apply(&mut requests, &counters, &[event("A", number, number, &note, &bytes(0))]);
        }
        assert_eq!(ids(&requests), ["b", "c", "d"]);
        assert_eq!(counters.requests_forgotten.load(Ordering::Relaxed), 1);
        apply(&mut requests, &counters, &[event("A", 5, 103, "0 0 e", &bytes(0))]);
        assert_eq!(ids(&requests), ["c", "d", "e"]);
        assert_eq!(counters.requests_forgotten.load(Ordering::Relaxed), 1, "`b` was too old");
        assert_eq!(counters.requests_aged.load(Ordering::Relaxed), 1);
        apply(&mut requests, &counters, &[event("A", 6, 500, "0 0 f", &bytes(0))]);
        assert_eq!(ids(&requests), ["f"]);
    }

    #[test]
    fn the_clock_of_another_place_makes_no_request_forgotten() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        apply(&mut requests, &counters, &[event("A", 1, 10, "0 0 a", &bytes(0))]);
        apply(&mut requests, &counters, &[event("B", 1, 1 << 50, "0 0 b", &bytes(0))]);
        assert_eq!(ids(&requests), ["a", "b"]);
        apply(&mut requests, &counters, &[event("A", 2, 111, "0 0 c", &bytes(0))]);
        assert_eq!(ids(&requests), ["b", "c"], "by the own clock, `a` is too old");
    }

    #[test]
    fn a_new_request_has_no_room_while_all_are_young_unless_a_clock_is_wrong() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        let kept = EntitySettings {
            requests_kept_min: Duration::from_micros(50),
            time_skew_max: Duration::from_micros(20),
            ..settings()
        };
        let has_room = |requests: &Requests, now: u64, others: usize| {
            requests.has_room(&kept, Timestamp::from_micros(now), others)
        };
        for (number, id) in (1..).zip(["a", "b"]) {
            let note = format!("0 0 {id}");
            apply(&mut requests, &counters, &[event("A", number, 100, &note, &bytes(0))]);
        }
        assert!(has_room(&requests, 101, 0) && !has_room(&requests, 101, 1));
        apply(&mut requests, &counters, &[event("A", 3, 100, "0 0 c", &bytes(0))]);
        assert!(!has_room(&requests, 150, 0) && has_room(&requests, 151, 0));
        assert!(has_room(&requests, 79, 0), "its time is too far ahead");
    }

    #[test]
    fn a_snapshot_has_the_requests_in_their_order() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        let large = KeptAnswer::TooLarge(5000);
        for (number, id, answer) in
            [(1, "c", bytes(1)), (2, "a", KeptAnswer::None), (3, "b", large)]
        {
            let note = format!("0 0 {id}");
            apply(&mut requests, &counters, &[event("A", number, number, &note, &answer)]);
        }
        let stored = requests.for_snapshot();
        let mut again = Requests::default();
        again.adopt(&settings(), &stored);
        assert_eq!(again.for_snapshot(), stored);
        let fewer = EntitySettings { requests_max: 2, ..settings() };
        again.adopt(&fewer, &stored);
        assert_eq!(ids(&again), ["a", "b"], "the oldest one is dropped");
        again.check(&fewer);
    }

    #[test]
    fn a_snapshot_leaves_out_the_oldest_answers_for_which_it_has_no_room() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        for (number, id) in (1..).zip(["a", "b"]) {
            let answer = KeptAnswer::Bytes(vec![7; 100].into());
            let note = format!("0 0 {id}");
            apply(&mut requests, &counters, &[event("A", number, number, &note, &answer)]);
        }
        let all = requests.for_snapshot();
        let bytes: usize = all.iter().map(DoneRequest::bytes).sum();
        assert_eq!(requests.for_snapshot_within(bytes), all);
        let fewer = requests.for_snapshot_within(bytes - 1);
        assert_eq!(fewer[0].answer, KeptAnswer::TooLarge(100));
        assert_eq!(fewer[1], all[1]);
        assert_eq!(requests.for_snapshot_within(0)[1].answer, KeptAnswer::TooLarge(100));
    }

    #[test]
    fn an_answer_of_another_replica_is_kept_within_the_own_setting() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        let own = EntitySettings { request_answer_bytes_max: 1, ..settings() };
        for (number, id, count) in [(1, "a", 1), (2, "b", 2)] {
            let answer = KeptAnswer::Bytes(vec![7; count].into());
            let event = event("B", number, number, &format!("0 0 {id}"), &answer);
            requests.applied(&own, &counters, (&event, false)).unwrap();
        }
        assert_eq!(requests.get("a").unwrap().1, &bytes(7));
        assert_eq!(requests.get("b").unwrap().1, &KeptAnswer::TooLarge(2));
    }

    #[test]
    fn a_note_that_cannot_be_read_is_no_request() {
        let (mut requests, counters) = (Requests::default(), EntityCounters::default());
        for note in ["2 0 x", "0 999 x", "of a later version"] {
            let event = event("A", 1, 10, note, &KeptAnswer::None);
            assert!(requests.applied(&settings(), &counters, (&event, true)).is_err(), "{note}");
            assert_eq!(requests.done_before(&event), None);
        }
        assert_eq!(requests.for_snapshot(), []);
    }
}

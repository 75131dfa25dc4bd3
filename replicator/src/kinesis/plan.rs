//! Decides which records of a batch go into the next request.
//!
//! ```text
//!   key a: a0 a1 a2      request 1: a0 b0      answer: a0 stored, b0 throttled
//!   key b: b0            request 2: a1 b0      ...
//! ```
//!
//! At most one record of a key is under way, and the next one goes only after it was stored: so the
//! order of a stream holds, whatever the service refuses. Only refused records are sent again. A
//! record that cannot be stored ends its key for this batch.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use super::Record;
use crate::config::KinesisSettings;
use crate::event::Envelope;
use crate::sink::Outcome;

/// The outcome of one record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The record is stored.
    Stored,
    /// The shard is busy: the record stays at the head of its key.
    Throttled(String),
    /// The service failed on the record.
    Failed(String),
    /// The service will never accept the record.
    Refused(String),
    /// The service is away, or refused the whole request; nothing is known about the record.
    Away(String),
}

/// The records of one batch on their way.
#[derive(Debug)]
pub struct Plan {
    records: Vec<Record>,
    /// Indices of records that are not stored yet, by key, in order.
    waiting: BTreeMap<String, VecDeque<usize>>,
    /// The last reason why a key's head was throttled.
    throttled: BTreeMap<String, String>,
    outcomes: Vec<Outcome>,
    limits: KinesisSettings,
}

impl Plan {
    /// Plans a batch. A record that is too large is rejected here; later records of its key stay
    /// untried.
    pub fn new(batch: &[Envelope], limits: KinesisSettings, replicated_on: SystemTime) -> Self {
        let mut plan = Self {
            records: Vec::with_capacity(batch.len()),
            waiting: BTreeMap::new(),
            throttled: BTreeMap::new(),
            outcomes: vec![Outcome::Untried; batch.len()],
            limits,
        };
        let limit = plan.limits.record_bytes_max;
        let mut closed: Vec<String> = Vec::new();
        for (index, envelope) in batch.iter().enumerate() {
            let record = Record::new(&envelope.event, replicated_on);
            let size = record.size();
            if size > limit && !closed.contains(&record.key) {
                closed.push(record.key.clone());
                plan.outcomes[index] = Outcome::Rejected(format!(
                    "the record of event #{} of `{}` has {size} bytes with its key, more than `Kinesis:RecordBytesMax`, which is {}",
                    envelope.event.revision, envelope.event.stream, limit
                ));
            } else if !closed.contains(&record.key) {
                plan.waiting.entry(record.key.clone()).or_default().push_back(index);
            }
            plan.records.push(record);
        }
        plan
    }

    /// The indices of the next request; empty when nothing is left.
    pub fn next_request(&self) -> Vec<usize> {
        let mut request = Vec::new();
        let mut bytes = 0;
        for index in self.waiting.values().filter_map(|queue| queue.front().copied()) {
            let size = self.records[index].size();
            if request.len() == self.limits.batch_records_max
                || bytes + size > self.limits.batch_bytes_max
            {
                break;
            }
            bytes += size;
            request.push(index);
        }
        request
    }

    /// A record of the batch.
    pub fn record(&self, index: usize) -> &Record {
        &self.records[index]
    }

    /// Notes the outcome of a record of the last request.
    pub fn settle(&mut self, index: usize, verdict: Verdict) {
        let key = self.records[index].key.clone();
        let head = self.waiting.get(&key).and_then(|queue| queue.front().copied());
        assert_eq!(head, Some(index), "a record that is not the head of its key was sent");
        self.throttled.remove(&key);
        let ended = match verdict {
            Verdict::Stored => {
                self.stored(&key, index);
                return;
            }
            Verdict::Throttled(reason) => {
                self.throttled.insert(key, reason);
                return;
            }
            Verdict::Failed(reason) => Outcome::Retryable(reason),
            Verdict::Refused(reason) => Outcome::Rejected(reason),
            Verdict::Away(reason) => Outcome::Unavailable(reason),
        };
        self.outcomes[index] = ended;
        self.waiting.remove(&key);
    }

    fn stored(&mut self, key: &str, index: usize) {
        self.outcomes[index] = Outcome::Written(None);
        if let Some(queue) = self.waiting.get_mut(key) {
            queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(key);
            }
        }
    }

    /// Returns whether the service was too busy for a record.
    pub fn is_throttled(&self) -> bool {
        !self.throttled.is_empty()
    }

    /// Gives up the throttled records: their shard counts as away for now.
    pub fn give_up_throttled(&mut self) {
        for (key, reason) in std::mem::take(&mut self.throttled) {
            let head = self.waiting.remove(&key).and_then(|mut queue| queue.pop_front());
            if let Some(index) = head {
                self.outcomes[index] = Outcome::Unavailable(reason);
            }
        }
    }

    /// An outcome per event, in the order of the batch.
    pub fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::event::Event;

    const LIMITS: KinesisSettings = KinesisSettings {
        stream_name: None,
        batch_records_max: 500,
        batch_bytes_max: 1 << 20,
        record_bytes_max: 1 << 19,
    };

    fn envelope(stream: &str, revision: u64, bytes: usize) -> Envelope {
        let data = vec![0xff; bytes].into();
        Envelope::of(Event { data, is_json: false, ..Event::example(stream, revision, "") })
    }

    fn plan(batch: &[Envelope], limits: KinesisSettings) -> Plan {
        Plan::new(batch, limits, UNIX_EPOCH)
    }

    #[test]
    fn a_request_has_one_record_of_a_key_and_only_what_was_refused_is_sent_again() {
        let batch =
            [envelope("a", 0, 1), envelope("b", 0, 1), envelope("a", 1, 1), envelope("c", 0, 1)];
        let mut plan = plan(&batch, LIMITS);

        assert_eq!(plan.next_request(), [0, 1, 3]);
        plan.settle(0, Verdict::Stored);
        plan.settle(1, Verdict::Throttled("busy".into()));
        plan.settle(3, Verdict::Failed("internal failure".into()));
        assert!(plan.is_throttled());

        assert_eq!(plan.next_request(), [2, 1]);
        plan.settle(2, Verdict::Stored);
        plan.settle(1, Verdict::Stored);

        assert_eq!(plan.next_request(), Vec::<usize>::new());
        assert!(!plan.is_throttled());
        let written = Outcome::Written(None);
        let failed = Outcome::Retryable("internal failure".into());
        assert_eq!(plan.into_outcomes(), [written.clone(), written.clone(), written, failed]);
    }

    #[test]
    fn a_failure_leaves_the_rest_of_its_key_untried() {
        let batch = [envelope("a", 0, 1), envelope("a", 1, 1), envelope("b", 0, 1)];
        let mut plan = plan(&batch, LIMITS);
        plan.settle(0, Verdict::Refused("bad".into()));
        assert_eq!(plan.next_request(), [2]);
        plan.settle(2, Verdict::Throttled("busy".into()));
        plan.give_up_throttled();
        let expected = [
            Outcome::Rejected("bad".into()),
            Outcome::Untried,
            Outcome::Unavailable("busy".into()),
        ];
        assert_eq!(plan.into_outcomes(), expected);
    }

    #[test]
    fn what_is_too_large_is_refused_with_the_limit_and_its_stream_waits() {
        let batch = [envelope("a", 4, 2000), envelope("a", 5, 1), envelope("b", 0, 1)];
        let plan = plan(&batch, KinesisSettings { record_bytes_max: 1024, ..LIMITS });
        assert_eq!(plan.next_request(), [2]);
        let outcomes = plan.into_outcomes();
        let Outcome::Rejected(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(
            reason.starts_with("the record of event #4 of `a` has 2")
                && reason.ends_with("more than `Kinesis:RecordBytesMax`, which is 1024"),
            "{reason}"
        );
        assert_eq!(outcomes[1], Outcome::Untried);
    }

    #[test]
    fn requests_keep_both_bounds() {
        let batch: Vec<Envelope> = (0..10).map(|n| envelope(&format!("s{n}"), 0, 300)).collect();
        let few = plan(&batch, KinesisSettings { batch_records_max: 3, ..LIMITS });
        assert_eq!(few.next_request().len(), 3);
        let small = plan(&batch, KinesisSettings { batch_bytes_max: 2000, ..LIMITS });
        let request = small.next_request();
        let bytes: u64 = request.iter().map(|index| small.record(*index).size()).sum();
        assert!(!request.is_empty() && request.len() < 10 && bytes <= 2000, "{bytes}");
    }

    proptest! {
        /// For any answers: each record is stored at most once, in order by key, none after a
        /// failure of its key; and the plan ends.
        #[test]
        fn the_order_of_a_key_holds_whatever_the_service_answers(
            keys in proptest::collection::vec(0..4_usize, 1..30), answers in proptest::collection::vec(0..6_u8, 200),
        ) {
            let batch: Vec<Envelope> =
                keys.iter().enumerate().map(|(n, key)| envelope(&format!("k{key}"), n as u64, 1)).collect();
            let mut plan = plan(&batch, KinesisSettings { batch_records_max: 3, ..LIMITS });
            let mut stored: Vec<usize> = Vec::new();
            let mut answers = answers.into_iter().chain(std::iter::repeat(0));
            let mut rounds = 0;
            loop {
                let request = plan.next_request();
                if request.is_empty() { break }
                let mut seen: Vec<&str> = request.iter().map(|index| plan.record(*index).key.as_str()).collect();
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), request.len());
                for index in request {
                    let verdict = match answers.next().unwrap() {
                        0..=2 => Verdict::Stored,
                        3 => Verdict::Throttled("busy".into()),
                        4 => Verdict::Failed("x".into()),
                        _ => Verdict::Away("x".into()),
                    };
                    if verdict == Verdict::Stored { stored.push(index) }
                    plan.settle(index, verdict);
                }
                rounds += 1;
                prop_assert!(rounds < 500);
            }
            let outcomes = plan.into_outcomes();
            for key in 0..4 {
                let of_key: Vec<usize> = (0..keys.len()).filter(|n| keys[*n] == key).collect();
                let stored: Vec<usize> = stored.iter().copied().filter(|n| keys[*n] == key).collect();
                prop_assert_eq!(&of_key[..stored.len()], &stored[..]);
                for (position, index) in of_key.iter().enumerate() {
                    prop_assert_eq!(outcomes[*index] == Outcome::Written(None), position < stored.len());
                }
            }
        }
    }
}

//! Reminders that events have set and that have no row: nobody finds them while their entity does
//! not run. A journal that was copied without its reminders has such ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::Timestamp;

use super::Report;
use crate::entity::engine::ReminderRows;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicationId};
use crate::store::{ReminderRow, Snapshot};

/// The reminders of the streams of a store, to be compared with the rows that are there.
///
/// A walk gives it the events of each stream in their order, then the rows. A stream whose first
/// events are deleted begins with its newest snapshot. Streams without reminders take no memory.
///
/// ```
/// use antiphon_base::time::Timestamp;
/// use antiphon_persistence::verify::{ReminderCheck, Report};
///
/// let (check, mut report) = (ReminderCheck::default(), Report::default());
/// check.report(Timestamp::from_micros(0), &mut report);
/// assert!(report.is_sound());
/// ```
#[derive(Debug, Default)]
pub struct ReminderCheck {
    streams: BTreeMap<PersistenceId, Stream>,
}

#[derive(Debug)]
struct Stream {
    rows: ReminderRows,
    /// The number of the snapshot with which it begins.
    begins_after: SequenceNr,
    /// The names and numbers of the rows that are there, with their times.
    there: BTreeMap<(Arc<str>, SequenceNr), Vec<Timestamp>>,
}

impl ReminderCheck {
    /// Begins a stream with a snapshot. Events up to its number are passed over.
    pub fn snapshot(&mut self, id: &PersistenceId, snapshot: &Snapshot) {
        if snapshot.reminders.is_empty() {
            return;
        }
        if let Some(stream) = self.stream(id) {
            stream.rows.adopt(snapshot);
            stream.begins_after = snapshot.sequence_nr;
        }
    }

    /// Takes the next event of a stream.
    pub fn event(&mut self, id: &PersistenceId, event: &StoredEvent) {
        let is_about = event.meta.labels.metadata().reminders().is_some();
        if !is_about && !self.streams.contains_key(id) {
            return;
        }
        if let Some(stream) = self.stream(id)
            && event.sequence_nr > stream.begins_after
        {
            stream.rows.take(event);
        }
    }

    /// Takes a row that is there.
    pub fn row(&mut self, row: &ReminderRow) {
        if let Some(stream) = self.streams.get_mut(&row.persistence_id) {
            let times = stream.there.entry((row.name.clone(), row.set_by)).or_default();
            times.push(row.due);
        }
    }

    /// The streams with a reminder that has no row at this time.
    pub fn lacking(&self, now: Timestamp) -> Vec<PersistenceId> {
        let lacks = |(id, stream): (&PersistenceId, &Stream)| {
            (!stream.lacking(now).is_empty()).then(|| id.clone())
        };
        self.streams.iter().filter_map(lacks).collect()
    }

    /// Reports the reminders that have no row at this time.
    pub fn report(&self, now: Timestamp, report: &mut Report) {
        for (id, stream) in &self.streams {
            for row in stream.lacking(now) {
                report.damaged(
                    "reminders",
                    format!("`{}` of `{id}`", row.name.escape_debug()),
                    format!(
                        "event {} sets it for {}, and it has no row: send the entity a command, so that it starts and puts the row again",
                        row.set_by, row.due
                    ),
                );
            }
        }
    }

    fn stream(&mut self, id: &PersistenceId) -> Option<&mut Stream> {
        if !self.streams.contains_key(id) {
            // a stream that is no entity's has no reminders
            let rows = ReminderRows::new(ReplicationId::parse(id.as_str()).ok()?);
            let (begins_after, there) = (SequenceNr::ZERO, BTreeMap::new());
            self.streams.insert(id.clone(), Stream { rows, begins_after, there });
        }
        self.streams.get_mut(id)
    }
}

impl Stream {
    fn lacking(&self, now: Timestamp) -> Vec<ReminderRow> {
        let is_there = |row: &ReminderRow, is_periodic: bool| {
            let times = self.there.get(&(row.name.clone(), row.set_by));
            times.is_some_and(|times| is_periodic || times.contains(&row.due))
        };
        let needed = self.rows.needed(now).into_iter();
        needed
            .filter(|(row, is_periodic)| !is_there(row, *is_periodic))
            .map(|(row, _)| row)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::{EventMeta, Labels, Metadata, Payload, Tags};
    use crate::identity::ReplicaId;
    use crate::version::VersionVector;

    fn id() -> PersistenceId {
        PersistenceId::parse("cart|c-1|A").unwrap()
    }

    fn event(number: u64, notes: &str) -> StoredEvent {
        let origin = ReplicaId::new("A").unwrap();
        let metadata = Metadata::new().with_reminders(notes.into());
        StoredEvent {
            sequence_nr: SequenceNr::new(number),
            payload: Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() },
            meta: EventMeta {
                version: [(origin.clone(), number)].into_iter().collect::<VersionVector>(),
                origin,
                source_seq: SequenceNr::new(number),
                concurrent: false,
                timestamp: Timestamp::from_micros(number),
                labels: Labels::read(metadata, Tags::default()).unwrap(),
            },
        }
    }

    fn row(name: &str, due: u64, set_by: u64) -> ReminderRow {
        ReminderRow {
            due: Timestamp::from_micros(due),
            persistence_id: id(),
            name: name.into(),
            set_by: SequenceNr::new(set_by),
        }
    }

    fn damages(check: &ReminderCheck, now: u64) -> Vec<String> {
        let mut report = Report::default();
        check.report(Timestamp::from_micros(now), &mut report);
        report.damages.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reminders_without_their_rows_are_reported_and_those_that_may_have_fired_are_not() {
        let mut check = ReminderCheck::default();
        check.event(&id(), &event(1, r#"[{"set":{"name":"once","due":50}}]"#));
        check.event(&id(), &event(2, r#"[{"set":{"name":"often","due":50,"every":10}}]"#));
        check.event(&id(), &event(3, r#"[{"set":{"name":"not here","due":50,"replica":"B"}}]"#));
        check.event(&id(), &event(4, r#"[{"set":{"name":"replaced","due":50}}]"#));
        check.event(&id(), &event(5, r#"[{"set":{"name":"replaced","due":60}}]"#));
        check.event(&id(), &event(6, r#"[{"cancel":{"name":"replaced"}}]"#));
        let found = damages(&check, 40);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`often` of `cart|c-1|A`") || found[1].contains("`often`"));
        assert_eq!(check.lacking(Timestamp::from_micros(40)), [id()]);
        assert_eq!(damages(&check, 51).len(), 1, "one that fires once may have fired");

        check.row(&row("often", 70, 2));
        check.row(&row("once", 51, 1));
        let found = damages(&check, 40);
        assert_eq!(found.len(), 1, "a row of another time is not its row: {found:?}");
        check.row(&row("once", 50, 1));
        assert_eq!(damages(&check, 40), [""; 0]);
    }

    #[test]
    fn a_stream_whose_first_events_are_deleted_begins_with_its_snapshot() {
        let mut before = ReminderRows::new(ReplicationId::parse("cart|c-1|A").unwrap());
        before.take(&event(1, r#"[{"set":{"name":"once","due":50}}]"#));
        let snapshot = Snapshot {
            sequence_nr: SequenceNr::new(2),
            version: VersionVector::new(),
            positions: BTreeMap::new(),
            timestamp: Timestamp::from_micros(2),
            state: Payload { codec: 1, manifest: "".into(), version: 1, bytes: Bytes::new() },
            reminders: before.for_snapshot(),
            metadata: Metadata::new(),
            requests: Vec::new(),
        };
        let mut check = ReminderCheck::default();
        check.snapshot(&id(), &snapshot);
        check.event(&id(), &event(2, r#"[{"cancel":{"name":"once"}}]"#));
        assert_eq!(damages(&check, 40).len(), 1, "the snapshot has event 2");
        check.event(&id(), &event(3, r#"[{"cancel":{"name":"once"}}]"#));
        assert_eq!(damages(&check, 40), [""; 0]);
    }
}

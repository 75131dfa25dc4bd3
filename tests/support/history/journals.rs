//! Checks the journals against the answers: no event lost, none twice, in the order that clients
//! saw, causes first, and equal at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Answer, Event, History, Journals, Operation, Stream, Violation};

/// Checks the journals of all replicas after they had time to become equal. Returns every violation
/// found.
pub fn check_journals(history: &History, journals: &Journals) -> Vec<Violation> {
    let mut found = Vec::new();
    for ((entity, replica), stream) in journals {
        let at = format!("{entity} at {replica}");
        found.extend(once(&at, stream));
        found.extend(causes(&at, entity, replica, stream, journals, history));
    }
    found.extend(convergence(journals));
    found.extend(answers(history, journals));
    found.extend(counts(history, journals));
    for ((entity, replica), operations) in history.by_replica() {
        let stream = journals.get(&(entity.to_owned(), replica.to_owned()));
        if !history.went_back(replica) {
            let at = format!("{entity} at {replica}");
            found.extend(order(&at, &operations, stream.map_or(&[], Vec::as_slice)));
        }
    }
    found
}

/// No id and no number is there twice, and the numbers of each origin have no gap.
fn once(at: &str, stream: &Stream) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    for event in stream {
        if let Some(id) = event.id.filter(|id| !ids.insert(*id)) {
            found.push(Violation::new("exactly_once", format!("{at}: {id} is there twice")));
        }
        let last = numbers.entry(event.origin.as_str()).or_default();
        if event.origin_nr != *last + 1 {
            let (origin, number) = (&event.origin, event.origin_nr);
            let what = format!("{at}: number {number} of {origin} after number {last}");
            found.push(Violation::new("exactly_once", what));
        }
        *last = event.origin_nr;
    }
    found
}

/// Each event of another origin stands behind all events that stand before it at its origin.
fn causes(
    at: &str,
    entity: &str,
    replica: &str,
    stream: &Stream,
    journals: &Journals,
    history: &History,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let place: BTreeMap<(&str, u64), usize> =
        stream.iter().enumerate().map(|(index, event)| (dot(event), index)).collect();
    for ((other, origin), written) in journals {
        if other != entity || origin == replica || history.went_back(origin) {
            continue;
        }
        let mut latest: Option<(usize, &Event)> = None;
        let mut absent: Option<&Event> = None;
        for event in written {
            let here = place.get(&dot(event)).copied();
            if event.origin == *origin
                && let Some(here) = here
            {
                let late = latest.filter(|(index, _)| *index > here).map(|(_, event)| event);
                if let Some(cause) = absent.or(late) {
                    let what = format!("{at}: {event:?} stands before its cause {cause:?}");
                    found.push(Violation::new("causal_order", what));
                }
            }
            match here {
                Some(here) if latest.is_none_or(|(index, _)| index < here) => {
                    latest = Some((here, event));
                }
                Some(_) => {}
                None => absent = absent.or(Some(event)),
            }
        }
    }
    found
}

fn dot(event: &Event) -> (&str, u64) {
    (event.origin.as_str(), event.origin_nr)
}

fn convergence(journals: &Journals) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut first: BTreeMap<&str, (&str, BTreeSet<&Event>)> = BTreeMap::new();
    for ((entity, replica), stream) in journals {
        let events: BTreeSet<&Event> = stream.iter().collect();
        let (other, expected) = first.entry(entity).or_insert((replica, events.clone()));
        if let Some(event) = expected.symmetric_difference(&events).next() {
            let what = format!("{entity}: {event:?} is not at both of {other} and {replica}");
            found.push(Violation::new("convergence", what));
        }
    }
    found
}

/// Every acknowledged add is there, no refused add is there, and no other event is there.
fn answers(history: &History, journals: &Journals) -> Vec<Violation> {
    let mut found = Vec::new();
    let lost = history.may_be_lost();
    let adds: BTreeMap<u32, (&Operation, &Answer<u64>)> = history
        .operations
        .iter()
        .filter_map(|operation| operation.add().map(|(id, answer)| (id, (operation, answer))))
        .collect();
    let mut present: BTreeMap<(&str, &str), BTreeSet<u32>> = BTreeMap::new();
    for ((entity, replica), stream) in journals {
        let at = format!("{entity} at {replica}");
        for event in stream {
            let Some(id) = event.id else { continue };
            present.entry((entity, replica)).or_default().insert(id);
            match adds.get(&id) {
                Some((add, _)) if add.entity != *entity || add.replica != event.origin => {
                    let what = format!("{at}: {event:?}, but {add} went to {}", add.replica);
                    found.push(Violation::new("no_invention", what));
                }
                Some((add, Answer::WithoutEffect(_))) => {
                    found
                        .push(Violation::new("true_answer", format!("{at}: {event:?}, but {add}")));
                }
                Some((_, Answer::Ok(_) | Answer::Unknown(_))) => {}
                None => {
                    let what = format!("{at}: {event:?}, which nobody sent");
                    found.push(Violation::new("no_invention", what));
                }
            }
        }
    }
    for (id, (add, answer)) in &adds {
        if answer.ok().is_none() || lost.contains(id) {
            continue;
        }
        for (entity, replica) in journals.keys().filter(|(entity, _)| *entity == add.entity) {
            let is_set =
                journals[&(entity.clone(), replica.clone())].iter().all(|event| event.id.is_some());
            let key = (entity.as_str(), replica.as_str());
            if is_set && !present.get(&key).is_some_and(|ids| ids.contains(id)) {
                let what = format!("{entity}: {add} at {} is not at {replica}", add.replica);
                found.push(Violation::new("no_lost_ack", what));
            }
        }
    }
    found
}

/// A counter has all acknowledged events, and no more events than the adds that may have taken
/// effect.
fn counts(history: &History, journals: &Journals) -> Vec<Violation> {
    let mut found = Vec::new();
    for ((entity, replica), stream) in journals {
        if stream.is_empty() || stream.iter().any(|event| event.id.is_some()) {
            continue;
        }
        let adds = history.operations.iter().filter(|operation| operation.entity == *entity);
        let (mut least, mut most) = (0, 0);
        for (_, answer) in adds.filter_map(Operation::add) {
            match answer {
                Answer::Ok(_) => (least, most) = (least + 1, most + 1),
                Answer::Unknown(_) => most += 1,
                Answer::WithoutEffect(_) => {}
            }
        }
        let (at, count) = (format!("{entity} at {replica}"), stream.len());
        if count < least && history.rewinds.is_empty() {
            let what = format!("{at}: {count} events, but {least} adds were acknowledged");
            found.push(Violation::new("no_lost_ack", what));
        }
        if count > most {
            let what = format!("{at}: {count} events, but only {most} adds may have taken effect");
            found.push(Violation::new("true_answer", what));
        }
    }
    found
}

/// Each add stands at the position of its answer, and each read saw exactly the events up to its
/// own position.
fn order(at: &str, operations: &[&Operation], stream: &[Event]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut reads: Vec<&&Operation> = Vec::new();
    for operation in operations {
        let Some(position) = operation.position() else { continue };
        let index = usize::try_from(position).unwrap_or(usize::MAX);
        if index > stream.len() {
            let length = stream.len();
            let what = format!("{at}: {operation} saw {position} events of {length}");
            // a counter that is higher than its journal has counted an event twice, or lost an
            // event
            found.push(Violation::new("journal_order", what));
        } else if let Some((id, _)) = operation.add() {
            let event = index.checked_sub(1).and_then(|index| stream.get(index));
            if event.is_none_or(|event| event.id.is_some_and(|other| other != id)) {
                let what = format!("{at}: {operation}, but there stands {event:?}");
                found.push(Violation::new("journal_order", what));
            }
        } else if operation.ids().is_some() {
            reads.push(operation);
        }
    }
    reads.sort_by_key(|read| read.position());
    let mut events = stream.iter();
    let mut expected: BTreeSet<u32> = BTreeSet::new();
    for read in reads {
        let ids = read.ids().unwrap_or_default();
        while expected.len() < ids.len() {
            match events.next() {
                Some(event) => expected.extend(event.id),
                None => break,
            }
        }
        if !ids.iter().eq(expected.iter()) {
            let what = format!("{at}: {read} is not the beginning of the journal");
            found.push(Violation::new("journal_order", what));
        }
    }
    found
}

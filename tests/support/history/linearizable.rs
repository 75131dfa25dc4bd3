//! Operations of one entity at one replica take effect one after the other, each between its
//! sending and its answer.
//!
//! Positions make this check cheap: an operation that was sent after another operation had been
//! answered has a higher position (an add) or at least the same position (a read). Two adds never
//! have the same position. The ids of a read tell which adds are at or below its position.

use std::collections::{BTreeMap, HashSet};

use super::model::{Answer, History, Operation, Violation, missing};

pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for ((entity, replica), operations) in history.by_replica() {
        let at = format!("{entity} at {replica}");
        let mut epochs: BTreeMap<usize, Vec<&Operation>> = BTreeMap::new();
        for operation in &operations {
            if let Some(epoch) = history.epoch(operation) {
                epochs.entry(epoch).or_default().push(operation);
            }
        }
        for group in epochs.values() {
            found.extend(real_time(&at, group));
            found.extend(positions(&at, group));
            found.extend(chain(&at, group));
        }
        if epochs.len() > 1 {
            found.extend(across(&at, history, &operations));
        }
    }
    found
}

/// An operation that was sent after an answer has seen at least the events that the answer shows.
fn real_time(at: &str, operations: &[&Operation]) -> Vec<Violation> {
    let mut found = Vec::new();
    let answered = || operations.iter().filter(|operation| operation.position().is_some());
    let mut by_end: Vec<&&Operation> = answered().collect();
    by_end.sort_by_key(|operation| operation.ended);
    let mut ended = by_end.into_iter().peekable();
    let mut highest: Option<&Operation> = None;
    for operation in answered() {
        while let Some(before) = ended.next_if(|before| before.ended < operation.invoked) {
            if highest.is_none_or(|highest| highest.position() < before.position()) {
                highest = Some(before);
            }
        }
        let Some(before) = highest else { continue };
        let is_behind = if operation.add().is_some() {
            operation.position() <= before.position()
        } else {
            operation.position() < before.position()
        };
        if is_behind {
            let what = format!("{at}: {operation} (position {:?})", operation.position());
            let what = format!("{what} came after {before} (position {:?})", before.position());
            found.push(Violation::new("linearizable", what));
        }
    }
    found
}

/// Each add has a position of its own.
fn positions(at: &str, operations: &[&Operation]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut taken: BTreeMap<u64, &Operation> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.add().is_some()) {
        let Some(position) = operation.position() else { continue };
        if let Some(other) = taken.insert(position, operation) {
            let what = format!("{at}: {operation} and {other} have the same position");
            found.push(Violation::new("linearizable", what));
        }
    }
    found
}

/// Each read of a set is contained in the next larger read, and has exactly the adds up to its
/// position.
fn chain(at: &str, operations: &[&Operation]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut reads: Vec<&&Operation> =
        operations.iter().filter(|operation| operation.ids().is_some()).collect();
    reads.sort_by_key(|read| read.position());
    for pair in reads.windows(2) {
        let (smaller, larger) = (pair[0].ids().unwrap_or_default(), pair[1].ids());
        if let Some(id) = missing(smaller, larger.unwrap_or_default()) {
            let what = format!("{at}: {} has {id}, {} has not", pair[0], pair[1]);
            found.push(Violation::new("linearizable", what));
        }
    }
    for operation in operations {
        let (Some((id, Answer::Ok(position))), invoked) = (operation.add(), operation.invoked)
        else {
            continue;
        };
        let after = reads.partition_point(|read| read.position() < Some(*position));
        let has = |read: &Operation| read.ids().unwrap_or_default().binary_search(&id).is_ok();
        if let Some(read) = reads.get(after).filter(|read| !has(read)) {
            let rule = if read.invoked > operation.ended { "no_lost_ack" } else { "linearizable" };
            found.push(Violation::new(rule, format!("{at}: {operation} is not in {read}")));
        }
        let before = after.checked_sub(1).and_then(|before| reads.get(before));
        if let Some(read) = before.filter(|read| has(read)) {
            let what = format!("{at}: {read} has {id}, which reached {position} ({invoked} us)");
            found.push(Violation::new("linearizable", what));
        }
    }
    found
}

/// After a journal went back, reads still have every add that was acknowledged or read before,
/// except the adds that no place had any more.
fn across(at: &str, history: &History, operations: &[&Operation]) -> Vec<Violation> {
    let mut found = Vec::new();
    let lost = history.may_be_lost();
    // by id, the first answer that showed the add
    let mut known: BTreeMap<u32, (&Operation, usize)> = BTreeMap::new();
    let mut by_end = operations.to_vec();
    by_end.sort_by_key(|operation| operation.ended);
    for operation in by_end {
        let Some(epoch) = history.epoch(operation) else { continue };
        let added = operation.add().filter(|(_, answer)| answer.ok().is_some()).map(|(id, _)| id);
        for id in added.iter().chain(operation.ids().unwrap_or_default()) {
            known.entry(*id).or_insert((operation, epoch));
        }
    }
    for read in operations {
        let (Some(ids), Some(epoch)) = (read.ids(), history.epoch(read)) else { continue };
        let absent = known.iter().find(|(id, (before, earlier))| {
            *earlier < epoch
                && before.ended < read.invoked
                && ids.binary_search(id).is_err()
                && !lost.contains(id)
        });
        if let Some((id, (before, _))) = absent {
            let what = format!("{at}: {read} has no {id}, known by {before}");
            found.push(Violation::new(
                "no_lost_ack",
                format!("{what}; the journal went back since"),
            ));
        }
    }
    found
}

/// Every add that a read saw was sent before, and was not answered as without effect.
pub(crate) fn check_truth(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut adds: BTreeMap<u32, &Operation> = BTreeMap::new();
    for operation in &history.operations {
        if let Some((id, _)) = operation.add() {
            adds.insert(id, operation);
        }
    }
    let mut reads: Vec<&Operation> =
        history.operations.iter().filter(|operation| operation.ids().is_some()).collect();
    reads.sort_by_key(|read| read.ended);
    let mut checked: BTreeMap<&str, HashSet<u32>> = BTreeMap::new();
    for read in reads {
        let checked = checked.entry(&read.entity).or_default();
        for id in read.ids().unwrap_or_default() {
            if !checked.insert(*id) {
                continue;
            }
            let at = format!("{} at {}: {read} has {id}", read.entity, read.replica);
            match adds.get(id) {
                None => {
                    let what = format!("{at}, which nobody sent");
                    found.push(Violation::new("no_invention", what));
                }
                Some(add) if add.entity != read.entity || add.invoked > read.ended => {
                    let what = format!("{at}, but {add} was sent to {} or later", add.entity);
                    found.push(Violation::new("no_invention", what));
                }
                Some(add) if matches!(add.add(), Some((_, Answer::WithoutEffect(_)))) => {
                    found.push(Violation::new("true_answer", format!("{at}, but {add}")));
                }
                Some(_) => {}
            }
        }
    }
    found
}

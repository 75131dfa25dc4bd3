//! A read that has an event also has every event that the event's writer could have seen: all
//! events that its replica had shown before the add was sent.

use std::collections::BTreeMap;

use super::model::{History, Operation, Violation};

/// The events that one replica showed of one entity, and the events among them that each add could
/// have seen.
struct Shown<'a> {
    /// For each add that may be in the journal: the highest position that was shown before the add
    /// was sent.
    causes: BTreeMap<u32, u64>,
    /// Reads by position.
    reads: BTreeMap<u64, &'a Operation>,
    /// Acknowledged adds by position.
    adds: BTreeMap<u64, u32>,
}

fn shown<'a>(operations: &[&'a Operation]) -> Shown<'a> {
    let mut by_end: Vec<&Operation> =
        operations.iter().copied().filter(|operation| operation.position().is_some()).collect();
    by_end.sort_by_key(|operation| operation.ended);
    let mut ended = by_end.into_iter().peekable();
    let mut highest = 0;
    let mut shown =
        Shown { causes: BTreeMap::new(), reads: BTreeMap::new(), adds: BTreeMap::new() };
    for operation in operations {
        while let Some(before) = ended.next_if(|before| before.ended < operation.invoked) {
            highest = highest.max(before.position().unwrap_or(0));
        }
        if let Some((id, _)) = operation.add() {
            shown.causes.insert(id, highest);
            if let Some(position) = operation.position() {
                shown.adds.insert(position, id);
            }
        } else if operation.ids().is_some() {
            shown.reads.insert(operation.position().unwrap_or(0), operation);
        }
    }
    shown
}

pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let lost = history.may_be_lost();
    let groups = history.by_replica();
    for ((entity, origin), operations) in &groups {
        let mut epochs: BTreeMap<usize, Vec<&Operation>> = BTreeMap::new();
        for operation in operations {
            if let Some(epoch) = history.epoch(operation) {
                epochs.entry(epoch).or_default().push(operation);
            }
        }
        for group in epochs.values() {
            let shown = shown(group);
            for ((other, replica), reads) in &groups {
                if other != entity || replica == origin {
                    continue;
                }
                for read in reads {
                    let Some(ids) = read.ids() else { continue };
                    let Some((id, position)) = last_cause(&shown, ids) else { continue };
                    let absent = required(&shown, position)
                        .find(|id| ids.binary_search(id).is_err() && !lost.contains(id));
                    if let Some(absent) = absent {
                        let what = format!("{entity} at {replica}: {read} has {id} of {origin}");
                        let what =
                            format!("{what}, but not {absent}, which {origin} had shown before");
                        found.push(Violation::new("causal_order", what));
                    }
                }
            }
        }
    }
    found
}

/// The add, among those of the origin in `ids`, that could have seen most, and the position that it
/// could have seen.
fn last_cause(shown: &Shown<'_>, ids: &[u32]) -> Option<(u32, u64)> {
    let causes = ids.iter().filter_map(|id| Some((*id, *shown.causes.get(id)?)));
    causes.max_by_key(|(_, position)| *position)
}

/// The ids that the origin is known to have had at a position.
fn required<'a>(shown: &'a Shown<'_>, position: u64) -> impl Iterator<Item = u32> + 'a {
    let read = shown.reads.range(..=position).next_back();
    let ids = read.and_then(|(_, read)| read.ids()).unwrap_or_default();
    ids.iter().copied().chain(shown.adds.range(..=position).map(|(_, id)| *id))
}

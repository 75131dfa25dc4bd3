//! Faults that are planted into a recorded history without faults: the checker must find each.

use antiphon_tests::history::{
    Answer, History, Journals, Kind, Operation, Seen, check_answers, check_journals,
};

use crate::nodes::PLACES;

/// A recorded history with one planted fault: its name, the rules that may find it, the history and
/// the journals.
type Planted = (&'static str, &'static [&'static str], History, Journals);

/// Plants one fault after the other, each into a copy.
///
/// # Errors
/// The first fault that the checker does not find, and a history that is too small for a fault.
pub(crate) fn each_is_found(history: &History, journals: &Journals) -> Result<(), String> {
    let planted = [
        loss(history, journals),
        double_apply(history, journals),
        double_count(history, journals),
        stale_read(history, journals),
        false_answer(history, journals),
        effect_before_cause(history, journals),
    ];
    for planted in planted {
        let Some((what, rules, history, journals)) = planted else {
            println!("a history in which not every fault can be planted");
            continue;
        };
        let mut found = check_answers(&history);
        found.extend(check_journals(&history, &journals));
        if !found.iter().any(|violation| rules.contains(&violation.rule)) {
            return Err(format!("the checker did not find a planted {what}: {found:?}"));
        }
    }
    Ok(())
}

fn acknowledged(history: &History) -> impl Iterator<Item = (usize, &Operation, u32)> {
    let lost = history.rewinds.iter().flat_map(|rewind| &rewind.lost).copied();
    let lost: std::collections::BTreeSet<u32> = lost.collect();
    history.operations.iter().enumerate().filter_map(move |(index, operation)| {
        let (id, answer) = operation.add()?;
        answer.ok()?;
        (operation.entity.starts_with("s-") && !lost.contains(&id))
            .then_some((index, operation, id))
    })
}

/// An acknowledged event is in no journal, and in no read.
fn loss(history: &History, journals: &Journals) -> Option<Planted> {
    let (_, _, id) = acknowledged(history).last()?;
    let (mut history, mut journals) = (history.clone(), journals.clone());
    for stream in journals.values_mut() {
        stream.retain(|event| event.id != Some(id));
    }
    for operation in &mut history.operations {
        if let Kind::Read(Answer::Ok(Seen::Ids(ids))) = &mut operation.kind {
            ids.retain(|other| *other != id);
        }
    }
    Some(("loss", &["no_lost_ack"], history, journals))
}

/// An event is in all journals twice, under two numbers.
fn double_apply(history: &History, journals: &Journals) -> Option<Planted> {
    let (_, operation, id) = acknowledged(history).next()?;
    let mut journals = journals.clone();
    for ((_, _), stream) in
        journals.iter_mut().filter(|((entity, _), _)| *entity == operation.entity)
    {
        let mut again = stream.iter().find(|event| event.id == Some(id))?.clone();
        let last = stream.iter().rfind(|event| event.origin == again.origin)?;
        again.origin_nr = last.origin_nr + 1;
        stream.push(again);
    }
    Some(("double apply", &["exactly_once"], history.clone(), journals))
}

/// A counter counts an event twice in memory; its journal is right.
fn double_count(history: &History, journals: &Journals) -> Option<Planted> {
    let mut planted = history.clone();
    let read = planted.operations.iter_mut().rev().find(|operation| {
        operation.entity.starts_with("c-")
            && matches!(operation.kind, Kind::Read(Answer::Ok(Seen::Count(count))) if count > 0)
            && history.rewinds.iter().all(|rewind| rewind.replica != operation.replica)
    })?;
    let length = journals.get(&(read.entity.clone(), read.replica.clone()))?.len() as u64;
    read.kind = Kind::Read(Answer::Ok(Seen::Count(length + 1)));
    Some(("double count", &["journal_order"], planted, journals.clone()))
}

/// A read answers the same as an earlier read, although more adds were acknowledged since.
fn stale_read(history: &History, journals: &Journals) -> Option<Planted> {
    let mut planted = history.clone();
    let (index, older) =
        history.operations.iter().enumerate().rev().find_map(|(index, read)| {
            let own = |other: &&Operation| {
                other.entity == read.entity
                    && other.replica == read.replica
                    && other.ids().is_some()
            };
            read.ids()?;
            let older = history.operations.iter().filter(own).find(|other| {
                let added = history.operations.iter().any(|add| {
                    add.add().is_some_and(|(_, answer)| answer.ok().is_some())
                        && (&add.entity, &add.replica) == (&read.entity, &read.replica)
                        && add.invoked > other.ended
                        && add.ended < read.invoked
                });
                added && history.rewinds.is_empty()
            })?;
            Some((index, older.kind.clone()))
        })?;
    planted.operations[index].kind = older;
    Some(("stale read", &["linearizable"], planted, journals.clone()))
}

/// An add that took effect was answered as without effect.
fn false_answer(history: &History, journals: &Journals) -> Option<Planted> {
    let (index, _, id) = acknowledged(history).next()?;
    let mut planted = history.clone();
    let answer = Answer::WithoutEffect("planted".into());
    planted.operations[index].kind = Kind::Add { id, answer };
    Some(("false `without_effect`", &["true_answer"], planted, journals.clone()))
}

/// At one replica an event stands before an event that its writer had seen.
fn effect_before_cause(history: &History, journals: &Journals) -> Option<Planted> {
    if !history.rewinds.is_empty() {
        return None;
    }
    let mut planted = journals.clone();
    let [here, there] = PLACES;
    let stream = planted.iter_mut().find_map(|((entity, replica), stream)| {
        let foreign = stream.iter().filter(|event| event.origin == there).count();
        (replica == here && entity.starts_with("s-") && foreign > 1).then_some(stream)
    })?;
    // the last event of the other place, moved before all others
    let last = stream.iter().rposition(|event| event.origin == there)?;
    let event = stream.remove(last);
    stream.insert(0, event);
    Some(("effect before its cause", &["causal_order"], history.clone(), planted))
}

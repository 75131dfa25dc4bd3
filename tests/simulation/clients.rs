//! Clients: they ask ledgers at all places through all nodes, and remember the answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::transport::memory::SplitMix64;
use antiphon_sharding::AskError;

use crate::cluster::Cluster;
use crate::ledger::{Command, metadata};
use crate::orders::Order;
use crate::trace::Trace;

/// The answers that the clients got.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Lines that were acknowledged: entity, replica, line.
    pub(crate) acknowledged: Vec<(String, ReplicaId, u64)>,
    /// Number of commands that were acknowledged, also of those whose lines a journal that went
    /// back has lost.
    pub(crate) acknowledgements: u64,
    /// By entity and replica, the most own lines that a read has seen so far.
    pub(crate) read: BTreeMap<(String, ReplicaId), u64>,
    /// Reads that saw fewer lines than an earlier read, or than were acknowledged before the read.
    pub(crate) stale: Vec<String>,
    /// By entity and replica, the number of own lines that were acknowledged.
    pub(crate) own: BTreeMap<(String, ReplicaId), u64>,
    /// Number of times that a journal went back: the results of earlier reads do not bind reads
    /// that end later.
    pub(crate) rewinds: u64,
    pub(crate) failed: usize,
    /// Lines of commands that were answered as without effect, and the answer.
    pub(crate) without_effect: Vec<(u64, String)>,
    next_line: u64,
}

pub(crate) const ENTITIES: u64 = 6;

/// Begins one request of a client, through a running node; its outcome goes to the history.
pub(crate) fn request(
    cluster: &Cluster,
    random: &mut SplitMix64,
    history: &Rc<RefCell<History>>,
    trace: &Trace,
) {
    let running: Vec<_> = cluster.running().collect();
    let kind = random.next_u64() % 20;
    let (via, at, entity) = (random.next_u64(), random.next_u64(), random.next_u64() % ENTITIES);
    let count = 1 + random.next_u64() % 3;
    if running.is_empty() {
        return;
    }
    let sharding = running[usize::try_from(via).unwrap_or(0) % running.len()].1.sharding.clone();
    let replicas = cluster.replicas();
    let replica = replicas[usize::try_from(at).unwrap_or(0) % replicas.len()].clone();
    let entity = format!("l-{entity}");
    let reference = sharding.entity_ref_for(&entity, &replica).expect("a known replica");
    let (history, trace) = (history.clone(), trace.clone());
    tokio::task::spawn_local(async move {
        let key = (entity.clone(), replica.clone());
        match kind {
            0 => reference.tell(Command::Stop),
            1..=5 => {
                let (before, rewinds) = {
                    let history = history.borrow();
                    let own = history.own.get(&key).copied().unwrap_or(0);
                    let read = history.read.get(&key).copied().unwrap_or(0);
                    (own.max(read), history.rewinds)
                };
                let answer = reference.ask(|reply_to| Command::Read { reply_to }).await;
                trace.say(format!("read {entity} at {replica}: {answer:?}"));
                let Ok(seen) = answer else { return };
                let mut history = history.borrow_mut();
                if history.rewinds != rewinds {
                    return;
                }
                if seen < before {
                    let what = format!("{entity} at {replica}: read {seen}, {before} were there");
                    history.stale.push(what);
                }
                let read = history.read.entry(key).or_default();
                *read = seen.max(*read);
            }
            _ => {
                let lines: Vec<u64> = {
                    let mut history = history.borrow_mut();
                    let first = history.next_line;
                    history.next_line += count;
                    (first..first + count).collect()
                };
                let sent = lines.clone();
                // drawn, so that the other draws of a seed stay as they are
                let of_client = lines.first().copied().filter(|_| (via ^ at) & 0x300 != 0);
                let reference = reference.with_metadata(metadata(of_client, None));
                let bits = via >> 32;
                let order = bits.is_multiple_of(4).then(|| Order::drawn(bits, &replicas));
                let told = order.as_ref().map(|order| format!(" with {order:?}"));
                let answer = reference
                    .ask(|reply_to| match order {
                        Some(order) => Command::Order { lines: sent, order, reply_to },
                        None => Command::Add { lines: sent, reply_to },
                    })
                    .await;
                let told = told.unwrap_or_default();
                trace.say(format!("add {lines:?} to {entity} at {replica}{told}: {answer:?}"));
                added(&mut history.borrow_mut(), key, lines, answer.map(drop));
            }
        }
    });
}

/// Takes the outcome of an add to this entity at this replica.
fn added(
    history: &mut History,
    key: (String, ReplicaId),
    lines: Vec<u64>,
    answer: Result<(), AskError>,
) {
    if let Err(error) = answer {
        history.failed += 1;
        if error.is_without_effect() {
            let refused = lines.into_iter().map(|line| (line, error.to_string()));
            history.without_effect.extend(refused);
        }
        return;
    }
    history.acknowledgements += 1;
    *history.own.entry(key.clone()).or_default() += lines.len() as u64;
    let (entity, replica) = key;
    let acknowledged = lines.into_iter().map(|line| (entity.clone(), replica.clone(), line));
    history.acknowledged.extend(acknowledged);
}

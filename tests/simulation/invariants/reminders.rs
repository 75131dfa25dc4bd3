//! Every reminder that is due fires at each chosen replica, and a handler that stores events stores
//! them once for each time.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_base::time::Clock;
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::ReplicaId;

use super::streams;
use crate::cluster::Cluster;
use crate::ledger::{Added, State};
use crate::orders::{Handler, SetLine};

/// Time after which a reminder must have fired when nothing fails: some looks of the scanner, and
/// the future of its handler.
const LATE_MAX: Duration = Duration::from_secs(4);

/// A due time so long before the time of day comes from a clock of another day. Such a reminder may
/// wait for the news that it has fired elsewhere.
const LONG_AGO: Duration = Duration::from_secs(3600);

fn added(event: &StoredEvent) -> Result<Added, String> {
    CodecId::Bincode.decode(&event.payload.bytes).map_err(|error| error.to_string())
}

/// Checks that no reminder that is due for a while waits. The error names the first.
pub(crate) async fn check_fired(cluster: &Cluster) -> Result<(), String> {
    let Some((_, running)) = cluster.running().next() else { return Err("no node is up".into()) };
    let now = running.clock.wall().as_micros();
    for (entity, replica, events) in streams(cluster).await {
        let mut state = State::default();
        for event in &events {
            let time = event.meta.timestamp.as_micros();
            state.apply(&replica, &event.meta.origin, time, &added(event)?);
        }
        for name in state.reminders.names() {
            let Some(set) = state.reminders.current(name) else { continue };
            if is_late(cluster, (&entity, &replica), (name, set), now) {
                return Err(format!(
                    "reminders: {name:?} of {entity} at {replica} has not fired at {now}: {set:?}"
                ));
            }
        }
    }
    Ok(())
}

fn is_late(
    cluster: &Cluster,
    (entity, replica): (&str, &ReplicaId),
    (name, set): (&str, &SetLine),
    now: u64,
) -> bool {
    let micros = |time: Duration| u64::try_from(time.as_micros()).expect("a short time");
    let due_before = now.saturating_sub(micros(LATE_MAX));
    let due = set.times.due;
    // a rival may have been the current one at its time
    let is_due = due < due_before && due > now.saturating_sub(micros(LONG_AGO));
    if !is_due || !set.is_for(replica) || set.had_rival {
        return false;
    }
    let key = (entity.to_owned(), replica.clone());
    let newest = cluster.user.acts.with(|log| {
        let times = log.fired.get(&key)?.get(&set.line)?;
        times.last_key_value().map(|(due, _)| *due)
    });
    match (set.times.every, Handler::of(name)) {
        (Some(every), _) => newest.is_none_or(|newest| newest + every < due_before),
        (None, Handler::Silent) => newest.is_none(),
        // the event that it stores ends it
        (None, Handler::Storing | Handler::Later) => true,
    }
}

/// Checks that each time of a reminder has one event at most at a replica.
pub(crate) async fn check_once(cluster: &Cluster) -> Result<(), String> {
    for (entity, replica, events) in streams(cluster).await {
        let mut times = BTreeSet::new();
        for event in events.iter().filter(|event| event.meta.origin == replica) {
            let Some(fired) = added(event)?.fired else { continue };
            if !times.insert((fired.line, fired.due)) {
                return Err(format!(
                    "reminders: {entity} at {replica} has two events for {:?} of line {} at {}",
                    fired.name, fired.line, fired.due
                ));
            }
        }
    }
    Ok(())
}

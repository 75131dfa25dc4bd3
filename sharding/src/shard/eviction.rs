//! The choice of the entities that make room for others: those used least recently.

use std::sync::Arc;

use tokio::time::Instant;

/// The load of the node, as far as it concerns one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Number of entities of this shard that should be stopped.
    pub surplus: usize,
    /// True when no entity may be started.
    pub is_full: bool,
}

/// The number of entities to stop when `active` are at work, at most `shard_entities_max` of them
/// are allowed (zero: no limit), and `idle` are stopped in any case.
pub(super) fn surplus(
    active: usize,
    idle: usize,
    shard_entities_max: usize,
    pressure: Pressure,
) -> usize {
    let of_shard = match shard_entities_max {
        0 => 0,
        limit => active.saturating_sub(limit),
    };
    of_shard.max(pressure.surplus).saturating_sub(idle)
}

/// Chooses `count` of the active entities, and at least a sixteenth of all, so that a full node
/// does not search all entities at each start. Chooses none when `count` is zero.
pub(super) fn least_recently_used<'a, I>(active: impl Fn() -> I, count: usize) -> Vec<Arc<str>>
where
    I: Iterator<Item = (Instant, &'a Arc<str>)>,
{
    if count == 0 {
        return Vec::new();
    }
    let mut used: Vec<Instant> = active().map(|(used, _)| used).collect();
    let count = count.max(used.len() / 16).min(used.len());
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    let (_, newest, _) = used.select_nth_unstable(last);
    let newest = *newest;
    let mut oldest: Vec<(Instant, Arc<str>)> = active()
        .filter(|(used, _)| *used <= newest)
        .map(|(used, entity)| (used, entity.clone()))
        .collect();
    oldest.sort();
    oldest.truncate(count);
    oldest.into_iter().map(|(_, entity)| entity).collect()
}

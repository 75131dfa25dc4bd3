//! `antiphon entity skip-event`: an event that an operator wants skipped.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::persistence::entity::SkippedEvent;
use crate::persistence::event::SequenceNr;
use crate::persistence::store::Stores;
use crate::prelude::*;
use crate::sharding::ShardId;
use crate::sharding::coordinator::homes_table;
use crate::sharding::replication::held_table;
use clap::Args;

use crate::app::commands::existing::open_existing;
use crate::app::config::{Config, ConfigFile};
use crate::app::output::{self, say};

/// Most events of one read of an entity's stream.
const PAGE_EVENTS: usize = 500;

/// Records that one event of another replica is never applied at this place.
#[derive(Debug, Args)]
pub struct SkipArguments {
    /// The configuration of a node of the place that skips the event.
    #[arg(long)]
    pub config: PathBuf,
    /// The entity, with the replica that skips: `type|entity|replica`, as the log and `/cluster`
    /// name it.
    pub id: String,
    /// The replica at which the event was written first.
    #[arg(long)]
    pub origin: String,
    /// The number of the event among those of its origin, as the log and `/cluster` name it.
    #[arg(long)]
    pub number: u64,
    /// The reason, for later readers of the record.
    #[arg(long, required_unless_present = "undo")]
    pub note: Option<String>,
    /// Deletes the record, so that the event is not skipped. An event that was skipped stays
    /// skipped.
    #[arg(long, conflicts_with = "note")]
    pub undo: bool,
}

/// Records the skip, or deletes the record. The entity skips the event at its next attempt. Returns
/// whether the record is stored, or was deleted. Warns of an event that is not held back, as far as
/// the journal of the place shows: its name may be wrong.
///
/// # Errors
/// `Rejected` when the configuration, the id or the origin is wrong, or when there is no journal;
/// the errors of the store.
pub async fn skip_event(
    arguments: SkipArguments,
    names: &crate::app::config::Known,
) -> Result<bool> {
    let SkipArguments { config, id, origin, number, note, undo } = arguments;
    let config = ConfigFile::new(config, names.clone()).load()?;
    let id = ReplicationId::parse(&id)?;
    let event = SkippedEvent { origin: Arc::<str>::from(&*origin).try_into()?, number, id };
    check(&event)?;
    let journal = open_existing(&config).await?;
    let stores = journal.stores();
    let known = Known::read(&stores, &event, &config).await?;
    check_place(&stores, &event, &config, known).await?;
    if undo {
        let had = event.withdraw(&*stores.coordination).await?;
        let what = if had { "deleted" } else { "there is no record" };
        say!("{what}: event {number} of `{origin}` for `{}`", event.id)?;
        if had && known.has(number) {
            output::complain(format_args!(
                "warning: this place has taken that event already: a skipped event stays skipped"
            ));
        }
        return Ok(had);
    }
    let is_new = event.record(&*stores.coordination, note.as_deref().unwrap_or_default()).await?;
    let what = if is_new { "recorded" } else { "was recorded before" };
    say!(
        "{what}: event {number} of `{origin}` for `{}` will be skipped if it is held back here",
        event.id
    )?;
    if let Some(warning) = known.warning(&event) {
        output::complain(format_args!(
            "warning: {warning}. The record stays; `--undo` instead of `--note` deletes it"
        ));
    }
    Ok(true)
}

fn check(event: &SkippedEvent) -> Result<()> {
    let SkippedEvent { id, origin, number } = event;
    if origin != id.replica_id() && *number > 0 {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "event {number} of `{origin}` for `{id}`: expected another replica as `origin`, and a number from 1"
    )))
}

/// Refuses a replica that is not at this place: the configuration does not name it here, no shard
/// of it has had a home here, and the journal has nothing of the entity.
async fn check_place(
    stores: &Stores,
    event: &SkippedEvent,
    config: &Config,
    known: Known,
) -> Result<()> {
    let id = &event.id;
    if known.holds || known.highest > SequenceNr::ZERO {
        return Ok(());
    }
    let configured = config.replicas()?.into_iter().filter(|replica| config.is_here(replica));
    let mut here: BTreeSet<ReplicaId> = configured.collect();
    // an application may name replicas in its code
    let homes = stores.coordination.scan(&homes_table(id.entity_type())).await?.rows;
    let replica = |key: &str| key.parse::<ShardId>().ok().map(|shard| shard.replica);
    here.extend(homes.iter().filter_map(|row| replica(&row.key)));
    if here.contains(id.replica_id()) {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "`{id}`: expected a replica of this place (`{}`) or an entity with events in its journal, actual `{}`; the replicas here are {:?}",
        config.node.place,
        id.replica_id(),
        here.iter().map(ReplicaId::as_str).collect::<Vec<_>>()
    )))
}

/// What the journal of the place shows about an entity and the events of one origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// The events of the entity at this place, deleted ones included.
    highest: SequenceNr,
    /// The events of the origin that the entity has taken, at least.
    taken: u64,
    /// False when events were deleted, so that the entity may have taken more.
    is_exact: bool,
    /// True when the entity is recorded as one that holds back.
    holds: bool,
}

impl Known {
    async fn read(stores: &Stores, event: &SkippedEvent, config: &Config) -> Result<Self> {
        let id = event.id.persistence_id();
        let highest = stores.journal.highest(&id).await?;
        let (mut taken, mut is_exact, mut next) = (0, true, SequenceNr::new(1));
        while next <= highest {
            let page = stores.journal.replay(&id, next, highest, PAGE_EVENTS).await?;
            is_exact &= page.first().is_some_and(|first| first.sequence_nr == next);
            let Some(last) = page.last() else { break };
            next = SequenceNr::new(last.sequence_nr.value() + 1);
            let knew = page.iter().map(|stored| stored.meta.version.get(&event.origin));
            taken = knew.fold(taken, u64::max);
        }
        let mut holds = false;
        let mut peers: BTreeSet<ReplicaId> = config.replicas()?.into_iter().collect();
        peers.insert(event.origin.clone());
        for peer in peers.iter().filter(|peer| *peer != event.id.replica_id()) {
            let table = held_table_of(&event.id, peer, config.node.shard_count);
            let key = event.id.with_replica(peer.clone()).persistence_id();
            holds |= stores.coordination.read(&table, key.as_str()).await?.is_some();
        }
        Ok(Self { highest, taken, is_exact, holds })
    }

    fn has(self, number: u64) -> bool {
        self.taken >= number
    }

    /// Says why the event is not held back now. An entity without events is not refused, because
    /// its first event may be an event that cannot be applied.
    fn warning(self, event: &SkippedEvent) -> Option<String> {
        let SkippedEvent { id, origin, number } = event;
        if self.has(*number) {
            return Some(format!(
                "this place has taken event {number} of `{origin}` for `{id}` already: the record changes nothing"
            ));
        }
        let next = self.taken + 1;
        if self.is_exact && *number != next && (self.holds || self.highest > SequenceNr::ZERO) {
            return Some(format!(
                "event {number} of `{origin}` is not held back now: the next one for `{id}` is {next}: check the number"
            ));
        }
        if self.holds {
            return None;
        }
        if self.highest == SequenceNr::ZERO {
            return Some(format!(
                "this place has no event of `{id}`, and no record that it holds one back: check the type and the id, since no other entity heeds the record"
            ));
        }
        Some(format!(
            "this place has no record that `{id}` holds an event back: check the id, the origin and the number in the log or in `/cluster`"
        ))
    }
}

/// The table in which the shard of an entity records the entities that hold back events of another
/// replica.
fn held_table_of(id: &ReplicationId, other: &ReplicaId, shard_count: u32) -> String {
    let count = u16::try_from(shard_count).expect("a checked number of shards");
    let number = ShardId::number_of(id.slice(), count);
    let shard = ShardId { replica: id.replica_id().clone(), number };
    held_table(id.entity_type(), &shard, other)
}

#[cfg(test)]
mod tests {
    use crate::persistence::memory::MemoryStores;

    use super::*;

    fn event(number: u64) -> SkippedEvent {
        let id = ReplicationId::parse("nosuch|gb|DC-A").expect("an id");
        SkippedEvent { origin: ReplicaId::new("DC-B").expect("a name"), number, id }
    }

    fn known(highest: u64, taken: u64, holds: bool) -> Known {
        Known { highest: SequenceNr::new(highest), taken, is_exact: true, holds }
    }

    #[test]
    fn an_event_that_is_not_held_back_is_warned_of() {
        for (known, number, part) in [
            (known(0, 0, false), 1, "no event of `nosuch|gb|DC-A`"),
            (known(9, 4, true), 4, "already"),
            (known(9, 4, true), 99, "the next one for `nosuch|gb|DC-A` is 5"),
            (known(9, 4, false), 5, "no record that `nosuch|gb|DC-A` holds an event back"),
        ] {
            let text = known.warning(&event(number)).expect("a warning");
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert_eq!(known(9, 4, true).warning(&event(5)), None);
        assert_eq!(known(0, 0, true).warning(&event(1)), None, "the first event of the entity");
        let deleted = Known { is_exact: false, ..known(9, 0, true) };
        assert_eq!(deleted.warning(&event(7)), None, "the place may have taken six");
    }

    #[tokio::test]
    async fn an_entity_of_a_replica_that_only_the_code_names_is_served() {
        let config =
            crate::app::config::parse("[node]\nplace = 'DC-A'", [], &crate::stores().into())
                .expect("a configuration");
        let id = ReplicationId::parse("cart|gb|zone-1").expect("an id");
        let event =
            SkippedEvent { origin: ReplicaId::new("zone-2").expect("a name"), number: 1, id };
        let stores = MemoryStores::new().stores();
        let here = async |known| check_place(&stores, &event, &config, known).await;
        let error = here(known(0, 0, false)).await.expect_err("nothing is known of it").to_string();
        assert!(error.contains("`zone-1`") && error.contains("[\"DC-A\"]"), "{error}");
        here(known(3, 0, false)).await.expect("it has events");
        here(known(0, 0, true)).await.expect("it holds events back");
        let table = homes_table("cart");
        let home = Some("a@1".into());
        let row = stores.coordination.compare_and_set(&table, "zone-1/7", None, home);
        row.await.expect("it is written");
        here(known(0, 0, false)).await.expect("its shard had a home");

        let table = held_table_of(&event.id, &event.origin, 64);
        let value = Some(vec![1, 0, 0, 0, 0, 0, 0, 0].into());
        let row = stores.coordination.compare_and_set(&table, "cart|gb|zone-2", None, value);
        row.await.expect("it is written");
        let known = Known::read(&stores, &event, &config).await.expect("it is read");
        assert!(known.holds, "a table of a replica that the configuration does not name");
    }

    #[tokio::test]
    async fn the_record_of_an_entity_that_holds_back_is_found() {
        let config = crate::app::config::parse(
            "[node]\nplace = 'DC-A'\n[[peers]]\nplace = 'DC-B'\njournal = 'b.db'\n[[peers]]\nplace = 'DC-C'\njournal = 'c.db'",
            [],
            &crate::stores().into(),
        )
        .expect("a configuration");
        let (stores, event) = (MemoryStores::new().stores(), event(1));
        let read = async || Known::read(&stores, &event, &config).await.expect("it is read");
        assert_eq!(read().await, known(0, 0, false));
        let table = held_table_of(&event.id, &ReplicaId::new("DC-C").expect("a name"), 64);
        assert!(table.starts_with("held nosuch/DC-A/") && table.ends_with(" DC-C"), "{table}");
        let value = Some(vec![1, 0, 0, 0, 0, 0, 0, 0].into());
        let row = stores.coordination.compare_and_set(&table, "nosuch|gb|DC-C", None, value);
        row.await.expect("it is written");
        assert!(read().await.holds, "events of one origin come from every other place");
    }
}

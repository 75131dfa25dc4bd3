//! `antiphon entity migration`: how far a plain entity type has become a replicated one. Nothing is
//! changed, and nodes may run meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::OpenJournal;
use crate::persistence::event::SequenceNr;
use crate::persistence::store::Stores;
use crate::prelude::*;
use clap::Args;

use crate::app::commands::existing::open_existing;
use crate::app::config::{Config, ConfigFile};
use crate::app::output::say;

/// Most events of one read of an entity's stream, and most ids of one read.
const PAGE_MAX: usize = 500;

/// Most entities that one line names.
const NAMED_MAX: usize = 20;

/// Compares the plain entities of a type with their other replicas.
#[derive(Debug, Args)]
pub(crate) struct MigrationArguments {
    /// The configuration of a node of the place that has the plain entities, with all replicas in
    /// `[[replicas]]`.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// The entity type.
    pub(crate) entity_type: String,
}

/// A replica beside the plain one, as far as its journal shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    complete: u64,
    behind: Named,
}

/// Entities, of which the first ones are named.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    count: u64,
    names: Vec<String>,
}

impl Named {
    fn push(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < NAMED_MAX {
            self.names.push(name);
        }
    }
}

/// The plain entities of a type, and their other replicas.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    entities: u64,
    events: u64,
    /// Entities whose first events were deleted: no other replica can get them.
    cut: Named,
    replicas: BTreeMap<ReplicaId, Progress>,
}

impl Report {
    /// Takes a plain entity with its first number that is not deleted, the number of events that it
    /// has written itself, and how many of these each other replica has.
    fn add(
        &mut self,
        id: &ReplicationId,
        (first, written): (SequenceNr, u64),
        taken: &BTreeMap<ReplicaId, u64>,
    ) {
        self.entities += 1;
        self.events += written;
        if first > SequenceNr::new(1) {
            self.cut.push(format!("`{id}` begins at event {first}"));
        }
        for (replica, taken) in taken {
            let progress = self.replicas.entry(replica.clone()).or_default();
            if *taken >= written {
                progress.complete += 1;
            } else {
                progress.behind.push(format!("`{id}` has {taken} of {written}"));
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.entities > 0
            && self.cut.count == 0
            && self.replicas.values().all(|progress| progress.behind.count == 0)
    }

    fn text(&self, entity_type: &str, place: &str) -> String {
        let Self { entities, events, cut, replicas } = self;
        let mut text = format!(
            "`{entity_type}` of place `{place}`: {entities} plain entities with {events} events\n"
        );
        let named = |Named { count, names }: &Named| {
            let more = if *count > NAMED_MAX as u64 { ", .." } else { "" };
            format!("{}{more}", names.join(", "))
        };
        if cut.count > 0 {
            text += &format!(
                "{} of them have deleted events (`delete_events`), which no other replica can get: {}\n",
                cut.count,
                named(cut)
            );
        }
        for (replica, Progress { complete, behind }) in replicas {
            text += &format!("replica `{replica}` has all events of {complete} of them");
            if behind.count > 0 {
                text += &format!(", and lacks events of {}: {}", behind.count, named(behind));
            }
            text += "\n";
        }
        text += match (entities, self.is_complete()) {
            (0, _) => "nothing to migrate here: is the name of the entity type right?\n",
            (_, true) => "complete\n",
            (_, false) => "not complete\n",
        };
        text
    }
}

/// Prints how many plain entities of the type there are, and how many of their events the other
/// replicas have. Returns whether the others have all of them.
///
/// # Errors
/// `Rejected` when the configuration is wrong, or has no plain replica here; the errors of the
/// journals.
pub(crate) async fn migration(
    arguments: MigrationArguments,
    names: &crate::app::config::Known,
) -> Result<bool> {
    let MigrationArguments { config, entity_type } = arguments;
    let config = ConfigFile::new(config, names.clone()).load()?;
    if !config.is_here(&ReplicaId::empty()) {
        return Err(Error::rejected(format!(
            "`replicas`: expected the replica \"\" at the place {:?}, actual none there: give this command the configuration of a node that has the plain entities",
            config.node.place
        )));
    }
    let own = open_existing(&config).await?;
    let stores = own.stores();
    let others = others(&config, &own).await?;
    if others.is_empty() {
        return Err(Error::rejected(
            "`replicas`: expected the plain replica \"\" and at least one other, actual none beside it: give this command the new configuration, whose replicas the entities move to",
        ));
    }
    let mut report = Report::default();
    report
        .replicas
        .extend(others.iter().map(|(replica, _)| (replica.clone(), Progress::default())));
    let mut after = None;
    loop {
        let journal = &stores.read_journal;
        let ids = journal.persistence_ids(&entity_type, after.as_ref(), PAGE_MAX).await?;
        for id in &ids {
            let id = ReplicationId::parse(id.as_str())?;
            if id.replica_id().is_empty() {
                add(&mut report, &id, &stores, &others).await?;
            }
        }
        let Some(last) = ids.last() else { break };
        after = Some(last.clone());
    }
    let text = report.text(&entity_type, &config.node.place);
    say!("{}", text.trim_end())?;
    Ok(report.is_complete())
}

/// The other replicas of the configuration, each with the stores of its place.
async fn others(config: &Config, own: &OpenJournal) -> Result<Vec<(ReplicaId, Stores)>> {
    let mut places = BTreeMap::from([(config.node.place.clone(), own.stores())]);
    for peer in config.embedded(String::new())?.peers {
        places.insert(peer.place.clone(), peer.journal.open(true).await?.stores());
    }
    let replicas = config.replicas()?.into_iter().filter(|replica| !replica.is_empty());
    let of_place = |replica: ReplicaId| {
        let stores = places.get(config.place_of(&replica)?)?.clone();
        Some((replica, stores))
    };
    Ok(replicas.filter_map(of_place).collect())
}

async fn add(
    report: &mut Report,
    id: &ReplicationId,
    stores: &Stores,
    others: &[(ReplicaId, Stores)],
) -> Result<()> {
    let stream = id.persistence_id();
    let page = stores.journal.replay(&stream, SequenceNr::new(1), SequenceNr::MAX, 1).await?;
    let first = match page.first() {
        Some(event) => event.sequence_nr,
        None => stores.journal.highest(&stream).await?.next(),
    };
    let written = taken_of(id, id.replica_id(), stores).await?;
    let mut taken = BTreeMap::new();
    for (replica, stores) in others {
        let stream = id.with_replica(replica.clone());
        taken.insert(replica.clone(), taken_of(&stream, id.replica_id(), stores).await?);
    }
    report.add(id, (first, written), &taken);
    Ok(())
}

/// The number of events of the origin that a stream has.
async fn taken_of(id: &ReplicationId, origin: &ReplicaId, stores: &Stores) -> Result<u64> {
    let stream = id.persistence_id();
    let (mut taken, mut next) = (0, SequenceNr::new(1));
    loop {
        let page = stores.journal.replay(&stream, next, SequenceNr::MAX, PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(taken) };
        next = last.sequence_nr.next();
        taken = page.iter().map(|event| event.meta.version.get(origin)).fold(taken, u64::max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ReplicationId {
        ReplicationId::parse(&format!("counter|{name}")).unwrap()
    }

    #[test]
    fn a_report_names_what_another_replica_lacks_and_what_it_can_never_get() {
        let other = ReplicaId::new("DC-B").unwrap();
        let taken = |count| BTreeMap::from([(other.clone(), count)]);
        let numbers = |first, written| (SequenceNr::new(first), written);
        let mut report = Report::default();
        report.add(&id("a"), numbers(1, 5), &taken(5));
        assert!(report.is_complete());
        assert!(report.text("counter", "DC-A").ends_with("all events of 1 of them\ncomplete\n"));

        report.add(&id("b"), numbers(1, 5), &taken(3));
        assert!(!report.is_complete());
        let text = report.text("counter", "DC-A");
        assert!(text.contains("2 plain entities with 10 events"), "{text}");
        assert!(text.contains("`DC-B` has all events of 1"), "{text}");
        assert!(text.contains("lacks events of 1: `counter|b` has 3 of 5"), "{text}");

        let mut cut = Report::default();
        cut.add(&id("c"), numbers(4, 5), &taken(5));
        assert!(!cut.is_complete(), "its state at the other place would lack three events");
        let text = cut.text("counter", "DC-A");
        assert!(text.contains("1 of them have deleted events"), "{text}");
        assert!(text.contains("`counter|c` begins at event 4"), "{text}");
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let mut named = Named::default();
        (0..30).for_each(|number| named.push(number.to_string()));
        assert_eq!((named.count, named.names.len()), (30, NAMED_MAX));
    }
}

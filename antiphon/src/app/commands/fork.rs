//! `antiphon entity clear-fork`: the operator's word that an entity does not differ from other
//! places any more.

use crate::persistence::entity::ForkedEntity;
use crate::prelude::*;

use crate::app::commands::existing::open_existing;
use crate::app::config::ConfigFile;
use crate::app::output::say;

/// Deletes the records of forked entities in the journal of the place; `all` stands for every
/// record. Returns whether every named entity had a record.
///
/// # Errors
/// `Rejected` when the configuration or an id is wrong, or when there is no journal; the errors of
/// the store. `Unavailable` when the output cannot be written: every record is deleted then.
pub async fn clear(file: &ConfigFile, ids: &[String]) -> Result<bool> {
    let config = file.load()?;
    let journal = open_existing(&config).await?;
    let store = journal.stores().coordination;
    let is_all = ids == ["all"];
    let ids = if is_all {
        ForkedEntity::all(&*store).await?.into_iter().map(|forked| forked.id).collect()
    } else {
        ids.iter().map(|id| ReplicationId::parse(id)).collect::<Result<Vec<_>>>()?
    };
    let (mut cleared, mut had_all) = (0_usize, true);
    let mut said = Ok(());
    for id in ids {
        let had = ForkedEntity::clear(&*store, &id).await?;
        // a full disk under the output is no reason to stop half-way
        said = said.and(say!("{id}: {}", if had { "cleared" } else { "there is no record" }));
        cleared += usize::from(had);
        had_all &= had;
    }
    if is_all {
        said = said.and(say!("{cleared} records cleared"));
    }
    said.map(|()| had_all)
}

//! A command that was answered as without effect has none: its lines are in no journal.

use std::collections::BTreeMap;

use antiphon_persistence::codec::CodecId;

use super::streams;
use crate::clients::History;
use crate::cluster::Cluster;
use crate::ledger::Added;

pub(crate) async fn check(cluster: &Cluster, history: &History) -> Result<(), String> {
    let refused: BTreeMap<u64, &String> =
        history.without_effect.iter().map(|(line, why)| (*line, why)).collect();
    for (entity, replica, events) in streams(cluster).await {
        for event in &events {
            let added: Added =
                CodecId::Bincode.decode(&event.payload.bytes).map_err(|error| error.to_string())?;
            if let Some(why) = refused.get(&added.line) {
                return Err(format!(
                    "true_answer: line {} of {entity} is at {replica}, and was answered as without effect: {why}",
                    added.line
                ));
            }
        }
    }
    Ok(())
}

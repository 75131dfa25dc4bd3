//! Events that the destination has and does not show: those before a deletion, a truncation
//! (`$tb`, `$maxCount`, `$maxAge`) or a tombstone.
//!
//! Such events count as there. Written again, the events of a deleted stream would come behind its
//! last number, and the stream would live again. A stream that is deleted until it is written again
//! accepts an append that expects no stream, so its metadata is read before the first event of a
//! stream is written.

use antiphon_eventstore as es;
use bytes::Bytes;

use super::client::failure;
use super::origin::Origin;
use crate::filter::Metadata;
use crate::sink::run::Run;
use crate::sink::{Conflict, Outcome};

/// A number that no stream reaches: an append behind it is always refused, with the number of the
/// last event.
const NEVER: u64 = 1 << 62;

/// The last number of a stream that is deleted at the destination until it is written again; none
/// when the stream is not deleted, or never had an event.
pub(super) async fn end_of_deleted(
    client: &es::EventStoreClient,
    stream: &str,
) -> Result<Option<u64>, Outcome> {
    let newest = client.newest(&format!("$${stream}")).await.map_err(|failed| failure(&failed))?;
    let data = newest.and_then(|newest| newest.event).map(|event| event.data).unwrap_or_default();
    if Metadata::parse(&data).is_ok_and(|metadata| metadata.deletes()) {
        return last_number(client, stream).await;
    }
    Ok(None)
}

/// The number of the last event of a stream, hidden or not; none when it never had one.
pub(super) async fn last_number(
    client: &es::EventStoreClient,
    stream: &str,
) -> Result<Option<u64>, Outcome> {
    let probe = es::NewEvent::json("Probe", Bytes::from_static(b"{}"));
    match client.append(stream, es::ExpectedRevision::Exact(NEVER), vec![probe]).await {
        Ok(es::AppendOutcome::WrongExpectedRevision { current }) => Ok(current),
        Ok(es::AppendOutcome::Written { .. }) => Err(Outcome::Retryable(format!(
            "stream `{stream}`: the destination accepted an append behind #{NEVER}"
        ))),
        Err(failed) => Err(failure(&failed)),
    }
}

/// The outcomes of a run, of which those behind the end of the destination's stream count as there
/// when the source has ended the stream too.
pub(super) async fn behind_tombstone(
    run: Run<'_>,
    mut outcomes: Vec<Outcome>,
    origin: Option<&Origin>,
) -> Vec<Outcome> {
    let ended = Outcome::Conflict(Conflict::Ended);
    let Some(first) = outcomes.iter().position(|outcome| *outcome == ended) else {
        return outcomes;
    };
    let stream = &run[first].source_stream;
    let stream = stream.strip_prefix("$$").unwrap_or(stream);
    let is_gone = match origin {
        Some(origin) => origin.is_tombstoned(stream).await,
        None => Ok(false),
    };
    let rest = run.len() - first;
    outcomes.truncate(first);
    outcomes.extend(match is_gone {
        Ok(true) => vec![Outcome::Duplicate; rest],
        Ok(false) => ended.then_untried(rest),
        Err(outcome) => outcome.then_untried(rest),
    });
    outcomes
}

#[cfg(test)]
mod tests;

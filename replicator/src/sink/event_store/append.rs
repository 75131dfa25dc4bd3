//! Appends at exact revisions. After a refusal the events at the destination are compared.

use antiphon_eventstore as es;
use uuid::Uuid;

use super::client::{behind, failure, ids, new_event};
use super::hidden::end_of_deleted;
use super::origin::Origin;
use crate::event::{Envelope, Event};
use crate::sink::run::Run;
use crate::sink::{Conflict, Outcome};

/// Limit of append rounds. After a refusal the sink reads the destination and continues behind the
/// events there. More rounds mean that another client writes to the stream.
const ROUNDS_MAX: usize = 4;

/// Largest number of events that are copied with an event because no subscription delivers them.
const UNDELIVERED_MAX: u64 = 512;

/// Appends at exact revisions.
#[derive(Clone)]
pub(super) struct ExactAppends {
    client: es::EventStoreClient,
    origin: Option<Origin>,
}

impl ExactAppends {
    pub(super) fn new(client: es::EventStoreClient, origin: Option<Origin>) -> Self {
        Self { client, origin }
    }

    /// Appends consecutive events at their own numbers. A cancelled call may have written some.
    pub(super) async fn append(&self, run: Run<'_>) -> Vec<Outcome> {
        let mut outcomes = match self.hidden_at_first(run).await {
            Ok(count) => vec![Outcome::Duplicate; count],
            Err(outcome) => return outcome.then_untried(run.len()),
        };
        let mut rounds = 0;
        // a run that is too large for the server is halved until the too large event is alone
        let mut piece_max = run.len();
        while outcomes.len() < run.len() {
            let rest = &run[outcomes.len()..];
            let piece = &rest[..piece_max.min(rest.len())];
            match self.append_piece(piece).await {
                Piece::Written => outcomes.extend(
                    piece.iter().map(|envelope| Outcome::Written(Some(envelope.event.revision))),
                ),
                Piece::Failed(Outcome::Rejected(_)) if piece.len() > 1 => {
                    piece_max = piece.len() / 2;
                }
                Piece::Failed(outcome) => {
                    outcomes.extend(outcome.then_untried(rest.len()));
                }
                Piece::Ends(current) => {
                    rounds += 1;
                    match self.compare(piece, current).await {
                        Ok(0)
                            if rounds < ROUNDS_MAX && self.is_filled(&piece[0], current).await => {}
                        Ok(0) => {
                            let outcome = self.nothing_found(piece, current, rounds);
                            outcomes.extend(outcome.then_untried(rest.len()));
                        }
                        Ok(count) => outcomes.extend(vec![Outcome::Duplicate; count]),
                        Err(outcome) => outcomes.extend(outcome.then_untried(rest.len())),
                    }
                }
            }
        }
        outcomes
    }

    /// Number of events of a run from the first event of a stream on that the destination has and
    /// hides, because it deleted the stream.
    pub(super) async fn hidden_at_first(&self, run: Run<'_>) -> Result<usize, Outcome> {
        let first = &run[0].event;
        if first.revision > 0 {
            return Ok(0);
        }
        let Some(last) = end_of_deleted(&self.client, &first.stream).await? else { return Ok(0) };
        Ok(run.iter().take_while(|envelope| envelope.event.revision <= last).count())
    }

    async fn append_piece(&self, piece: &[Envelope]) -> Piece {
        let first = &piece[0].event;
        let expected = expected_revision(first);
        let events = piece.iter().map(|envelope| new_event(&envelope.event)).collect();
        match self.client.append(&first.stream, expected, events).await {
            Ok(es::AppendOutcome::Written { .. }) => Piece::Written,
            Ok(es::AppendOutcome::WrongExpectedRevision { current }) => Piece::Ends(current),
            Err(failed) => Piece::Failed(failure(&failed)),
        }
    }

    /// Number of events of the piece, from its first one on, that are at the destination, or were
    /// and are hidden; or the outcome of the first event.
    async fn compare(&self, piece: &[Envelope], current: Option<u64>) -> Result<usize, Outcome> {
        let first = &piece[0].event;
        let Some(last) = current.filter(|last| *last >= first.revision) else { return Ok(0) };
        let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let (forwards, from) = (es::Direction::Forwards, es::ReadFrom::At(first.revision));
        let found = ids(&self.client, &first.stream, forwards, from, count).await?;
        let mut same = 0;
        for envelope in piece.iter().take_while(|envelope| envelope.event.revision <= last) {
            let event = &envelope.event;
            match found.iter().find(|(revision, _)| *revision == event.revision) {
                Some((_, id)) if *id != event.id && same == 0 => return Err(different(*id)),
                Some((_, id)) if *id != event.id => break,
                Some(_) | None => same += 1,
            }
        }
        Ok(same)
    }

    /// Copies the events between the end of the destination's stream and `next`, when they are such
    /// that no subscription delivers them. Returns true when the event can be tried again.
    async fn is_filled(&self, next: &Envelope, current: Option<u64>) -> bool {
        let (from, to) = (current.map_or(0, |last| last + 1), next.event.revision);
        let Some(origin) = &self.origin else { return false };
        if from >= to || to - from > UNDELIVERED_MAX {
            return false;
        }
        let Ok(Some(events)) = origin.undelivered(&next.source_stream, from, to).await else {
            return false;
        };
        let events = events.iter().map(new_event).collect();
        let written = self.client.append(&next.event.stream, behind(current), events).await;
        matches!(written, Ok(es::AppendOutcome::Written { .. }))
    }

    /// Outcome of a refused append of an event that the destination does not have: the events
    /// before it are missing, or the stream moved in between.
    fn nothing_found(&self, piece: &[Envelope], current: Option<u64>, rounds: usize) -> Outcome {
        let (revision, stream) = (piece[0].event.revision, &piece[0].event.stream);
        if behind(current) != expected_revision(&piece[0].event) {
            return Outcome::Conflict(Conflict::Missing { current });
        }
        let end = current.map_or_else(|| "no event".to_owned(), |current| format!("#{current}"));
        let text = format!(
            "event #{revision} of `{stream}` was refused although the destination ends at {end}"
        );
        if rounds < ROUNDS_MAX { Outcome::Retryable(text) } else { Outcome::Rejected(text) }
    }
}

/// The expected revision of an event: the number before its own.
pub(super) fn expected_revision(event: &Event) -> es::ExpectedRevision {
    behind(event.revision.checked_sub(1))
}

fn different(found: Uuid) -> Outcome {
    Outcome::Conflict(Conflict::Different { found: Some(found) })
}

enum Piece {
    Written,
    /// The destination's stream ends at another number.
    Ends(Option<u64>),
    Failed(Outcome),
}

//! Appends at exact revisions. After a refusal the events at the destination are compared.

use antiphon_eventstore as es;
use uuid::Uuid;

use super::client::{behind, failure, ids, new_event};
use crate::event::{Envelope, Event};
use crate::sink::run::Run;
use crate::sink::{Conflict, Outcome};

/// Limit of append rounds. After a refusal the sink reads the destination and continues behind the
/// events there. More rounds mean that another client writes to the stream.
const ROUNDS_MAX: usize = 4;

/// Appends at exact revisions.
#[derive(Clone)]
pub(super) struct ExactAppends {
    client: es::EventStoreClient,
    /// True when events of the destination may be gone after a time.
    expires: bool,
}

impl ExactAppends {
    pub(super) fn new(client: es::EventStoreClient, expires: bool) -> Self {
        Self { client, expires }
    }

    /// Appends consecutive events at their own numbers. A cancelled call may have written some.
    pub(super) async fn append(&self, run: Run<'_>) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(run.len());
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
                    let found = self.compare(piece, current).await;
                    rounds += 1;
                    match found {
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

    async fn append_piece(&self, piece: &[Envelope]) -> Piece {
        let first = &piece[0].event;
        let expected = expected_revision(first);
        let events = piece.iter().map(new_event).collect();
        match self.client.append(&first.stream, expected, events).await {
            Ok(es::AppendOutcome::Written { .. }) => Piece::Written,
            Ok(es::AppendOutcome::WrongExpectedRevision { current }) => Piece::Ends(current),
            Err(failed) => Piece::Failed(failure(&failed)),
        }
    }

    /// Number of events of the piece, from its first one on, that are at the destination; or the
    /// outcome of the first event.
    async fn compare(&self, piece: &[Envelope], current: Option<u64>) -> Result<usize, Outcome> {
        let first = &piece[0].event;
        let missing = || Outcome::Conflict(Conflict::Missing { current });
        let Some(last) = current else { return Err(missing()) };
        if last < first.revision {
            return if last + 1 == first.revision { Ok(0) } else { Err(missing()) };
        }
        let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let (forwards, from) = (es::Direction::Forwards, es::ReadFrom::At(first.revision));
        let found = ids(&self.client, &first.stream, forwards, from, count).await?;
        let mut same = 0;
        for envelope in piece {
            let event = &envelope.event;
            let there = found.iter().find(|(revision, _)| *revision == event.revision);
            match there {
                Some((_, id)) if *id == event.id => same += 1,
                _ if same > 0 => break,
                Some((_, id)) => return Err(different(Some(*id))),
                // expired or truncated after it was written: expected when a time to live is set
                None if self.expires && last >= event.revision => same += 1,
                None => return Err(different(None)),
            }
        }
        Ok(same)
    }

    /// Outcome of a refused append although the destination ended right before the event: the
    /// stream moved in between, or was deleted.
    fn nothing_found(&self, piece: &[Envelope], current: Option<u64>, rounds: usize) -> Outcome {
        let (revision, stream) = (piece[0].event.revision, &piece[0].event.stream);
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

fn different(found: Option<Uuid>) -> Outcome {
    Outcome::Conflict(Conflict::Different { found })
}

enum Piece {
    Written,
    /// The destination's stream ends at another number.
    Ends(Option<u64>),
    Failed(Outcome),
}

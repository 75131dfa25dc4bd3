//! A persistent subscription group: the server keeps the position, and needs a verdict on each
//! event.

use std::collections::BTreeMap;

use antiphon_eventstore as es;
use async_trait::async_trait;

use super::drain::Messages;
use super::resolve::{PositionOf, delivery, error, is_link, target_of};
use super::{Bookmark, Delivery, Opened, Position, Settler, Source, Token, Verdict};
use crate::Result;
use crate::park::{Parked, ParkedOldest};

/// A group, created on request.
pub struct GroupSource {
    client: es::EventStoreClient,
    stream: String,
    group: String,
    buffer_size: u32,
    create: Option<es::GroupSettings>,
}

impl GroupSource {
    /// The group `group` on `stream`, with at most `buffer_size` unsettled events. Created with the
    /// settings in `create` if it is missing.
    pub fn new(
        client: es::EventStoreClient,
        stream: impl Into<String>,
        group: impl Into<String>,
        buffer_size: u32,
        create: Option<es::GroupSettings>,
    ) -> Self {
        Self { client, stream: stream.into(), group: group.into(), buffer_size, create }
    }
}

#[async_trait]
impl Source for GroupSource {
    async fn open(&self, _position: Option<Bookmark>) -> Result<Opened> {
        if let Some(settings) = &self.create {
            match self.client.create_group(&self.stream, &self.group, settings).await {
                Ok(()) => {
                    tracing::info!(stream = self.stream, group = self.group, "group created");
                }
                Err(failed) if failed.kind() == es::ErrorKind::AlreadyExists => {}
                Err(failed) => return Err(error(failed)),
            }
        }
        let subscription = self
            .client
            .subscribe_group(&self.stream, &self.group, self.buffer_size)
            .await
            .map_err(error)?;
        let answers = subscription.answers();
        Ok(Opened {
            reader: Box::new(GroupReader {
                client: self.client.clone(),
                subscription,
                unresolved: None,
                resolves: true,
            }),
            settler: Box::new(GroupSettler { answers }),
            went_back: None,
        })
    }

    async fn head(&self) -> Result<Option<Position>> {
        super::catch_up::head_of(&self.client, &self.stream).await
    }

    async fn is_over(&self, target: &Position) -> Result<bool> {
        let info = self.client.group_info(&self.stream, &self.group).await.map_err(error)?;
        let is_idle = info.in_flight == 0 && info.retrying == 0 && info.waiting == 0;
        // the filter of a group on `$all` may hide the newest event
        let known = position_of(&info.last_known);
        let is_known =
            self.stream == es::ALL || known.is_some_and(|known| !known.is_before(target));
        Ok(is_idle && is_known && info.status.contains("Live"))
    }

    async fn parked(&self) -> Result<Option<Parked>> {
        let info = match self.client.group_info(&self.stream, &self.group).await {
            Ok(info) => info,
            // a server before 22.6, a group that is gone, a user who may not see it
            Err(failed) if !failed.is_transient() => return Ok(None),
            Err(failed) => return Err(error(failed)),
        };
        let oldest = if info.parked > 0 { self.oldest_parked().await } else { None };
        Ok(Some(Parked { count: info.parked, oldest }))
    }

    fn settles(&self) -> bool {
        true
    }
}

/// A position as the server tells it of a group: a number, or `C:n/P:n` in `$all`.
pub(super) fn position_of(text: &str) -> Option<Position> {
    if let Ok(revision) = text.parse() {
        return Some(Position::Stream(revision));
    }
    let (commit, prepare) = text.strip_prefix("C:")?.split_once("/P:")?;
    Some(Position::All { commit: commit.parse().ok()?, prepare: prepare.parse().ok()? })
}

impl GroupSource {
    /// The first message in the server's parking lot, a link; none when the user may not see it.
    async fn oldest_parked(&self) -> Option<ParkedOldest> {
        let lot = format!("$persistentsubscription-{}::{}-parked", self.stream, self.group);
        let parked = self.first(&lot, es::ReadFrom::Start, false).await?.event?;
        let (revision, stream) = std::str::from_utf8(&parked.data).ok()?.split_once('@')?;
        let revision = revision.parse().ok()?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&parked.metadata).unwrap_or_default();
        let reason = metadata["reason"].as_str().map(str::to_owned);
        let parked_at = crate::journal_event::micros(parked.created);
        // in a category the target is a link itself
        let target = self.first(stream, es::ReadFrom::At(revision), true).await;
        let event = target.and_then(|target| target.event);
        let (stream, revision) =
            event.as_ref().map_or((stream, revision), |event| (&*event.stream, event.revision));
        Some(ParkedOldest { stream: stream.to_owned(), revision, parked_at, reason })
    }

    async fn first(
        &self,
        stream: &str,
        from: es::ReadFrom<u64>,
        resolve_links: bool,
    ) -> Option<es::ResolvedEvent> {
        let forwards = es::Direction::Forwards;
        let events = self.client.read_stream(stream, forwards, from, 1, resolve_links).await;
        events.ok()?.collect().await.ok()?.pop()
    }
}

struct GroupReader {
    client: es::EventStoreClient,
    subscription: es::GroupSubscription,
    /// A link that the server did not resolve, while its target is read.
    unresolved: Option<es::GroupEvent>,
    /// True while the server has resolved every link.
    resolves: bool,
}

impl GroupReader {
    /// Reads the target of the link in `unresolved`, which stays there until it is known.
    async fn resolve(&mut self) -> Result<()> {
        let Some(event) = &mut self.unresolved else { return Ok(()) };
        let link = event.resolved.event.as_ref().filter(|event| is_link(event));
        let Some(link) = link.filter(|_| event.resolved.link.is_none()) else { return Ok(()) };
        let target = target_of(&self.client, link).await?;
        event.resolved.link = event.resolved.event.take();
        event.resolved.event = target;
        if std::mem::replace(&mut self.resolves, false) {
            tracing::warn!(
                "the group does not resolve links: the replicator reads each target by itself, which is slow; make the group with `resolveLinkTos` for speed"
            );
        }
        Ok(())
    }
}

impl Messages for GroupReader {
    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        if self.unresolved.is_none() {
            self.unresolved = Some(self.subscription.next().await.map_err(error)?);
        }
        self.resolve().await?;
        let Some(event) = self.unresolved.take() else { return Ok(None) };
        let token = event.answer_id().map(Token);
        Ok(delivery(event.resolved, PositionOf::Nobody, event.retry_count, token))
    }
}

struct GroupSettler {
    answers: es::GroupAnswers,
}

#[async_trait]
impl Settler for GroupSettler {
    async fn settle(&mut self, verdicts: Vec<(Token, Verdict)>) -> Result<()> {
        let mut acks = Vec::new();
        let mut nacks: BTreeMap<(es::NackAction, String), Vec<uuid::Uuid>> = BTreeMap::new();
        for (Token(id), verdict) in verdicts {
            let nack = match verdict {
                Verdict::Ack => {
                    acks.push(id);
                    continue;
                }
                Verdict::Retry(reason) => (es::NackAction::Retry, reason),
                Verdict::Park(reason) => (es::NackAction::Park, reason),
                Verdict::Skip(reason) => (es::NackAction::Skip, reason),
            };
            nacks.entry(nack).or_default().push(id);
        }
        if !acks.is_empty() {
            self.answers.ack(acks).await.map_err(error)?;
        }
        for ((action, reason), ids) in nacks {
            self.answers.nack(ids, action, &reason).await.map_err(error)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_of_a_group_is_a_number_or_a_place_in_the_log() {
        assert_eq!(position_of("7"), Some(Position::Stream(7)));
        let all = Position::All { commit: 9, prepare: 8 };
        assert_eq!(position_of(&all.to_string()), Some(all));
        for text in ["", "-1", "C:9", "C:9/P:", "C:x/P:1", "99999999999999999999"] {
            assert_eq!(position_of(text), None, "{text}");
        }
    }
}

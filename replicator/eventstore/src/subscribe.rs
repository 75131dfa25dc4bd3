//! Catch-up subscriptions: all events after a position, then live events.

use crate::client::EventStoreClient;
use crate::error::{Error, Result};
use crate::event::{ALL, Position, ResolvedEvent};
use crate::messages::Messages;
use crate::read::{ReadFrom, all_from, common, resolved, stream_from};
use crate::settings::ClientSettings;
use crate::wire;
use crate::wire::filter::{Expression, Subject, Window};
use crate::wire::streams::read_req::{Options, options};
use crate::wire::streams::{ReadResp, read_resp};

/// The events of `$all` that the server sends. It reads the others too, and reports its position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Filter {
    /// All events.
    #[default]
    None,
    /// Events whose stream begins with one of these prefixes.
    StreamPrefix(Vec<String>),
    /// Events whose stream matches.
    StreamRegex(String),
    /// Events whose type begins with one of these prefixes.
    TypePrefix(Vec<String>),
    /// Events whose type matches.
    TypeRegex(String),
}

/// A message of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every message is an event")]
pub enum SubscriptionMessage {
    /// The server has accepted the subscription; always first.
    Confirmed,
    /// An event.
    Event(ResolvedEvent),
    /// Position up to which all events are read, both sent and filtered ones.
    Checkpoint(Position),
    /// The events that follow are live.
    CaughtUp,
    /// The events that follow are past ones again, because the reader was too slow.
    FellBehind,
}

/// A subscription that continues until it fails; it has no other end.
#[derive(Debug)]
pub struct Subscription {
    messages: Messages<ReadResp>,
}

impl EventStoreClient {
    /// Subscribes to a stream, which may not exist yet: all events after revision `from`, or from
    /// the start if `None`. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`, `NotLeader`, `AccessDenied`, `StreamDeleted`, here or from the first
    /// [`Subscription::next`].
    pub async fn subscribe_stream(
        &self,
        stream: &str,
        from: Option<u64>,
        resolve_links: bool,
    ) -> Result<Subscription> {
        let from = from.map_or(ReadFrom::Start, ReadFrom::At);
        let options = Options {
            what: Some(options::What::Stream(stream_from(stream, from))),
            resolve_links,
            filtering: Some(options::Filtering::NoFilter(wire::Empty {})),
            ..subscription()
        };
        self.subscribe(format!("subscription to stream `{stream}`"), options).await
    }

    /// Subscribes to the whole store: all events that pass `filter`, after `from`, or from the
    /// start if `None`. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// The errors of [`Self::subscribe_stream`]; `Rejected` for an invalid regular expression.
    pub async fn subscribe_all(
        &self,
        from: Option<Position>,
        filter: Filter,
        resolve_links: bool,
    ) -> Result<Subscription> {
        let from = from.map_or(ReadFrom::Start, ReadFrom::At);
        let filtering = match filter_to_wire(filter, self.settings())? {
            Some(filter) => options::Filtering::Filter(filter),
            None => options::Filtering::NoFilter(wire::Empty {}),
        };
        let options = Options {
            what: Some(options::What::All(all_from(from))),
            resolve_links,
            filtering: Some(filtering),
            ..subscription()
        };
        self.subscribe(format!("subscription to `{ALL}`"), options).await
    }

    async fn subscribe(&self, doing: String, options: Options) -> Result<Subscription> {
        let opened = self.open_read(&doing, options).await?;
        Ok(Subscription { messages: Messages::endless(self, doing, opened) })
    }
}

impl Subscription {
    /// The next message. Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// `Unavailable` when the server ended the subscription, the connection broke or the
    /// confirmation did not come in time; `StreamDeleted`, `AccessDenied`, `NotLeader`, `Rejected`.
    /// After an error a new subscription is needed.
    pub async fn next(&mut self) -> Result<SubscriptionMessage> {
        loop {
            let message = self.messages.next().await?;
            return Ok(match message.content {
                Some(read_resp::Content::Event(event)) => {
                    SubscriptionMessage::Event(resolved(event)?)
                }
                Some(read_resp::Content::Confirmation(_)) => {
                    self.messages.confirmed();
                    SubscriptionMessage::Confirmed
                }
                Some(read_resp::Content::Checkpoint(at)) => {
                    let position = Position { commit: at.commit, prepare: at.prepare };
                    SubscriptionMessage::Checkpoint(position)
                }
                Some(read_resp::Content::CaughtUp(_)) => SubscriptionMessage::CaughtUp,
                Some(read_resp::Content::FellBehind(_)) => SubscriptionMessage::FellBehind,
                Some(read_resp::Content::StreamNotFound(_)) => {
                    return Err(self.messages.not_found());
                }
                // positions of the stream's ends, and messages of newer servers
                _ => continue,
            });
        }
    }
}

fn subscription() -> Options {
    Options { amount: Some(options::Amount::Subscription(wire::Empty {})), ..common() }
}

/// The filter on the wire; none when all events pass.
pub(crate) fn filter_to_wire(
    filter: Filter,
    settings: &ClientSettings,
) -> Result<Option<wire::Filter>> {
    let prefixes = |prefix: Vec<String>| {
        if prefix.is_empty() {
            return Err(Error::rejected("filter: expected at least one prefix, actual none"));
        }
        Ok(Expression { regex: String::new(), prefix })
    };
    let expression = |regex: String| {
        if regex.is_empty() {
            return Err(Error::rejected("filter: expected an expression, actual an empty one"));
        }
        Ok(Expression { regex, prefix: Vec::new() })
    };
    let subject = match filter {
        Filter::None => return Ok(None),
        Filter::StreamPrefix(prefix) => Subject::Stream(prefixes(prefix)?),
        Filter::StreamRegex(regex) => Subject::Stream(expression(regex)?),
        Filter::TypePrefix(prefix) => Subject::EventType(prefixes(prefix)?),
        Filter::TypeRegex(regex) => Subject::EventType(expression(regex)?),
    };
    Ok(Some(wire::Filter {
        subject: Some(subject),
        window: Some(Window::Max(settings.filter_window_max)),
        checkpoint_interval_multiplier: settings.filter_checkpoint_windows,
    }))
}

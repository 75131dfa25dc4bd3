//! The tickets of one event, which every place sells by itself: no place asks a home, as for the
//! pieces of a [`Stock`](crate::Stock), and each sells also while the others are away.
//!
//! Each place has an [allotment](crate::Allotment). A sale from it is decided here, at once. When
//! it is too small, the place asks the others, one after the other, for tickets of theirs
//! ([`TicketsCommand::Give`]), waits until the events of these gifts are here, and decides then. A
//! gift whose answer is lost, or that arrives too late for the sale, is for later sales. Tickets
//! are never in two allotments, so no answered sale is taken back.
//!
//! The tickets of a place that is away are not sold elsewhere, and those of a place that is removed
//! from the list of places are lost: let it give them away before.

use std::time::Duration;

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::allotment::{Allotment, Tally, TicketsEvent};

/// Most bytes of the name of a buyer.
pub const BUYER_BYTES_MAX: usize = 100;

/// The receiver of the tickets after a sale, or of the reason why there is none.
type SellReply = ReplyTo<std::result::Result<Tally, String>>;

/// The commands of the tickets of one event.
#[derive(Debug, Serialize, Deserialize)]
pub enum TicketsCommand {
    /// Adds tickets, divided among the places. The answer is the number of tickets.
    Put {
        /// The tickets that came in.
        count: u32,
        /// The receiver of the answer.
        reply_to: ReplyTo<Tally>,
    },
    /// Sells tickets at this place. The answer is the number of tickets, or the reason why none
    /// was sold.
    Sell {
        /// The name of the buyer.
        buyer: String,
        /// The number of tickets, above zero.
        count: u32,
        /// The receiver of the answer.
        reply_to: SellReply,
    },
    /// Gives tickets of this place to another one. The answer is their number: more than `count`
    /// when this place has many, zero when it has none.
    Give {
        /// The place that gets them.
        to: ReplicaId,
        /// The tickets that it needs.
        count: u64,
        /// The receiver of the answer.
        reply_to: ReplyTo<u64>,
    },
    /// Answers with the number of tickets, as seen at this place.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Tally>,
    },
    /// The answers of the other places to a sale; nobody can send it.
    #[serde(skip)]
    Asked {
        /// The name of the buyer.
        buyer: String,
        /// The number of tickets.
        count: u32,
        /// The faults of places that did not give.
        faults: Vec<String>,
        /// The receiver of the answer.
        reply_to: SellReply,
    },
}

/// The behaviour of tickets.
pub struct Tickets {
    gifts_within: Duration,
}

impl Tickets {
    /// The name of the type.
    pub const TYPE: &str = "tickets";

    /// The tickets of an event. A sale waits for each gift of another place at most this time.
    pub fn new(gifts_within: Duration) -> Self {
        Self { gifts_within }
    }

    /// The tickets of each event: a replica at each place.
    pub fn provider(gifts_within: Duration) -> ReplicatedEntityProvider<Self> {
        let tickets = move |_: &ReplicationId| Self::new(gifts_within);
        ReplicatedEntityProvider::at_each_place(Self::TYPE, tickets)
    }

    fn sell(
        &self,
        context: &CommandContext,
        tickets: &Allotment,
        (buyer, count): (String, u32),
        reply_to: SellReply,
    ) -> Effect<Self> {
        if let Err(why) = is_sale(&buyer, count) {
            return self.reply(reply_to, Err(why));
        }
        let here = context.replica_id().clone();
        let missing = match tickets.sell(&buyer, count, &here) {
            Ok(event) => return self.sold(event, here, reply_to),
            Err(missing) => missing,
        };
        let others: u64 = missing.elsewhere.values().copied().fold(0, u64::saturating_add);
        if others < missing.missing {
            return self.reply(reply_to, Err(too_few(tickets, &[])));
        }
        let at = |place: &ReplicaId| {
            let place = context.entity_ref_at(Self::TYPE, context.entity_id(), place);
            place.map(|place: EntityRef<TicketsCommand>| place.with_ask_timeout(self.gifts_within))
        };
        let places = missing.elsewhere.keys().map(|place| Ok((place.clone(), at(place)?)));
        let places: Result<Vec<_>> = places.collect();
        let (places, home) = match (places, at(&here)) {
            (Ok(places), Ok(home)) => (places, home),
            (Err(error), _) | (_, Err(error)) => {
                return self.reply(reply_to, Err(error.to_string()));
            }
        };
        self.none().then_asynchronous(
            move |_| gather(home, here, places, missing.missing),
            move |faults| {
                let faults = faults.unwrap_or_else(|failure| vec![failure.to_string()]);
                TicketsCommand::Asked { buyer, count, faults, reply_to }
            },
        )
    }

    fn sold(&self, event: TicketsEvent, here: ReplicaId, reply_to: SellReply) -> Effect<Self> {
        self.persist(event).then_reply(reply_to, move |tickets| Ok(tickets.tally(&here)))
    }

    fn give(
        &self,
        context: &CommandContext,
        tickets: &Allotment,
        (to, count): (ReplicaId, u64),
        reply_to: ReplyTo<u64>,
    ) -> Effect<Self> {
        let here = context.replica_id();
        // a gift to nobody would be lost
        let is_other = to != *here && context.all_replicas().contains(&to);
        match is_other.then(|| tickets.give(count, here, to)).flatten() {
            Some((given, event)) => self.persist(event).then_reply(reply_to, move |_| given),
            None => self.reply(reply_to, 0),
        }
    }
}

fn is_sale(buyer: &str, count: u32) -> std::result::Result<(), String> {
    if count == 0 {
        return Err("`count`: expected above 0, actual 0".to_owned());
    }
    if buyer.len() > BUYER_BYTES_MAX {
        let actual = buyer.len();
        return Err(format!(
            "`buyer`: expected at most {BUYER_BYTES_MAX} bytes, actual {actual}: shorten it"
        ));
    }
    Ok(())
}

/// The reason why a sale is refused.
fn too_few(tickets: &Allotment, faults: &[String]) -> String {
    let left = tickets.left();
    if faults.is_empty() {
        return format!("{left} tickets are left");
    }
    format!("{left} tickets are left, and not here: try again later: {}", faults.join("; "))
}

/// Asks other places for tickets until `here` has as many as it needs, and waits until their
/// events are here. Returns the faults.
async fn gather(
    mut home: EntityRef<TicketsCommand>,
    here: ReplicaId,
    places: Vec<(ReplicaId, EntityRef<TicketsCommand>)>,
    mut missing: u64,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, tickets) in places {
        if missing == 0 {
            break;
        }
        let give = |reply_to| TicketsCommand::Give { to: here.clone(), count: missing, reply_to };
        match tickets.ask_with_version(give).await {
            Ok((given, token)) => {
                missing = missing.saturating_sub(given);
                home = home.after(&token);
            }
            Err(error) => faults.push(format!("{place}: {error}")),
        }
    }
    // the answer comes after the events of the gifts
    if let Err(error) = home.ask(|reply_to| TicketsCommand::Get { reply_to }).await {
        faults.push(format!("{here}: {error}"));
    }
    faults
}

impl EventSourced for Tickets {
    type Command = TicketsCommand;
    type Event = TicketsEvent;
    type State = Allotment;

    fn on_command(
        &self,
        context: &CommandContext,
        tickets: &Allotment,
        command: TicketsCommand,
    ) -> Effect<Self> {
        let here = context.replica_id().clone();
        match command {
            TicketsCommand::Get { reply_to } => self.reply(reply_to, tickets.tally(&here)),
            TicketsCommand::Put { count, reply_to } => self
                .persist_all(tickets.put(count, &here, context.all_replicas()))
                .then_reply(reply_to, move |tickets| tickets.tally(&here)),
            TicketsCommand::Sell { buyer, count, reply_to } => {
                self.sell(context, tickets, (buyer, count), reply_to)
            }
            TicketsCommand::Give { to, count, reply_to } => {
                self.give(context, tickets, (to, count), reply_to)
            }
            TicketsCommand::Asked { buyer, count, faults, reply_to } => {
                match tickets.sell(&buyer, count, &here) {
                    Ok(event) => self.sold(event, here, reply_to),
                    Err(_) => self.reply(reply_to, Err(too_few(tickets, &faults))),
                }
            }
        }
    }

    fn on_event(&self, context: &EventContext, tickets: &mut Allotment, event: &TicketsEvent) {
        tickets.apply(event, context);
    }
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Put(u32),
    Sell { buyer: String, count: u32 },
}

impl HttpEntity for Tickets {
    fn on_get() -> Option<Ask<TicketsCommand>> {
        Some(Ask::new(|reply_to| TicketsCommand::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<TicketsCommand>> {
        Ok(match body.read()? {
            Posted::Put(count) => Ask::new(move |reply_to| TicketsCommand::Put { count, reply_to }),
            Posted::Sell { buyer, count } => {
                Ask::fallible(move |reply_to| TicketsCommand::Sell { buyer, count, reply_to })
            }
        })
    }

    fn expected() -> &'static str {
        r#"{"put": 100} or {"sell": {"buyer": "..", "count": 2}}"#
    }
}

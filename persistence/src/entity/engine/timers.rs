//! The timers of an entity at work: which are due, and which command each gives.
//!
//! ```text
//!            start               its time has come            its turn has come
//!   (none) --------> running ----------------------> fired ---------------------> (none), or
//!                       ^      a ticket goes into             once                running again
//!                       |      the inbox                        |  delay, rate
//!                       +---------------------------------------+
//! ```
//!
//! A timer that fires puts a *ticket* into the inbox, not a command: the command is made when the
//! ticket's turn comes. So a cancelled timer has no command that waits, a timer never has more than
//! one ticket there, and the application's code runs where commands are handled. The tickets of a
//! cancelled or replaced timer name nothing any more.
//!
//! One wake is under way for all timers of an entity, for the earliest time. A later time is asked
//! for when that wake has come: a receive timeout that every command puts off costs one wake for
//! each of its times, not one for each command.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_base::guard;
use tokio::time::Instant;

use super::shared::Shared;
use crate::entity::timer::{MakeCommand, Order, Repeat, Source, Timer, TimerKey};
use crate::entity::{EntityCounters, EventSourced};

/// The number of one start of a timer, which its ticket names.
pub(super) type Ticket = u64;

/// The timers of an entity. An entity that never started one has no memory for them.
pub(super) struct Timers<C>(Option<Box<All<C>>>);

struct All<C> {
    keys: BTreeMap<TimerKey, Ticket>,
    timers: BTreeMap<Ticket, Running<C>>,
    /// The timers whose time has not come.
    due: BTreeSet<(Instant, Ticket)>,
    receive: Option<Receive<C>>,
    last: Ticket,
    /// The time of the wake that is under way.
    wake_at: Option<Instant>,
}

struct Running<C> {
    key: TimerKey,
    /// The time at which the timer fires, or has fired.
    at: Instant,
    source: Source<C>,
}

/// The receive timeout.
struct Receive<C> {
    ticket: Ticket,
    after: Duration,
    /// The time of the last command.
    since: Instant,
    has_fired: bool,
    make: MakeCommand<C>,
}

impl<C> Receive<C> {
    fn at(&self) -> Instant {
        self.since + self.after
    }
}

impl<C: Send + 'static> Timers<C> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// The number of timers, without the receive timeout.
    pub(super) fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.keys.len())
    }

    /// The reason why these orders cannot be carried out; `None`: they can.
    pub(super) fn refusal(&self, orders: &[Order<C>], timers_max: usize) -> Option<String> {
        if orders.is_empty() {
            return None;
        }
        if let Some(reason) = orders.iter().find_map(|order| order.check().err()) {
            return Some(reason);
        }
        let mut keys: BTreeSet<&str> =
            self.0.iter().flat_map(|all| all.keys.keys()).map(|key| &**key).collect();
        for order in orders {
            match order {
                Order::Start(key, _) => drop(keys.insert(key)),
                Order::Cancel(key) => drop(keys.remove(&**key)),
                Order::Receive(..) | Order::CancelReceive => {}
            }
            if keys.len() > timers_max {
                return Some(format!(
                    "{} timers: expected at most {timers_max} (`timers_max`)",
                    keys.len()
                ));
            }
        }
        None
    }

    /// Carries out orders that are not [refused](Self::refusal).
    pub(super) fn apply<E>(&mut self, shared: &Shared<E>, now: Instant, orders: Vec<Order<C>>)
    where
        E: EventSourced<Command = C>,
    {
        for order in orders {
            // the values of a timer that is replaced or cancelled are the application's
            let _ = guard::call("Drop of a timer", &shared.id, || match order {
                Order::Start(key, timer) => drop(self.all().start(now, key, timer)),
                Order::Cancel(key) => drop(self.0.as_mut().and_then(|all| all.cancel(&key))),
                Order::Receive(after, make) => {
                    drop(self.all().set_receive(now, Some((after, make))));
                }
                Order::CancelReceive => {
                    drop(self.0.as_mut().and_then(|all| all.set_receive(now, None)));
                }
            });
        }
    }

    fn all(&mut self) -> &mut All<C> {
        self.0.get_or_insert_with(|| {
            Box::new(All {
                keys: BTreeMap::new(),
                timers: BTreeMap::new(),
                due: BTreeSet::new(),
                receive: None,
                last: 0,
                wake_at: None,
            })
        })
    }

    /// Notes that a command is taken: the receive timeout begins anew.
    #[inline]
    pub(super) fn received(&mut self, now: Instant) {
        if let Some(receive) = self.0.as_mut().and_then(|all| all.receive.as_mut()) {
            receive.since = now;
        }
    }

    /// Takes the wake that was under way. Returns the tickets of the timers whose time has come,
    /// the earliest first.
    pub(super) fn wake(&mut self, now: Instant) -> Vec<Ticket> {
        let Some(all) = &mut self.0 else { return Vec::new() };
        all.wake_at = None;
        let mut fired = Vec::new();
        while let Some((at, ticket)) = all.due.first().copied()
            && at <= now
        {
            all.due.pop_first();
            fired.push(ticket);
        }
        if let Some(receive) = &mut all.receive
            && !receive.has_fired
            && receive.at() <= now
        {
            receive.has_fired = true;
            fired.push(receive.ticket);
        }
        fired
    }

    /// The command of a ticket whose turn has come. A timer that repeats has its next time then.
    /// `None`: its timer was cancelled or replaced, a command came before the turn of the receive
    /// timeout, or the application failed to make the command.
    pub(super) fn take<E>(&mut self, shared: &Shared<E>, now: Instant, ticket: Ticket) -> Option<C>
    where
        E: EventSourced<Command = C>,
    {
        let all = self.0.as_mut()?;
        if let Some(mut receive) = all.receive.take_if(|receive| receive.ticket == ticket) {
            receive.has_fired = false;
            if receive.at() > now {
                all.receive = Some(receive);
                return None;
            }
            let (command, make) = made(shared, receive.make)?;
            all.receive = Some(Receive { make, since: now, ..receive });
            return Some(command);
        }
        let Running { key, at, source } = all.timers.remove(&ticket)?;
        all.keys.remove(&key);
        let (repeat, make) = match source {
            Source::Once(command) => return Some(command),
            Source::Again(repeat, make) => (repeat, make),
        };
        let (command, make) = made(shared, make)?;
        let at = match repeat {
            Repeat::Delay(every) => now + every,
            Repeat::Rate(every) => next_multiple(at, every, now),
        };
        all.insert(ticket, Running { key, at, source: Source::Again(repeat, make) });
        Some(command)
    }

    /// The time after which a wake is wanted, in place of the one that is under way; `None`: no
    /// other one is wanted.
    pub(super) fn arm(&mut self, now: Instant) -> Option<Duration> {
        let all = self.0.as_mut()?;
        let earliest = all.earliest()?;
        if all.wake_at.is_some_and(|at| at <= earliest) {
            return None;
        }
        all.wake_at = Some(earliest);
        Some(earliest.saturating_duration_since(now))
    }

    /// Drops all timers, under [`antiphon_base::guard`], and counts them.
    pub(super) fn end<E>(self, shared: &Shared<E>)
    where
        E: EventSourced<Command = C>,
    {
        let count = self.count();
        let Some(all) = self.0 else { return };
        let All { timers, receive, .. } = *all;
        if count > 0 {
            EntityCounters::add(&shared.counters.timers_lost, count);
            tracing::debug!(id = %shared.id, count, "timers end with their entity");
        }
        guard::drop_each("Drop of a timer", &shared.id, timers.into_values());
        let _ = guard::call("Drop of a timer", &shared.id, || drop(receive));
    }

    pub(super) fn check(&self, timers_max: usize) {
        let Some(all) = &self.0 else { return };
        assert!(all.timers.len() <= timers_max, "more timers run than `timers_max`");
        assert_eq!(all.keys.len(), all.timers.len(), "each timer has a key");
        for (key, ticket) in &all.keys {
            assert_eq!(all.timers[ticket].key, *key, "a key is of the timer that has it");
            assert!(*ticket <= all.last, "ticket {ticket} was not given");
        }
        for (at, ticket) in &all.due {
            assert_eq!(all.timers[ticket].at, *at, "a timer is due at its time");
        }
        if let Some(earliest) = all.earliest() {
            let is_awaited = all.wake_at.is_some_and(|at| at <= earliest);
            assert!(is_awaited, "no wake is under way for the earliest timer");
        }
    }
}

/// Makes the command of a timer. If the application's code panics, the timer is no more.
fn made<E: EventSourced>(
    shared: &Shared<E>,
    mut make: MakeCommand<E::Command>,
) -> Option<(E::Command, MakeCommand<E::Command>)> {
    if let Ok(command) = guard::call("the command of a timer", &shared.id, &mut make) {
        return Some((command, make));
    }
    EntityCounters::add(&shared.counters.handler_panics, 1);
    let _ = guard::call("Drop of a timer", &shared.id, || drop(make));
    None
}

impl<C> All<C> {
    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        self.last
    }

    /// Starts a timer. Returns the values of the timer that it takes the place of.
    fn start(&mut self, now: Instant, key: TimerKey, timer: Timer<C>) -> Option<Source<C>> {
        let replaced = self.cancel(&key);
        let Timer { first, source } = timer;
        let ticket = self.ticket();
        self.insert(ticket, Running { key, at: now + first, source });
        replaced
    }

    fn insert(&mut self, ticket: Ticket, timer: Running<C>) {
        self.keys.insert(timer.key.clone(), ticket);
        self.due.insert((timer.at, ticket));
        self.timers.insert(ticket, timer);
    }

    fn cancel(&mut self, key: &str) -> Option<Source<C>> {
        let ticket = self.keys.remove(key)?;
        let timer = self.timers.remove(&ticket)?;
        self.due.remove(&(timer.at, ticket));
        Some(timer.source)
    }

    fn set_receive(
        &mut self,
        now: Instant,
        receive: Option<(Duration, MakeCommand<C>)>,
    ) -> Option<MakeCommand<C>> {
        let ticket = self.ticket();
        let receive = receive.map(|(after, make)| Receive {
            ticket,
            after,
            since: now,
            has_fired: false,
            make,
        });
        let before = std::mem::replace(&mut self.receive, receive);
        before.map(|receive| receive.make)
    }

    fn earliest(&self) -> Option<Instant> {
        let timer = self.due.first().map(|(at, _)| *at);
        let receive = self.receive.as_ref().filter(|receive| !receive.has_fired).map(Receive::at);
        timer.into_iter().chain(receive).min()
    }
}

/// The first multiple of `every` after `last` that lies after `now`.
fn next_multiple(last: Instant, every: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(last).as_nanos() % every.as_nanos();
    let late = Duration::from_nanos(u64::try_from(late).unwrap_or(0));
    now.max(last) + (every - late)
}

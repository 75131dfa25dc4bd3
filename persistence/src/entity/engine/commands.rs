//! Commands of an entity at work: each is handled against the newest state, durable or not.

use antiphon_base::guard;
use antiphon_base::time::Timestamp;

use super::applier::Applier;
use super::beside::{Beside, count_failure};
use super::inbox::Inbox;
use super::outbox::{Due, DueBeside};
use super::peers::Peers;
use super::refused::{Besides, not_run, refuse_effect, reject};
use super::reminders::Firing;
use super::shared::Shared;
use super::stream::Stream;
use super::timers::Timers;
use super::{Now, Queued, Release, Slot, firing};
use crate::entity::asynchronous::{OnFailure, Outcome};
use crate::entity::behaviour::{Kind, Rare};
use crate::entity::then::{PreparedParts, Thens};
use crate::entity::timer::Order;
use crate::entity::{AsynchronousFailure, DueReminder, Effect, EntityCounters, EventSourced};
use crate::event::{Metadata, StoredEvent};
use crate::reply::{Claim, CommandEffect, Reason, ReplyError, with_panic_reason};
use crate::{Error, Result};

/// The command whose future is under way.
struct Asynchronous<C> {
    slot: Slot,
    claim: Claim,
    on_failure: Option<OnFailure<C>>,
}

/// The handling of commands, one after the other.
pub(super) struct Commands<C> {
    /// The command whose future is under way; no other command is handled meanwhile.
    asynchronous: Option<Box<Asynchronous<C>>>,
    /// The futures beside the commands; `None`: there was none yet.
    beside: Option<Box<Beside<C>>>,
    /// True after the entity has asked to be stopped.
    passivating: bool,
}

impl<C: Send + 'static> Commands<C> {
    pub(super) fn new() -> Self {
        Self { asynchronous: None, beside: None, passivating: false }
    }

    /// Returns whether a future is under way, or waits for its turn.
    pub(super) fn has_asynchronous(&self) -> bool {
        self.asynchronous.is_some()
    }

    /// Returns whether a future beside the commands is under way, or waits for the disk.
    pub(super) fn has_beside(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| !beside.is_empty())
    }

    /// Ends a future beside the commands. Returns the command that is made of its value, if any.
    pub(super) fn beside_done<E>(
        &mut self,
        shared: &Shared<E>,
        number: u64,
        outcome: Result<Outcome, AsynchronousFailure>,
    ) -> Option<Queued<C>>
    where
        E: EventSourced<Command = C>,
    {
        self.beside.as_mut().expect("a future was under way").done(shared, number, outcome)
    }

    /// Ends an asynchronous effect. Returns the command that it made, if any, to be handled first.
    pub(super) fn asynchronous_done<E>(
        &mut self,
        shared: &Shared<E>,
        result: Result<C, AsynchronousFailure>,
    ) -> Option<Queued<C>>
    where
        E: EventSourced<Command = C>,
    {
        let under_way = self.asynchronous.take().expect("a future was under way");
        let Asynchronous { slot, claim, on_failure } = *under_way;
        let command = match (result, on_failure) {
            (Ok(command), on_failure) => {
                let _ = guard::call("Drop of an effect", &shared.id, || drop(on_failure));
                command
            }
            (Err(failure), on_failure) => {
                count_failure(shared, &failure);
                let on_failure = on_failure?;
                let reason = Reason::Known(ReplyError::Unanswered(failure.to_string()));
                let made = with_panic_reason(&claim, reason, || {
                    guard::call("asynchronous_or", &shared.id, || on_failure(failure))
                });
                made.ok()?
            }
        };
        Some(Queued { command, slot, claim: claim.acted() })
    }

    /// Handles a command, unless it is void.
    pub(super) fn handle<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (stream, peers): (&mut Stream<E>, &Peers),
        queued: Queued<C>,
        waiting: (&mut Inbox<C>, &mut Timers<C>),
    ) where
        E: EventSourced<Command = C>,
    {
        if !queued.claim.take(now.instant) {
            return queued.expire(&shared.counters);
        }
        let Queued { command, slot, claim } = queued;
        claim.tell(Ok(()));
        EntityCounters::add(&shared.counters.commands_handled, 1);
        let time = stream.tick(now);
        // a command whose handler panics has stored nothing, and its `ReplyTo` is dropped on the
        // way out
        let reason = Reason::Panicked("on_command", CommandEffect::None);
        let decided =
            with_panic_reason(&claim, reason, || stream.decide(shared, command, claim.metadata()));
        let Ok(decided) = decided else {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            firing::given_up(shared, stream);
            return claim.end();
        };
        self.carry_out(shared, now, (stream, peers), (time, decided), (slot, claim), waiting);
    }

    /// Calls the handler of a reminder that is due.
    pub(super) fn fire<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (stream, peers): (&mut Stream<E>, &Peers),
        (due, slot): (&DueReminder, Slot),
        waiting: (&mut Inbox<C>, &mut Timers<C>),
    ) where
        E: EventSourced<Command = C>,
    {
        let time = stream.tick(now);
        let Ok(mut decided) = stream.remind(shared, due) else {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            return firing::given_up(shared, stream);
        };
        if matches!(decided.kind, Kind::Unhandled) {
            EntityCounters::add(&shared.counters.reminders_unhandled, 1);
            tracing::warn!(id = %shared.id, name = %due.name, "a reminder is due, and the behaviour has no `on_reminder` for it");
            decided.kind = Kind::None;
        }
        let claim = Claim::unlimited();
        self.carry_out(shared, now, (stream, peers), (time, decided), (slot, claim), waiting);
    }

    /// Calls the handler of an event of another replica, which is durable here.
    pub(super) fn react<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (stream, peers): (&mut Stream<E>, &Peers),
        event: &StoredEvent,
        (inbox, timers): (&mut Inbox<C>, &mut Timers<C>),
    ) where
        E: EventSourced<Command = C>,
    {
        // an event that cannot be read now was read when it was applied
        let events = Applier::read(shared, event).unwrap_or_default();
        let last = events.len().saturating_sub(1);
        let reactions = stream.applied.reminders.reactions();
        let Some(range) = reactions.map(|reactions| reactions.range(event.sequence_nr)) else {
            return;
        };
        if events.is_empty() {
            firing::fired(stream, Firing::Reaction(range), false);
        }
        for (index, own) in events.into_iter().enumerate() {
            let time = stream.tick(now);
            EntityCounters::add(&shared.counters.reactions, 1);
            let decided = stream.react(shared, &own, &event.meta);
            let _ = guard::call("Drop of an event", &shared.id, || drop(own));
            if index == last {
                stream.applied.reminders.goes_on(Firing::Reaction(range));
            }
            let Ok(decided) = decided else {
                EntityCounters::add(&shared.counters.handler_panics, 1);
                firing::given_up(shared, stream);
                continue;
            };
            let (slot, claim) = (Slot::default(), Claim::unlimited());
            let waiting = (&mut *inbox, &mut *timers);
            self.carry_out(
                shared,
                now,
                (&mut *stream, peers),
                (time, decided),
                (slot, claim),
                waiting,
            );
        }
    }

    /// Carries out the effect of a command, of a reminder, or of a reaction.
    fn carry_out<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (stream, peers): (&mut Stream<E>, &Peers),
        (time, mut decided): (Timestamp, Effect<E>),
        (slot, claim): (Slot, Claim),
        (inbox, timers): (&mut Inbox<C>, &mut Timers<C>),
    ) where
        E: EventSourced<Command = C>,
    {
        let Rare { beside, metadata, timers: orders, reminders } = decided.take_rare();
        let Effect { kind, then, stop, unstash, .. } = decided;
        let firing = stream.applied.reminders.take_firing();
        let has_events = matches!(&kind, Kind::Persist(events) if !events.is_empty());
        let goes_on = matches!(kind, Kind::Asynchronous(..));
        // the effect's own entries replace those that came with the command
        let merge = |own: Metadata| claim.metadata().merged(&own).map_err(Box::new);
        let has_own = metadata.as_ref().is_ok_and(|own| !own.is_empty());
        let given = allowed(shared, (timers, &orders), metadata.and_then(merge)).and_then(|own| {
            firing::notes(shared, stream, reminders, firing.as_ref(), has_events)
                .map(|notes| Given { time, metadata: own, has_own, notes })
        });
        let given = match given {
            Ok(given) => given,
            Err(error) => {
                firing::refused(shared, stream, firing);
                guard::drop_each("Drop of a timer", &shared.id, orders);
                return refuse_effect(shared, stream, &claim, kind, (then, beside), error);
            }
        };
        if unstash {
            // before the command itself is stashed: that one waits for the next time
            inbox.unstash_all();
        }
        let run =
            self.run_effect(shared, given, (stream, peers), (kind, then, beside), (slot, claim));
        match &run {
            Ok(_) => timers.apply(shared, now.instant, orders),
            Err(Rejected) => guard::drop_each("Drop of a timer", &shared.id, orders),
        }
        match (&run, firing) {
            (_, None) => {}
            (Ok(_), Some(firing)) if goes_on => stream.applied.reminders.goes_on(firing),
            (Ok(_), Some(firing)) => firing::fired(stream, firing, has_events),
            (Err(Rejected), firing) => firing::refused(shared, stream, firing),
        }
        if let Ok(Some(queued)) = run
            && let Some(slot) = inbox.stash(shared, now, queued)
        {
            stream.defer(Due::Release(Release::of_slot(slot)));
        }
        if stop && !self.passivating {
            self.passivating = true;
            stream.defer(Due::Passivate);
        }
    }

    /// Runs the effect of a command. Returns the command if it is to be stashed.
    ///
    /// # Errors
    /// The events of the command cannot be stored; its askers know.
    fn run_effect<E>(
        &mut self,
        shared: &Shared<E>,
        given: Given,
        (stream, peers): (&mut Stream<E>, &Peers),
        (kind, then, beside): (Kind<E>, Thens<E::State>, Besides<E>),
        (slot, claim): (Slot, Claim),
    ) -> Result<Option<Queued<C>>, Rejected>
    where
        E: EventSourced<Command = C>,
    {
        let Given { time, metadata, has_own, notes } = given;
        let mut stored = None;
        match kind {
            Kind::Persist(events) => {
                match stream.persist_own(shared, (time, metadata, notes), events, peers) {
                    Ok(last) => stored = last,
                    Err(error) => {
                        reject(shared, &claim, (then, beside), error);
                        return Err(Rejected);
                    }
                }
            }
            Kind::None => {}
            Kind::Unhandled => {
                EntityCounters::add(&shared.counters.commands_unhandled, 1);
                tracing::debug!(id = %shared.id, "a command was not handled");
            }
            Kind::Stash(command) => {
                not_run(shared, &claim, (then, beside, has_own), "`Effect::stash`");
                return Ok(Some(Queued { command, slot, claim }));
            }
            Kind::Asynchronous(future, on_failure) => {
                not_run(shared, &claim, (then, beside, has_own), "`Effect::asynchronous`");
                assert!(self.asynchronous.is_none(), "`{}`: a second future", shared.id);
                stream.defer(Due::Asynchronous(future, claim.clone()));
                self.asynchronous = Some(Box::new(Asynchronous { slot, claim, on_failure }));
                return Ok(None);
            }
        }
        let state = &stream.applied.state;
        let mut prepared = PreparedParts::new();
        for then in then {
            prepared.push(then.prepare(state));
        }
        if !beside.is_empty() {
            self.begin_beside(shared, stream, beside, &claim);
        }
        let release = Release { prepared, stored, claim, _slot: slot };
        stream.defer(Due::Release(release));
        Ok(None)
    }

    /// Makes the futures beside the commands that a command with this claim wants. They begin when
    /// everything that the command could have seen is durable.
    fn begin_beside<E>(
        &mut self,
        shared: &Shared<E>,
        stream: &mut Stream<E>,
        besides: Besides<E>,
        claim: &Claim,
    ) where
        E: EventSourced<Command = C>,
    {
        let table = self.beside.get_or_insert_with(|| Box::new(Beside::new()));
        for then in besides {
            let (number, future) = table.begin(shared, &stream.applied.state, claim, then);
            let claim = claim.clone();
            stream.defer(Due::Beside(Box::new(DueBeside { number, future, claim })));
        }
    }

    /// Drops the futures that are under way, under [`antiphon_base::guard`]. Askers that wait for
    /// an answer from a future beside the commands get `answer`, with an unknown effect.
    pub(super) fn end<E>(self, shared: &Shared<E>, answer: &ReplyError)
    where
        E: EventSourced<Command = C>,
    {
        let _ = guard::call("Drop of an effect", &shared.id, || drop(self.asynchronous));
        if let Some(beside) = self.beside {
            beside.end(answer);
        }
    }

    pub(super) fn check(&self) {
        if let Some(beside) = &self.beside {
            beside.check();
        }
    }
}

/// The metadata of an effect, unless it is beyond its bounds or the effect has too many timers.
///
/// # Errors
/// `Rejected`, with what was expected.
fn allowed<E: EventSourced>(
    shared: &Shared<E>,
    (timers, orders): (&Timers<E::Command>, &[Order<E::Command>]),
    metadata: Result<Metadata, Box<Error>>,
) -> Result<Metadata, ReplyError> {
    if let Some(reason) = timers.refusal(orders, shared.settings.timers_max) {
        EntityCounters::add(&shared.counters.timers_refused, 1);
        return Err(ReplyError::Rejected(reason));
    }
    metadata.map_err(|error| ReplyError::Rejected(error.to_string()))
}

/// The events of a command cannot be stored.
struct Rejected;

/// The time and the metadata of the events of a command.
struct Given {
    time: Timestamp,
    /// The metadata of the command, with the effect's own entries.
    metadata: Metadata,
    /// True when the effect has own entries.
    has_own: bool,
    /// The notes about reminders.
    notes: Option<Box<str>>,
}

//! Commands of an entity at work: each is handled against the newest state, durable or not.

use std::time::Duration;

use antiphon_base::guard;
use antiphon_base::time::Timestamp;

use super::beside::{Beside, count_failure};
use super::given::{Given, Rejected, allowed};
use super::inbox::Inbox;
use super::outbox::{Due, DueBeside};
use super::peers::Peers;
use super::refused::{Besides, not_run, refuse_effect, reject};
use super::shared::Shared;
use super::stream::Stream;
use super::timers::Timers;
use super::{Now, Queued, Release, Slot, firing, once};
use crate::Result;
use crate::entity::asynchronous::{OnFailure, Outcome};
use crate::entity::behaviour::{Kind, Rare};
use crate::entity::then::{PreparedParts, Thens};
use crate::entity::versioned::with_version;
use crate::entity::{AsynchronousFailure, DueReminder, Effect, EntityCounters, EventSourced};
use crate::event::Metadata;
use crate::reply::{Claim, CommandEffect, Reason, ReplyError, lending_claim, with_panic_reason};
use crate::version::SessionToken;

/// The command whose future is under way.
struct Asynchronous<C> {
    number: u64,
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

    /// The number of the future that holds up the commands, which no other one of the entity has.
    pub(super) fn held_up_by(&self) -> Option<u64> {
        self.asynchronous.as_ref().map(|under_way| under_way.number)
    }

    /// Returns whether a future beside the commands is under way, or waits for the disk.
    pub(super) fn has_beside(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| !beside.is_empty())
    }

    /// Ends a future beside the commands. The command that is made of its value goes into the
    /// inbox.
    pub(super) fn beside_done<E>(
        &mut self,
        shared: &Shared<E>,
        number: u64,
        outcome: Result<Outcome, AsynchronousFailure>,
        inbox: &mut Inbox<C>,
    ) where
        E: EventSourced<Command = C>,
    {
        self.beside.as_mut().expect("a future was under way").done(shared, number, outcome, inbox);
    }

    /// The futures beside the commands, and the requests whose handling goes on.
    fn table(&mut self) -> &mut Beside<C> {
        self.beside.get_or_insert_with(|| Box::new(Beside::new()))
    }

    /// Notes that a command of a future of this request has ended, or that there is none.
    pub(super) fn handled(&mut self, request: &str, inbox: &mut Inbox<C>) {
        if let Some(beside) = &mut self.beside {
            beside.open.ended(request, inbox);
        }
    }

    /// Opens the handlings again whose commands were taken over from the life before.
    pub(super) fn reopen<E>(&mut self, shared: &Shared<E>, stream: &Stream<E>, inbox: &Inbox<C>)
    where
        E: EventSourced<Command = C>,
    {
        for id in inbox.followed() {
            self.table().open.begin((&id, None), once::own_first(shared, stream, &id));
        }
    }

    /// Drops the repetitions that wait and whose askers have given up. Returns the time after which
    /// the engine must be woken for the next one.
    pub(super) fn expire(&mut self, counters: &EntityCounters, now: Now) -> Option<Duration> {
        let open = &mut self.beside.as_mut()?.open;
        open.expire(counters, now.instant);
        open.arm(now.instant)
    }

    /// The request of a future whose command has this claim.
    fn follows(&self, claim: &Claim) -> Option<Box<str>> {
        let beside = self.beside.as_ref()?;
        let request = claim.request().filter(|_| claim.has_acted())?;
        beside.open.has(request).then(|| request.into())
    }

    /// Ends an asynchronous effect. Returns the command that it made, if any, to be handled first.
    pub(super) fn asynchronous_done<E>(
        &mut self,
        shared: &Shared<E>,
        result: Result<C, AsynchronousFailure>,
        inbox: &mut Inbox<C>,
    ) -> Option<Queued<C>>
    where
        E: EventSourced<Command = C>,
    {
        let under_way = self.asynchronous.take().expect("a future was under way");
        let Asynchronous { number: _, slot, claim, on_failure } = *under_way;
        let command = match (result, on_failure) {
            (Ok(command), on_failure) => {
                let _ = guard::call("Drop of an effect", &shared.id, || drop(on_failure));
                Some(command)
            }
            (Err(failure), on_failure) => {
                count_failure(shared, &failure);
                let reason = Reason::Known(ReplyError::Unanswered(failure.to_string()));
                on_failure.and_then(|on_failure| {
                    let made = with_panic_reason(&claim, reason, || {
                        guard::call("asynchronous_or", &shared.id, || on_failure(failure))
                    });
                    made.ok()
                })
            }
        };
        let Some(command) = command else {
            if let Some(id) = claim.request() {
                self.handled(id, inbox);
            }
            return None;
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
        let follows = self.follows(&queued.claim);
        let open = self.beside.as_mut().map(|beside| &mut beside.open);
        let Some(queued) = once::admit(shared, stream, open, (now, queued)) else {
            if let Some(id) = follows {
                self.handled(&id, waiting.0);
            }
            return;
        };
        let Queued { command, slot, claim } = queued;
        claim.tell(Ok(()));
        EntityCounters::add(&shared.counters.commands_handled, 1);
        let time = stream.tick(now);
        // a command whose handler panics has stored nothing, and its `ReplyTo` is dropped on the
        // way out
        let reason = Reason::Panicked("on_command", CommandEffect::None);
        let metadata = claim.metadata().clone();
        let (decided, claim) =
            lending_claim(claim, reason, || stream.decide(shared, command, metadata));
        let Ok(decided) = decided else {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            firing::given_up(shared, stream);
            claim.end();
            if let Some(id) = follows {
                self.handled(&id, waiting.0);
            }
            return;
        };
        let (inbox, timers) = waiting;
        let waiting = (&mut *inbox, timers);
        let around = (&mut *stream, peers);
        let stashed = self.carry_out(shared, now, around, (time, decided), (slot, claim), waiting);
        let Some(id) = follows else { return };
        if let Some(beside) = &mut self.beside {
            beside.open.stored(&id, once::own_first(shared, stream, &id));
        }
        if !stashed {
            self.handled(&id, inbox);
        }
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
        let _ =
            self.carry_out(shared, now, (stream, peers), (time, decided), (slot, claim), waiting);
    }

    /// Carries out the effect of a command, of a reminder, or of a reaction. Returns whether the
    /// command is in the stash now.
    pub(super) fn carry_out<E>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (stream, peers): (&mut Stream<E>, &Peers),
        (time, mut decided): (Timestamp, Effect<E>),
        (slot, claim): (Slot, Claim),
        (inbox, timers): (&mut Inbox<C>, &mut Timers<C>),
    ) -> bool
    where
        E: EventSourced<Command = C>,
    {
        let Rare { beside, metadata, timers: orders, reminders } = decided.take_rare();
        let Effect { kind, then, stop, unstash, .. } = decided;
        let firing = stream.applied.reminders.take_firing();
        let has_events = matches!(&kind, Kind::Persist(events) if !events.is_empty());
        let goes_on = matches!(kind, Kind::Asynchronous(..));
        // the effect's own entries replace those that came with the command
        let of_command = match claim.request() {
            None => claim.metadata().clone(),
            Some(_) => claim.metadata().clone().without_request(),
        };
        let merge = |own: Metadata| of_command.merged(&own).map_err(Box::new);
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
                refuse_effect(shared, stream, &claim, kind, (then, beside), error);
                return false;
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
        let stashed = run.ok().flatten().and_then(|queued| inbox.stash(shared, now, queued));
        let is_stashed = stashed.is_some();
        if let Some(slot) = stashed
            && slot.mailbox().is_some()
        {
            stream.defer(Due::Release(Release::of_slot(slot)));
        }
        if stop && !self.passivating {
            self.passivating = true;
            stream.defer(Due::Passivate);
        }
        is_stashed
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
        let mut own = None;
        match kind {
            Kind::Persist(events) => {
                let notes = once::notes(shared, stream, time, (&claim, notes));
                match stream.apply_own(shared, time, (metadata.clone(), notes), events) {
                    Ok(applied) => own = Some(applied),
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
                // the times of an entity rise, also over its lives
                let number = time.as_micros();
                if let Some(id) = claim.metadata().request_id() {
                    let first = once::own_first(shared, stream, id.as_str());
                    self.table().open.begin((id.as_str(), id.content()), first);
                }
                stream.defer(Due::Asynchronous(future, claim.clone(), number));
                let under_way = Asynchronous { number, slot, claim, on_failure };
                self.asynchronous = Some(Box::new(under_way));
                return Ok(None);
            }
        }
        let state = &stream.applied.state;
        let mut prepared = PreparedParts::new();
        for then in then {
            prepared.push(then.prepare(state));
        }
        if let Some(request) = claim.request() {
            let group = own.as_mut().map_or(&mut [][..], |own| &mut own.group[..]);
            let goes_on = !beside.is_empty();
            once::keep_answer(shared, stream, (request, &prepared, goes_on), group);
        }
        let stored = own.and_then(|own| stream.collect_own(shared, own, peers, &metadata));
        let prepared = with_version(prepared, &claim, (&shared.id, stream.applied.seen()));
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
        let first = claim.request().and_then(|id| once::own_first(shared, stream, id));
        let table = self.table();
        for then in besides {
            let claimed = (claim, first);
            let (number, future) = table.begin(shared, &stream.applied.state, claimed, then);
            let token = claim
                .wants_version()
                .then(|| SessionToken::new(&shared.id, stream.applied.seen().clone()));
            let claim = claim.clone();
            stream.defer(Due::Beside(Box::new(DueBeside { number, future, claim, token })));
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

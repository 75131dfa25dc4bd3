//! The call of the handler of reactions, for one event of another replica.

use antiphon_base::guard;

use super::applier::Applier;
use super::commands::Commands;
use super::firing;
use super::inbox::Inbox;
use super::peers::Peers;
use super::reminders::Firing;
use super::shared::Shared;
use super::stream::Stream;
use super::timers::Timers;
use super::{Now, Slot};
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{EventMeta, StoredEvent};
use crate::reply::Claim;

impl<C: Send + 'static> Commands<C> {
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
        let Some(reactions) = stream.applied.reminders.reactions() else { return };
        let mut events = match Applier::read(shared, event) {
            Ok(events) => events.into_iter(),
            // its row comes again: that of an event of an earlier life (perhaps of another release)
            // at once, and that of an event of this life in the next one, since the reactions to
            // the events behind it would count for it too
            Err(why) => {
                tracing::error!(id = %shared.id, number = %event.sequence_nr, %why, "an event waits for its reaction until a version that reads it");
                EntityCounters::add(&shared.counters.reactions_failed, 1);
                if !reactions.is_of_this_life(event.sequence_nr) {
                    return reactions.leave();
                }
                return stream.applied.spoil(why);
            }
        };
        let range = reactions.range(event.sequence_nr);
        let done = reactions.parts_done(event.sequence_nr);
        let earlier = events.by_ref().take(usize::try_from(done).unwrap_or(usize::MAX));
        guard::drop_each("Drop of an event", &shared.id, earlier);
        let Some(part) = events.next() else {
            return firing::fired(stream, Firing::Reaction(range, None), false);
        };
        let has_more = events.len() > 0;
        guard::drop_each("Drop of an event", &shared.id, events);
        let parts = has_more.then(|| done.saturating_add(1));
        if let Some(parts) = parts {
            reactions.reacted_in_part(range, Some(parts));
            reactions.again(event.clone());
        }
        let time = stream.tick(now);
        EntityCounters::add(&shared.counters.reactions, 1);
        // the answer is for repetitions alone
        let has_answer = event.meta.labels.metadata().answer().is_some();
        let shown = has_answer.then(|| {
            let labels = event.meta.labels.without_answer();
            EventMeta { labels, ..event.meta.clone() }
        });
        let decided = stream.react(shared, &part, shown.as_ref().unwrap_or(&event.meta));
        let _ = guard::call("Drop of an event", &shared.id, || drop(part));
        stream.applied.reminders.goes_on(Firing::Reaction(range, parts));
        let Ok(decided) = decided else {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            return firing::given_up(shared, stream);
        };
        let (slot, claim) = (Slot::default(), Claim::unlimited());
        let around = (&mut *stream, peers);
        let _ =
            self.carry_out(shared, now, around, (time, decided), (slot, claim), (inbox, timers));
    }
}

//! The behaviour under test, with a record of its decisions. Every function of the trait is passed
//! on: the engine runs the behaviour of the application.

use std::sync::Arc;

use antiphon_base::guard;

use super::codec;
use super::did::look;
use super::watch::Watch;
use crate::Result;
use crate::codec::CodecId;
use crate::entity::behaviour::Kind;
use crate::entity::{
    CommandContext, DueReminder, Effect, EventContext, EventSourced, EventType, Signal,
};
use crate::event::{EventMeta, Metadata, Payload, SequenceNr, Tags};
use crate::identity::ReplicationId;
use crate::shape::StoredTypes;

/// A behaviour with a record of its decisions.
pub(super) struct Watched<E> {
    pub(super) behaviour: Arc<E>,
    pub(super) watch: Watch,
    /// True when the events are checked.
    pub(super) checks: bool,
    /// True for a rehearsal, in which only state follows from events: the behaviour hears of no
    /// signal and does not react.
    pub(super) is_rehearsal: bool,
}

/// Notes a panic of the application's function, on its way through.
struct Called<'a>(&'a Watch, &'static str);

impl Drop for Called<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked(self.1);
        }
    }
}

impl<E: EventSourced> Watched<E> {
    fn call(&self, what: &'static str) -> Called<'_> {
        Called(&self.watch, what)
    }

    fn decided(&self, effect: Effect<E>) -> Effect<Self> {
        let mut faults = Vec::new();
        if let Kind::Persist(events) = &effect.kind
            && self.checks
        {
            for event in events {
                // after a panic the engine meets it again
                let fault = guard::call("Serialize of an event", &"a test", || {
                    codec::event_fault(&*self.behaviour, event)
                });
                faults.extend(fault.ok().flatten());
            }
        }
        self.watch.decided(look(&effect), faults);
        effect.for_wrapper()
    }
}

impl<E: EventSourced> EventSourced for Watched<E> {
    type Command = E::Command;
    type Event = E::Event;
    type State = E::State;

    fn on_command(
        &self,
        context: &CommandContext,
        state: &E::State,
        command: E::Command,
    ) -> Effect<Self> {
        let called = self.call("on_command");
        let effect = self.behaviour.on_command(context, state, command);
        drop(called);
        self.decided(effect)
    }

    fn on_event(&self, context: &EventContext, state: &mut E::State, event: &E::Event) {
        let _called = self.call("on_event");
        self.behaviour.on_event(context, state, event);
    }

    fn initial_state(&self, id: &ReplicationId) -> E::State {
        let _called = self.call("initial_state");
        self.behaviour.initial_state(id)
    }

    fn event_codec(&self) -> CodecId {
        self.behaviour.event_codec()
    }

    fn event_type(&self, event: &E::Event) -> EventType {
        self.behaviour.event_type(event)
    }

    fn tags(&self, event: &E::Event) -> Tags {
        self.behaviour.tags(event)
    }

    fn to_journal(&self, event: &E::Event) -> Result<Payload> {
        self.behaviour.to_journal(event)
    }

    fn stored_types(&self) -> StoredTypes {
        self.behaviour.stored_types()
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<E::Event>> {
        self.behaviour.from_journal(payload)
    }

    fn snapshot_codec(&self) -> CodecId {
        self.behaviour.snapshot_codec()
    }

    fn snapshot_version(&self) -> u16 {
        self.behaviour.snapshot_version()
    }

    fn to_snapshot(&self, state: &E::State) -> Result<Payload> {
        self.behaviour.to_snapshot(state)
    }

    fn from_snapshot(&self, payload: &Payload) -> Result<E::State> {
        self.behaviour.from_snapshot(payload)
    }

    fn snapshot_when(&self, state: &E::State, event: &E::Event, number: SequenceNr) -> bool {
        self.behaviour.snapshot_when(state, event, number)
    }

    fn snapshot_metadata(&self, context: &CommandContext, state: &E::State) -> Metadata {
        self.behaviour.snapshot_metadata(context, state)
    }

    fn on_reminder(
        &self,
        context: &CommandContext,
        state: &E::State,
        reminder: &DueReminder,
    ) -> Effect<Self> {
        let called = self.call("on_reminder");
        let effect = self.behaviour.on_reminder(context, state, reminder);
        drop(called);
        self.decided(effect)
    }

    fn reacts(&self, id: &ReplicationId) -> bool {
        !self.is_rehearsal && self.behaviour.reacts(id)
    }

    fn on_replicated(
        &self,
        context: &CommandContext,
        state: &E::State,
        event: &E::Event,
        meta: &EventMeta,
    ) -> Effect<Self> {
        let called = self.call("on_replicated");
        let effect = self.behaviour.on_replicated(context, state, event, meta);
        drop(called);
        self.decided(effect)
    }

    fn on_signal(&self, context: &CommandContext, state: &E::State, signal: &Signal) {
        if self.is_rehearsal {
            return;
        }
        self.watch.signalled(signal);
        let _called = self.call("on_signal");
        self.behaviour.on_signal(context, state, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The functions of the first block that begins with `head`.
    fn functions(text: &'static str, head: &str) -> BTreeSet<&'static str> {
        let block = text.split_once(head).expect("the block").1;
        let block = block.split_once("\n}\n").expect("its end").0;
        let lines = block.lines().filter_map(|line| line.strip_prefix("    fn "));
        lines.map(|line| line.split(['(', '<']).next().expect("a name")).collect()
    }

    #[test]
    fn every_function_of_a_behaviour_is_passed_on() {
        let all = functions(include_str!("../behaviour.rs"), "pub trait EventSourced");
        let ours = functions(include_str!("watched.rs"), "> EventSourced for Watched");
        assert!(all.len() >= 15, "{all:?}");
        assert_eq!(all, ours, "pass the new function on in `Watched`");
    }
}

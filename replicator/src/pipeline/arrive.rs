//! Deliveries: a new event is queued in order, a repeated one replaces its earlier delivery.

use std::sync::Arc;

use super::core::{Out, Phase, Pipeline};
use super::queue::{Block, Item, key_of};
use super::source_link::SourceState;
use super::timers::Timer;
use super::{Generation, Note, Now, Seq};
use crate::event::Envelope;
use crate::source::{Delivery, Verdict};

impl Pipeline {
    pub(super) fn arrived(
        &mut self,
        now: Now,
        generation: Generation,
        deliveries: Vec<Delivery>,
        out: &mut Out,
    ) {
        // an earlier opening may still have deliveries in its queue; the source delivers them again
        if self.source.state() != SourceState::Open(generation) || self.phase != Phase::Running {
            return;
        }
        self.source.has_delivered();
        for delivery in deliveries {
            match delivery {
                Delivery::Event(envelope) => self.take(now, *envelope),
                Delivery::Unresolved(envelope) => {
                    let reason = "the link's target is gone".to_owned();
                    self.pass(&envelope, Verdict::Skip(reason), out);
                    out.note(Note::Unresolved(envelope));
                }
                Delivery::Excluded(envelope) => {
                    self.pass(&envelope, Verdict::Ack, out);
                    let reason = "left out by a filter".to_owned();
                    out.note(Note::Skipped { envelope, reason });
                }
                Delivery::Mark(position) => self.watermark.passed(Some(&position)),
                Delivery::CaughtUp => out.note(Note::CaughtUp),
                Delivery::FellBehind => out.note(Note::FellBehind),
            }
        }
    }

    fn pass(&mut self, envelope: &Envelope, verdict: Verdict, out: &mut Out) {
        self.watermark.passed(envelope.position.as_ref());
        self.checkpoint.count();
        out.settle(envelope.token, verdict);
    }

    fn take(&mut self, now: Now, envelope: Envelope) {
        let key = key_of(&envelope);
        if self.take_again(now, &key, &envelope) {
            self.watermark.passed(envelope.position.as_ref());
            return;
        }
        let seq = self.watermark.arrived(envelope.position.as_ref(), envelope.event.size());
        self.set_renewal(now, &key, seq, &envelope);
        let item = Item {
            seq,
            envelope,
            arrived: now.at,
            delivered: now.at,
            attempts: 0,
            refusals: 0,
            failed_since: None,
            awaited_until: None,
        };
        self.streams.insert(&key, item);
    }

    /// Looks for the event among the held ones. If it is held, the new delivery replaces the old
    /// one, so that nothing is written twice.
    fn take_again(&mut self, now: Now, key: &Arc<str>, envelope: &Envelope) -> bool {
        let parked = self.parking.values_mut().find(|parked| parked.item.is_same_event(envelope));
        if let Some(parked) = parked {
            parked.item.envelope.token = envelope.token;
            return true;
        }
        let Some(queue) = self.streams.get_mut(key) else { return false };
        if !queue.can_hold(envelope) {
            return false;
        }
        let writing = queue.writing.and_then(|write| self.writes.get_mut(&write));
        let written = writing.map(|write| write.items.iter_mut()).into_iter().flatten();
        let held =
            written.chain(queue.waiting.iter_mut()).find(|item| item.is_same_event(envelope));
        let Some(item) = held else { return false };
        item.envelope.token = envelope.token;
        item.envelope.retry_count = envelope.retry_count;
        item.delivered = now.at;
        item.awaited_until = None;
        let seq = item.seq;
        let is_first = queue.waiting.front().is_some_and(|first| first.seq == seq);
        if is_first && matches!(queue.blocked, Some((Block::Redelivery, _))) {
            self.streams.unblock(key);
            self.streams.refresh(key);
        }
        self.set_renewal(now, key, seq, envelope);
        true
    }

    fn set_renewal(&mut self, now: Now, key: &Arc<str>, seq: Seq, envelope: &Envelope) {
        if let Some(renew_after) = self.settings.renew_after
            && envelope.token.is_some()
        {
            self.timers.set(now.at + renew_after, Timer::Renew(key.clone(), seq));
        }
    }

    /// Hands a waiting event back to the source, before the source's own timeout does so
    /// unnoticed. Its stream waits until the event comes again.
    pub(super) fn renew(&mut self, now: Now, key: &Arc<str>, seq: Seq, out: &mut Out) {
        let Some(renew_after) = self.settings.renew_after else { return };
        let Some(queue) = self.streams.get_mut(key) else { return };
        let Some(item) = queue.waiting.iter_mut().find(|item| item.seq == seq) else { return };
        let is_due = item.delivered + renew_after <= now.at;
        let Some(token) = item.envelope.token.filter(|_| is_due) else { return };
        item.envelope.token = None;
        item.awaited_until = Some(now.at + self.settings.redelivery_wait_max);
        out.settle(Some(token), Verdict::Retry("it waits for an earlier event".to_owned()));
        out.note(Note::Renewed(key.clone(), item.envelope.event.revision));
    }
}

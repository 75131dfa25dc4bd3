//! The group of a simulated world. It redelivers events that timed out, were handed back, or
//! belonged to a lost consumer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::World;
use crate::event::Envelope;
use crate::source::{Token, Verdict};

/// The parts of a persistent group that matter here.
#[derive(Default)]
pub(super) struct Group {
    pub(super) next: usize,
    pub(super) outstanding: BTreeMap<Token, (usize, u32, Option<Instant>)>,
    pub(super) retry: VecDeque<(usize, u32)>,
    pub(super) settled: BTreeSet<usize>,
}

const GROUP_TIMEOUT: Duration = Duration::from_secs(30);

impl World {
    pub(super) fn next_of_group(&mut self) -> Option<Envelope> {
        if self.group.outstanding.len() >= self.settings.held_count_max {
            return None;
        }
        let (index, retry_count) = match self.group.retry.pop_front() {
            Some(again) => again,
            None if self.group.next < self.log.len() => {
                self.group.next += 1;
                (self.group.next - 1, 0)
            }
            None => return None,
        };
        self.report.redelivered += usize::from(retry_count > 0);
        let event = self.log[index].clone();
        let token = Token(event.id);
        let until = self.now + GROUP_TIMEOUT;
        self.group.outstanding.insert(token, (index, retry_count, Some(until)));
        Some(Envelope { retry_count, token: Some(token), ..Envelope::of(event) })
    }

    pub(super) fn time_out_messages(&mut self) {
        let now = self.now;
        let group = &mut self.group;
        for (index, retry_count, until) in group.outstanding.values_mut() {
            if until.is_some_and(|until| until <= now) {
                *until = None;
                group.retry.push_back((*index, *retry_count + 1));
            }
        }
        group.outstanding.retain(|_, (_, _, until)| until.is_some());
    }

    pub(super) fn disconnect(&mut self) {
        for (_, (index, retry_count, _)) in std::mem::take(&mut self.group.outstanding) {
            self.group.retry.push_back((index, retry_count + 1));
        }
        if self.chance.permille(500) {
            self.group.retry.make_contiguous().reverse();
        }
    }

    pub(super) fn settle(&mut self, token: Token, verdict: Verdict) {
        let index = self.log.iter().position(|event| event.id == token.0).unwrap();
        let outstanding = self.group.outstanding.remove(&token);
        if outstanding.is_none() {
            // the message timed out meanwhile; the group accepts the verdict all the same
            self.group.retry.retain(|(retried, _)| *retried != index);
        }
        match verdict {
            Verdict::Ack => {
                assert!(self.is_done(index), "acknowledged, but nowhere: {:?}", self.log[index]);
                self.group.settled.insert(index);
            }
            Verdict::Park(reason) => {
                self.parked.insert(token.0, reason);
                self.group.settled.insert(index);
            }
            Verdict::Retry(_) => {
                let retry_count = outstanding.map_or(1, |(_, retry_count, _)| retry_count + 1);
                self.group.retry.push_back((index, retry_count));
            }
            Verdict::Skip(reason) => panic!("skipped: {reason}"),
        }
    }
}

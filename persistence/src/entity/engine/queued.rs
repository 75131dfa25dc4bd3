//! A command on its way through the engine: waiting with its place in the mailbox, then as what it
//! does visibly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::entity::effect::Prepared;
use crate::event::SequenceNr;
use crate::reply::{Claim, CommandEffect, ReplyError, refuse};

/// A place in the mailbox; free again when it is dropped.
#[derive(Debug, Default)]
pub struct Slot(Option<Arc<AtomicUsize>>);

impl Slot {
    /// Takes a place if fewer than `max` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        if taken.fetch_add(1, Ordering::AcqRel) < max {
            return Some(Self(Some(taken.clone())));
        }
        taken.fetch_sub(1, Ordering::AcqRel);
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(taken) = &self.0 {
            taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A command with its place in the mailbox.
#[derive(Debug)]
pub struct Queued<C> {
    /// The command.
    pub command: C,
    /// Its place.
    pub slot: Slot,
    /// Taken before the command is handled; a void command is dropped.
    pub claim: Claim,
}

impl<C> Queued<C> {
    /// A command without a place, whose asker waits for ever.
    pub fn unlimited(command: C) -> Self {
        Self { command, slot: Slot::default(), claim: Claim::unlimited() }
    }

    /// Drops it unhandled; its asker learns why, and whether it has acted before: a future can have
    /// made it.
    pub fn refuse(self, reason: ReplyError) {
        refuse(self.command, self.claim.truth(reason));
    }
}

/// What a command does visibly, ready to be let out.
pub struct Release {
    pub(super) prepared: Vec<Box<dyn Prepared>>,
    /// The last event of the command itself; `None` when it stored nothing.
    pub(super) stored: Option<SequenceNr>,
    pub(super) claim: Claim,
    pub(super) _slot: Slot,
}

impl Release {
    /// Lets it out.
    pub fn release(self) {
        let acts = self.stored.is_some() || self.prepared.iter().any(|prepared| prepared.acts());
        if acts {
            self.claim.act();
        }
        let effect = if acts || self.claim.has_acted() {
            CommandEffect::Unknown
        } else {
            CommandEffect::None
        };
        for prepared in self.prepared {
            prepared.release(effect);
        }
    }

    /// Tells the askers that the node may not answer now: what the command stored is durable.
    pub fn withhold(self) {
        let error = ReplyError::Timeout;
        let error = if self.stored.is_none() { error.without_effect() } else { error };
        self.fail(error);
    }

    /// Tells the askers why not, as far as a command that has acted before allows it.
    pub fn fail(self, error: ReplyError) {
        let error = self.claim.truth(error);
        for prepared in self.prepared {
            prepared.fail(error.clone());
        }
    }
}

//! The checkpoint: saved at intervals, after many events, and at the end. Only one save is in
//! progress at a time.

use super::watermark::Watermark;
use crate::source::Position;

#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    saved: Option<Position>,
    saving: Option<Position>,
    is_due: bool,
    is_timer_set: bool,
    done_count: u64,
    failures: u32,
    /// True when the save in progress is that of a source that went back since.
    is_outdated: bool,
}

/// The next step of the checkpoint.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Nothing,
    SetTimer,
    Save(Position),
}

impl Checkpoint {
    pub(super) fn saved_at(saved: Option<Position>) -> Self {
        Self { saved, ..Self::default() }
    }

    /// Counts an event that is done.
    pub(super) fn count(&mut self) {
        self.done_count += 1;
    }

    pub(super) fn is_due(&mut self) {
        self.is_due = true;
    }

    /// Forgets the saved position, because the source goes on from another one.
    pub(super) fn rewind(&mut self) {
        self.saved = None;
        self.is_outdated = self.saving.is_some();
    }

    /// Decides if the position of the watermark is saved now.
    pub(super) fn next(&mut self, watermark: &Watermark, count: u64, is_last: bool) -> Next {
        let position = watermark.position();
        if self.saving.is_some() || position == self.saved.as_ref() {
            return Next::Nothing;
        }
        let Some(position) = position.cloned() else { return Next::Nothing };
        if !(self.is_due || self.done_count >= count || is_last) {
            let is_set = std::mem::replace(&mut self.is_timer_set, true);
            return if is_set { Next::Nothing } else { Next::SetTimer };
        }
        if let Some(saved) = &self.saved {
            assert!(!position.is_before(saved), "the checkpoint went from {saved} to {position}");
        }
        let delivered = watermark.delivered();
        assert!(
            !delivered.is_some_and(|delivered| delivered.is_before(&position)),
            "the checkpoint {position} passes what is delivered, {delivered:?}"
        );
        (self.is_due, self.is_timer_set, self.done_count) = (false, false, 0);
        self.saving = Some(position.clone());
        Next::Save(position)
    }

    /// The save in progress succeeded. Returns its position.
    pub(super) fn saved(&mut self) -> Option<Position> {
        self.failures = 0;
        let position = self.saving.take();
        let is_outdated = std::mem::replace(&mut self.is_outdated, false);
        if position.is_some() && !is_outdated {
            self.saved.clone_from(&position);
        }
        position
    }

    /// The save in progress failed, and a timer for the next one is set. Returns the number of
    /// failures in a row.
    pub(super) fn failed(&mut self) -> u32 {
        self.saving = None;
        self.is_outdated = false;
        self.is_timer_set = true;
        self.failures += 1;
        self.failures
    }

    /// True when nothing is left to save, or saving does not work.
    pub(super) fn is_settled(&self, position: Option<&Position>) -> bool {
        self.saving.is_none() && (self.failures > 0 || position == self.saved.as_ref())
    }
}

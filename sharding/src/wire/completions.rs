//! The askers of a command that was encoded: each waits for the answer to its place.

use std::sync::Arc;

use antiphon_base::Result;
use antiphon_persistence::reply::{
    Claim, RemoteCompletion, ReplyError, ReplyRegistrar, ReplySender, decode_command,
};
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;

use super::command::Answer;

/// The places for answers that were taken out of a command, in order.
#[derive(Default)]
pub(crate) struct Completions(Mutex<Places>);

#[derive(Default)]
struct Places {
    askers: Vec<Option<RemoteCompletion>>,
    /// Answers that come while the command is read here. None is passed on yet, since a command
    /// that cannot be read drops the parts that were read.
    early: Option<Vec<(u64, Answer)>>,
}

impl ReplyRegistrar for Completions {
    fn register(&self, completion: RemoteCompletion) -> u64 {
        let mut places = self.lock();
        places.askers.push(Some(completion));
        places.askers.len() as u64 - 1
    }
}

impl Completions {
    pub(crate) fn count(&self) -> usize {
        self.lock().askers.len()
    }

    /// Reads the command at the node that encoded it; its answers go straight to the askers. When
    /// the command cannot be read, no asker was answered: the caller answers them.
    ///
    /// # Errors
    /// The errors of [`decode_command`].
    pub(crate) fn read<C: DeserializeOwned>(
        self: &Arc<Self>,
        bytes: &[u8],
        claim: &Claim,
    ) -> Result<C> {
        self.lock().early = Some(Vec::new());
        let read = decode_command(bytes, self.clone(), claim);
        let early = self.lock().early.take();
        if read.is_ok() {
            early.into_iter().flatten().for_each(|(id, answer)| self.finish(id, answer));
        }
        read
    }

    /// Answers all remaining askers with the same error.
    pub(crate) fn fail(&self, error: &ReplyError) {
        self.fail_with(|| error.clone());
    }

    /// Answers each remaining asker with an error.
    pub(super) fn fail_with(&self, error: impl Fn() -> ReplyError) {
        let left = std::mem::take(&mut self.lock().askers);
        for completion in left.into_iter().flatten() {
            completion(Err(error()));
        }
    }

    pub(super) fn finish(&self, id: u64, answer: Answer) {
        let completion =
            usize::try_from(id).ok().and_then(|index| self.lock().askers.get_mut(index)?.take());
        if let Some(completion) = completion {
            completion(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock()
    }
}

/// A command that came back unhandled is handled here after all: its answers go straight to the
/// askers.
impl ReplySender for Completions {
    fn send(&self, id: u64, answer: Answer) {
        let mut places = self.lock();
        if let Some(early) = &mut places.early {
            return early.push((id, answer));
        }
        drop(places);
        self.finish(id, answer);
    }
}

//! The askers of a command that was encoded: each waits for the answer to its place.

use std::sync::Arc;

use antiphon_base::Result;
use antiphon_persistence::reply::{
    Claim, RemoteCompletion, ReplyError, ReplyRegistrar, ReplySender, decode_command,
};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;

use super::answer::{Answer, read_answer};

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

    /// Hands the answers of the other node to the askers.
    pub(crate) fn complete(&self, mut answers: Bytes) {
        for id in 0..self.count() as u64 {
            let Some(answer) = read_answer(&mut answers) else { break };
            self.finish(id, answer);
        }
        self.fail_with(|| {
            ReplyError::Unanswered("the other node's answer cannot be read".to_owned())
        });
    }

    /// Answers all remaining askers with the same error.
    pub(crate) fn fail(&self, error: &ReplyError) {
        self.fail_with(|| error.clone());
    }

    /// Answers each remaining asker with an error.
    fn fail_with(&self, error: impl Fn() -> ReplyError) {
        let left = std::mem::take(&mut self.lock().askers);
        for completion in left.into_iter().flatten() {
            completion(Err(error()));
        }
    }

    fn finish(&self, id: u64, answer: Answer) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answer::write_answers;
    use super::*;

    #[test]
    fn answers_that_end_in_the_middle_fail_the_rest() {
        let completions = Completions::default();
        let answers = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..3 {
            let answers = answers.clone();
            completions.register(Box::new(move |answer| answers.lock().push(answer)));
        }
        let sent = [Ok(Bytes::from_static(b"a")), Err(ReplyError::NoReply)];
        let mut bytes = write_answers(sent.iter()).to_vec();
        bytes.extend_from_slice(&[0, 255, 255, 255, 255, 1]);
        completions.complete(bytes.into());
        let answers = answers.lock();
        assert_eq!(answers[..2], sent);
        assert!(answers[2].is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_answer_every_asker(noise in prop::collection::vec(any::<u8>(), 0..64)) {
            let completions = Completions::default();
            let answered = Arc::new(Mutex::new(0));
            for _ in 0..3 {
                let answered = answered.clone();
                completions.register(Box::new(move |_| *answered.lock() += 1));
            }
            completions.complete(noise.into());
            assert_eq!(*answered.lock(), 3);
        }
    }
}

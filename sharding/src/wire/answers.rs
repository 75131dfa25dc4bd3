//! The answers of one command of another node, collected until the last one is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::reply::{Notice, ReplySender};
use antiphon_runtime::{AskError, Responder};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::answer::{Answer, write_answers};

/// Collects the answers of one command and sends them back together when the last answer is there.
/// Memory is taken for answers that are given, not for answers that the command claims.
pub(crate) struct Answers {
    count: u32,
    state: Mutex<Collected>,
}

struct Collected {
    answers: Given,
    /// True after the command was read. Until then nothing is sent: a command that cannot be read
    /// drops the parts that were read.
    is_open: bool,
    responder: Option<Responder>,
}

/// The answers that were given. A single answer, the usual case, needs no tree.
#[derive(Default)]
struct Given {
    /// `None` when there is no answer, or more than one.
    only: Option<(u64, Answer)>,
    several: BTreeMap<u64, Answer>,
}

impl Given {
    fn len(&self) -> usize {
        self.several.len() + usize::from(self.only.is_some())
    }

    /// Adds an answer; the first one with an id counts.
    fn insert(&mut self, id: u64, answer: Answer) {
        if self.len() == 0 {
            self.only = Some((id, answer));
            return;
        }
        self.several.extend(self.only.take());
        self.several.entry(id).or_insert(answer);
    }
}

impl Answers {
    pub(crate) fn new(count: u32, responder: Responder) -> Self {
        let answers = Given::default();
        let state = Collected { answers, is_open: false, responder: Some(responder) };
        Self { count, state: Mutex::new(state) }
    }

    /// Notes that the command was read: its answers may be sent.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.is_open = true;
        self.finish(state);
    }

    /// Refuses a command that cannot be read. Nothing was done, and no answer of it is sent any
    /// more.
    pub(crate) fn reject(&self, why: String) {
        let responder = self.lock().responder.take();
        if let Some(responder) = responder {
            responder.fail(AskError::Rejected(why));
        }
    }

    fn finish(&self, mut state: MutexGuard<'_, Collected>) {
        if !state.is_open || state.answers.len() < self.count as usize {
            return;
        }
        let Some(responder) = state.responder.take() else { return };
        let answers = std::mem::take(&mut state.answers);
        drop(state);
        responder.reply(match &answers.only {
            Some((_, answer)) => write_answers(std::iter::once(answer)),
            None => write_answers(answers.several.values()),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.state.lock()
    }
}

/// The notice of a command as the answer with this id: empty, or the reason.
pub(crate) fn answered_as(sender: Arc<dyn ReplySender>, id: u64) -> Notice {
    Box::new(move |taken| sender.send(id, taken.map(|()| Bytes::new())))
}

impl ReplySender for Answers {
    fn send(&self, id: u64, answer: Answer) {
        if id < u64::from(self.count) {
            let mut state = self.lock();
            state.answers.insert(id, answer);
            self.finish(state);
        }
    }
}

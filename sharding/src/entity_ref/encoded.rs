//! Commands of programs outside the cluster, which send them encoded.

use std::sync::Arc;

use antiphon_persistence::entity::Awaiting;
use antiphon_persistence::reply::{Claim, ReplySender, Session, decode_command};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::EntityRef;
use crate::AskError;

/// The number of the one answer that an encoded command has a place for.
const ONLY: u64 = 0;

/// The answer to one encoded command.
struct Only(Mutex<Option<oneshot::Sender<Result<Bytes, AskError>>>>);

impl ReplySender for Only {
    fn send(&self, id: u64, answer: Result<Bytes, AskError>) {
        if id != ONLY {
            return;
        }
        if let Some(sender) = self.0.lock().take() {
            // an asker that has given up needs no answer
            drop(sender.send(answer));
        }
    }
}

impl<C: DeserializeOwned + Send + 'static> EntityRef<C> {
    /// The same as [`Self::ask`] for a command that [`encode_command`] has encoded, with the number
    /// 0 in the place of its `ReplyTo`; the answer is encoded too. For programs that carry commands
    /// over another transport than the links of a cluster.
    ///
    /// The answer has a session token in front when the place says that its asker wants one, as
    /// [`encode_command`] does for an asker with such a [`Session`].
    ///
    /// The bytes may come from anybody who may command the entity: bytes that are no command are
    /// refused. The decoded command takes memory in proportion to the bytes: each byte may become
    /// one element of a `Vec<T>`, with up to twice `size_of::<T>()`. Keep the elements of commands
    /// small, or the bytes few.
    ///
    /// [`encode_command`]: antiphon_persistence::reply::encode_command
    /// [`Session`]: antiphon_persistence::reply::Session
    ///
    /// # Errors
    /// As for [`Self::ask`]; `Rejected` for bytes that are no command of this type.
    pub async fn ask_encoded(&self, command: &[u8]) -> Result<Bytes, AskError> {
        self.ask_encoded_in(self.options.session(&self.id)?, command).await
    }

    /// The same for an asker who wants the version of the answer: an answer that is given in a side
    /// effect has its token too.
    ///
    /// # Errors
    /// As for [`Self::ask_encoded`].
    pub async fn ask_encoded_with_version(&self, command: &[u8]) -> Result<Bytes, AskError> {
        self.ask_encoded_in(Some(self.options.session_with_version(&self.id)?), command).await
    }

    async fn ask_encoded_in(
        &self,
        session: Option<Session>,
        command: &[u8],
    ) -> Result<Bytes, AskError> {
        let (sender, answer) = oneshot::channel();
        let now = self.port.now();
        let awaiting = Awaiting::the_answer_of(&self.id);
        let claim = self.options.claim(now, session.map(Arc::new));
        let claim = claim.asked_by(awaiting.askers());
        let command: C = decoded(command, Some(sender), &claim)?;
        self.port.tell(now, self.index, self.id.entity_id(), command, claim.clone());
        let answer = async { answer.await.unwrap_or(Err(AskError::NoReply)) };
        self.wait(now, &claim, answer).await
    }

    /// The same as [`Self::tell_acknowledged`] for a command that [`encode_command`] has encoded.
    /// An answer to it is dropped.
    ///
    /// [`encode_command`]: antiphon_persistence::reply::encode_command
    ///
    /// # Errors
    /// As for [`Self::tell_acknowledged`]; `Rejected` for bytes that are no command of this type.
    pub async fn tell_encoded(&self, command: &[u8]) -> Result<(), AskError> {
        self.tell_acknowledged(decoded(command, None, &Claim::unlimited())?).await
    }
}

fn decoded<C: DeserializeOwned>(
    bytes: &[u8],
    sender: Option<oneshot::Sender<Result<Bytes, AskError>>>,
    claim: &Claim,
) -> Result<C, AskError> {
    let sender = Arc::new(Only(Mutex::new(sender)));
    let command = decode_command(bytes, sender, claim);
    command.map_err(|error| AskError::Rejected(error.to_string()))
}

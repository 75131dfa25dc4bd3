//! The options of the commands of one reference.

use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::event::Metadata;
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::{Claim, Notice, Session};
use antiphon_persistence::version::SessionToken;
use tokio::time::Instant;

use crate::AskError;

/// The options of the commands of one reference.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) ask_timeout: Duration,
    pub(super) metadata: Metadata,
    /// `None`: the commands are of no session. Another entity's token is refused at the command.
    pub(super) after: Option<Arc<SessionToken>>,
}

impl Options {
    pub(super) fn new(ask_timeout: Duration) -> Self {
        Self { ask_timeout, metadata: Metadata::new(), after: None }
    }

    /// Adds the events of a token. A token of another entity stays, and is refused at the command.
    pub(super) fn add_token(&mut self, id: &ReplicationId, token: &SessionToken) {
        let mut both = token.clone();
        match &self.after {
            Some(before) if !before.is_of(id) => return,
            Some(before) if token.is_of(id) => {
                both.merge(before).expect("both are of this entity");
            }
            Some(_) | None => {}
        }
        self.after = Some(Arc::new(both));
    }

    /// The session of a command to this entity, if it is of one.
    ///
    /// # Errors
    /// `Rejected` when the token is of another entity.
    pub(super) fn session(&self, id: &ReplicationId) -> Result<Option<Session>, AskError> {
        let Some(token) = &self.after else { return Ok(None) };
        let session = Session::after(id, Some(token));
        session.map(Some).map_err(|error| AskError::Rejected(error.to_string()))
    }

    /// The same for an asker who wants the version of the answer.
    ///
    /// # Errors
    /// `Rejected` when the token is of another entity.
    pub(super) fn session_with_version(&self, id: &ReplicationId) -> Result<Session, AskError> {
        let session = Session::after(id, self.after.as_deref());
        let session = session.map_err(|error| AskError::Rejected(error.to_string()))?;
        Ok(session.with_version())
    }

    /// The claim of a command whose asker waits from `now` on.
    pub(super) fn claim(&self, now: Instant, session: Option<Arc<Session>>) -> Claim {
        let claim = Claim::lasting_with(now, self.ask_timeout, self.metadata.clone());
        claim.in_session(session)
    }

    /// The claim of a command without an asker. In a session it waits as long as an ask does.
    pub(super) fn tell_claim(&self, now: Instant, session: Option<Arc<Session>>) -> Claim {
        match session {
            Some(_) => self.claim(now, session),
            None => Claim::unlimited_with(self.metadata.clone()),
        }
    }

    /// The claim of a command whose sender waits for the notice.
    pub(super) fn noticed_claim(
        &self,
        now: Instant,
        notice: Notice,
        session: Option<Arc<Session>>,
    ) -> Claim {
        let metadata = self.metadata.clone();
        Claim::noticed_with(now, Some(self.ask_timeout), notice, metadata).in_session(session)
    }
}

//! The visible parts of an effect whose asker wants the version that the answer could have seen.

use std::sync::Arc;

use super::then::{Prepared, PreparedParts};
use crate::identity::ReplicationId;
use crate::reply::{Claim, CommandEffect, ReplyError, with_answering};
use crate::version::{SessionToken, VersionVector};

/// Visible parts, with the version of the state that they have seen.
struct Versioned {
    parts: PreparedParts,
    token: Arc<SessionToken>,
}

/// The same parts. If an asker wants the version, their answers are given with `seen`.
pub(super) fn with_version(
    mut parts: PreparedParts,
    claim: &Claim,
    (id, seen): (&ReplicationId, &VersionVector),
) -> PreparedParts {
    if !claim.wants_version() && !parts.iter_mut().any(|part| part.wants_version()) {
        return parts;
    }
    let token = Arc::new(SessionToken::new(id, seen.clone()));
    let versioned: Box<dyn Prepared> = Box::new(Versioned { parts, token });
    PreparedParts::from_iter([versioned])
}

impl Prepared for Versioned {
    fn acts(&self) -> bool {
        self.parts.iter().any(|part| part.acts())
    }

    fn release(self: Box<Self>, claim: &Claim, effect: CommandEffect) {
        let Self { parts, token } = *self;
        // an answer that is given later, by a future or at another entity, has this version too
        if let Some(session) = claim.session() {
            session.note(&token);
        }
        with_answering(token, || {
            for part in parts {
                part.release(claim, effect);
            }
        });
    }

    fn fail(self: Box<Self>, claim: &Claim, error: ReplyError) {
        for part in self.parts {
            part.fail(claim, error.clone());
        }
    }
}

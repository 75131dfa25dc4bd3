//! The facts that every rule of membership looks at.

use antiphon_base::time::Timestamp;
use tokio::time::Instant;

use super::settings::MembershipSettings;
use super::verdict::Verdicts;
use crate::NodeId;

/// The facts that every rule of membership looks at.
#[derive(Debug)]
pub(super) struct Situation {
    /// Time of the last input.
    pub(super) now: Instant,
    /// Time of day at the last tick.
    pub(super) wall: Timestamp,
    /// The node that follows the rules.
    pub(super) me: NodeId,
    pub(super) settings: MembershipSettings,
    /// The verdicts that were read last.
    pub(super) verdicts: Option<Verdicts>,
}

impl Situation {
    pub(super) fn is_condemned(&self, id: &NodeId) -> bool {
        self.verdicts.as_ref().is_some_and(|verdicts| verdicts.about(id).is_some())
    }
}

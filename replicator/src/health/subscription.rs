//! The names of a subscription.

use crate::config::{SubscriptionKind, SubscriptionSettings};

/// The names and labels of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The name of the checkpoint and of the parked events.
    pub name: String,
    /// The subscribed stream.
    pub stream: String,
    /// The group; for a catch-up its name, so that the label is never empty.
    pub group: String,
    /// The way in which the subscription reads.
    pub kind: SubscriptionKind,
}

impl Subscription {
    /// The names of the subscription of the settings.
    pub fn new(settings: &SubscriptionSettings) -> Self {
        let name = settings.display_name();
        let group = match settings.kind {
            SubscriptionKind::Group => settings.group_name.clone(),
            SubscriptionKind::Stream
            | SubscriptionKind::Category
            | SubscriptionKind::All
            | SubscriptionKind::Journal => name.clone(),
        };
        Self { name, stream: settings.subscribed_stream(), group, kind: settings.kind }
    }
}

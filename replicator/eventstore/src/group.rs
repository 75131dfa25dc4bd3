//! The management of persistent subscription groups: the server keeps the position of a group.

use crate::client::EventStoreClient;
use crate::error::{Error, ErrorKind, Result};
use crate::event::ALL;
use crate::group_settings::{GroupInfo, GroupSettings};
use crate::wire;
use crate::wire::persistent_subscriptions as groups;
use crate::wire::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;

impl EventStoreClient {
    /// Creates a group. A cancelled call may have created it.
    ///
    /// # Errors
    /// `AlreadyExists`, `AccessDenied`, `Rejected` for settings out of range, and the errors of any
    /// call.
    pub async fn create_group(
        &self,
        stream: &str,
        group: &str,
        settings: &GroupSettings,
    ) -> Result<()> {
        let message = settings.request(stream, group, self.settings())?;
        let answer =
            self.ask(doing("create", stream, group), message, |link, request| async move {
                PersistentSubscriptionsClient::new(link.channel).create(request).await
            });
        answer.await.map(|_| ())
    }

    /// Changes the settings of a group and disconnects its consumers. The filter cannot be changed.
    /// A cancelled call may have changed them.
    ///
    /// # Errors
    /// `NotFound`, and the errors of [`Self::create_group`].
    pub async fn update_group(
        &self,
        stream: &str,
        group: &str,
        settings: &GroupSettings,
    ) -> Result<()> {
        let message = settings.request(stream, group, self.settings())?;
        let answer =
            self.ask(doing("update", stream, group), message, |link, request| async move {
                PersistentSubscriptionsClient::new(link.channel).update(request).await
            });
        answer.await.map(|_| ())
    }

    /// Deletes a group, its position and its parked messages. A cancelled call may have deleted it.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, and the errors of any call.
    pub async fn delete_group(&self, stream: &str, group: &str) -> Result<()> {
        use groups::delete_req::{Options, options::What};
        let what = Some(source(stream, What::Stream, What::All));
        let options = Some(Options { what, group: group.to_owned() });
        let message = groups::DeleteReq { options };
        let answer =
            self.ask(doing("delete", stream, group), message, |link, request| async move {
                PersistentSubscriptionsClient::new(link.channel).delete(request).await
            });
        answer.await.map(|_| ())
    }

    /// The state of a group. Needs server 22.6 or newer. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, `Rejected` by an older server, and the errors of any call.
    pub async fn group_info(&self, stream: &str, group: &str) -> Result<GroupInfo> {
        use groups::get_info_req::{Options, options::What};
        let doing = doing("info of", stream, group);
        let what = Some(source(stream, What::Stream, What::All));
        let options = Some(Options { what, group: group.to_owned() });
        let message = groups::GetInfoReq { options };
        let answer = self.ask(doing.clone(), message, |link, request| async move {
            PersistentSubscriptionsClient::new(link.channel).get_info(request).await
        });
        let info = answer.await?.info.map(GroupInfo::from_wire);
        info.ok_or_else(|| Error::of(ErrorKind::Corrupt, &doing, "the server's answer is empty"))
    }

    /// All groups of the store. Needs server 22.6 or newer. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `AccessDenied`, `Rejected` by an older server, and the errors of any call.
    pub async fn list_groups(&self) -> Result<Vec<GroupInfo>> {
        use groups::list_req::{Options, options::What};
        let options = Some(Options { what: Some(What::Everything(wire::Empty {})) });
        let message = groups::ListReq { options };
        let answer = self.ask("list groups".to_owned(), message, |link, request| async move {
            PersistentSubscriptionsClient::new(link.channel).list(request).await
        });
        match answer.await {
            Ok(answer) => Ok(answer.groups.into_iter().map(GroupInfo::from_wire).collect()),
            // the server's answer when it has no group at all
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Delivers the parked messages of a group again: all, or those with a number below `before` in
    /// the stream of parked messages, where the first message ever parked has number 0. A cancelled
    /// call may have begun it.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, and the errors of any call.
    pub async fn replay_parked(
        &self,
        stream: &str,
        group: &str,
        before: Option<u64>,
    ) -> Result<()> {
        use groups::replay_parked_req::{Options, options::Limit, options::What};
        let limit = Some(match before {
            Some(before) => Limit::StopAt(i64::try_from(before).unwrap_or(i64::MAX)),
            None => Limit::NoLimit(wire::Empty {}),
        });
        let what = Some(source(stream, What::Stream, What::All));
        let options = Some(Options { group: group.to_owned(), what, limit });
        let doing = doing("replay parked messages of", stream, group);
        let message = groups::ReplayParkedReq { options };
        let answer = self.ask(doing, message, |link, request| async move {
            PersistentSubscriptionsClient::new(link.channel).replay_parked(request).await
        });
        answer.await.map(|_| ())
    }
}

/// The name of a call in messages.
pub(crate) fn doing(what: &str, stream: &str, group: &str) -> String {
    format!("{what} group `{group}` of stream `{stream}`")
}

/// The stream, or `$all`, in one of the messages of the wire.
pub(crate) fn source<W>(
    stream: &str,
    one: impl FnOnce(wire::StreamName) -> W,
    all: impl FnOnce(wire::Empty) -> W,
) -> W {
    if stream == ALL { all(wire::Empty {}) } else { one(stream.into()) }
}

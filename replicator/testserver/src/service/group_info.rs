//! The server's description of a group.

use antiphon_eventstore::ALL;
use antiphon_eventstore::wire::persistent_subscriptions::GroupInfo;
use tokio::sync::oneshot;

use crate::group::{Command, GroupStatus, message_timeout_ms, strategy_name};
use crate::node::Node;
use crate::store::{GroupRecord, position};

/// The description of a group, as the server gives it.
pub(super) async fn info(node: &Node, record: &GroupRecord) -> GroupInfo {
    let status = status(node, record).await;
    let settings = record.settings.clone().unwrap_or_default();
    let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
    let shown = |next: u64| match (record.stream.as_str(), next.checked_sub(1)) {
        (_, None) => String::new(),
        (ALL, Some(last)) => {
            let at = position(usize::try_from(last).unwrap_or_default());
            format!("C:{at}/P:{at}")
        }
        (_, Some(last)) => last.to_string(),
    };
    let checkpoint = if record.checkpointed { shown(record.next) } else { String::new() };
    let parked = node.store().parked_count(record);
    GroupInfo {
        event_source: record.stream.clone(),
        group: record.group.clone(),
        status: "Live".to_owned(),
        connections: vec![Default::default(); status.consumers],
        last_checkpointed_position: checkpoint,
        last_known_position: shown(status.next),
        resolve_links: settings.resolve_links,
        start_from: record.start_from.clone(),
        message_timeout_ms: message_timeout_ms(&settings),
        max_retry_count: settings.max_retry_count,
        live_buffer_size: settings.live_buffer_size,
        buffer_size: settings.history_buffer_size,
        read_batch_size: settings.read_batch_size,
        min_checkpoint_count: settings.min_checkpoint_count,
        max_checkpoint_count: settings.max_checkpoint_count,
        max_subscriber_count: settings.max_subscriber_count,
        retry_buffer_count: number(status.retrying),
        in_flight_count: number(status.out),
        outstanding_count: number(status.out),
        consumer_strategy: strategy_name(&settings).to_owned(),
        parked_count: i64::try_from(parked).unwrap_or(i64::MAX),
        ..Default::default()
    }
}

async fn status(node: &Node, record: &GroupRecord) -> GroupStatus {
    let Some(group) = node.group(&record.key()) else { return GroupStatus::default() };
    let (to, status) = oneshot::channel();
    // a group that was dropped meanwhile has no status
    let _ = group.send(Command::Status(to)).await;
    status.await.unwrap_or_default()
}

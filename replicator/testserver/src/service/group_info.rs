//! The server's description of a group.

use antiphon_eventstore::ALL;
use antiphon_eventstore::wire::persistent_subscriptions::{GroupInfo, group_info};
use tokio::sync::oneshot;

use crate::group::{
    Command, ConsumerStatus, GroupStatus, checkpoint_after_ms, message_timeout_ms, strategy_name,
};
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
    let (parked, end) = {
        let store = node.store();
        let end = match record.stream.as_str() {
            ALL => store.log().len() as u64,
            stream => store.log().end_of(stream),
        };
        (store.parked_count(record), end)
    };
    let in_flight = status.consumers.iter().map(|consumer| consumer.load.out).sum();
    // a group knows what is in its stream, even before a consumer asks for it
    let is_live = status.next >= end || status.consumers.is_empty();
    GroupInfo {
        event_source: record.stream.clone(),
        group: record.group.clone(),
        status: if is_live { "Live" } else { "Behind" }.to_owned(),
        connections: status.consumers.iter().map(connection).collect(),
        total_items: i64::try_from(status.counts.total).unwrap_or(i64::MAX),
        last_checkpointed_position: checkpoint,
        last_known_position: shown(if record.stream == ALL { status.next } else { end }),
        resolve_links: settings.resolve_links,
        start_from: record.start_from.clone(),
        message_timeout_ms: message_timeout_ms(&settings),
        checkpoint_after_ms: checkpoint_after_ms(&settings),
        extra_statistics: settings.extra_statistics,
        max_retry_count: settings.max_retry_count,
        live_buffer_size: settings.live_buffer_size,
        buffer_size: settings.history_buffer_size,
        read_batch_size: settings.read_batch_size,
        min_checkpoint_count: settings.min_checkpoint_count,
        max_checkpoint_count: settings.max_checkpoint_count,
        max_subscriber_count: settings.max_subscriber_count,
        read_buffer_count: number(status.counts.waiting),
        retry_buffer_count: number(status.counts.retrying),
        in_flight_count: number(in_flight),
        outstanding_count: number(status.counts.out),
        consumer_strategy: strategy_name(&settings),
        parked_count: i64::try_from(parked).unwrap_or(i64::MAX),
        ..Default::default()
    }
}

fn connection(consumer: &ConsumerStatus) -> group_info::Connection {
    let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
    group_info::Connection {
        user: consumer.user.clone(),
        connection_name: consumer.connection_name.clone(),
        total_items: i64::try_from(consumer.load.total).unwrap_or(i64::MAX),
        available_slots: number(consumer.load.room),
        in_flight_messages: number(consumer.load.out),
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

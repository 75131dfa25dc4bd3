//! The server's description of a group.

use antiphon_eventstore::ALL;
use antiphon_eventstore::wire::persistent_subscriptions::settings::MessageTimeout;
use antiphon_eventstore::wire::persistent_subscriptions::{GroupInfo, Settings};
use tokio::sync::oneshot;

use super::persistent::PersistentService;
use crate::group::{Command, GroupStatus};
use crate::store::{GroupRecord, position};

impl PersistentService {
    pub(super) async fn info(&self, record: &GroupRecord) -> GroupInfo {
        let status = self.status(record).await;
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
        let parked = self.0.store().parked_count(record);
        let connection = Default::default();
        GroupInfo {
            event_source: record.stream.clone(),
            group: record.group.clone(),
            status: "Live".to_owned(),
            connections: vec![connection; status.consumers],
            last_checkpointed_position: checkpoint,
            last_known_position: shown(status.next),
            resolve_links: settings.resolve_links,
            start_from: record.start_from.clone(),
            message_timeout_ms: timeout_ms(&settings),
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
            consumer_strategy: strategy(&settings),
            parked_count: i64::try_from(parked).unwrap_or(i64::MAX),
            ..Default::default()
        }
    }

    async fn status(&self, record: &GroupRecord) -> GroupStatus {
        let Some(group) = self.0.group(&record.key()) else { return GroupStatus::default() };
        let (to, status) = oneshot::channel();
        // a group that was dropped meanwhile has no status
        let _ = group.send(Command::Status(to)).await;
        status.await.unwrap_or_default()
    }
}

/// The name of the strategy. Old clients send a number instead.
fn strategy(settings: &Settings) -> String {
    let name = match (settings.consumer_strategy.as_str(), settings.strategy_old) {
        ("", 0) => "DispatchToSingle",
        ("", 2) => "Pinned",
        ("", _) => "RoundRobin",
        (name, _) => name,
    };
    name.to_owned()
}

fn timeout_ms(settings: &Settings) -> i32 {
    match settings.message_timeout {
        Some(MessageTimeout::MessageTimeoutMs(millis)) => millis,
        Some(MessageTimeout::MessageTimeoutTicks(ticks)) => {
            i32::try_from(ticks / 10_000).unwrap_or(i32::MAX)
        }
        None => 0,
    }
}

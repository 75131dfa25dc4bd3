//! The settings of a group on the wire, as the rules need them and as the server shows them.

use std::time::Duration;

use antiphon_eventstore::wire::persistent_subscriptions::Settings;
use antiphon_eventstore::wire::persistent_subscriptions::settings::{
    CheckpointAfter, MessageTimeout,
};

use super::core::{Rules, Strategy};

/// The time for an answer in place of zero, which means no timeout on the wire.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn rules(settings: &Settings) -> Rules {
    let number = |value: i32| usize::try_from(value).unwrap_or_default();
    let message_timeout = millis(message_timeout_ms(settings));
    Rules {
        max_retry_count: u32::try_from(settings.max_retry_count).unwrap_or_default(),
        message_timeout: if message_timeout.is_zero() { NEVER } else { message_timeout },
        max_subscriber_count: number(settings.max_subscriber_count),
        buffer_max: number(settings.history_buffer_size).max(1),
        strategy: match strategy_name(settings).as_str() {
            "DispatchToSingle" => Strategy::DispatchToSingle,
            "Pinned" | "PinnedByCorrelation" => Strategy::Pinned,
            _ => Strategy::RoundRobin,
        },
    }
}

/// The name of the strategy. Older clients and every update have a number instead.
pub(crate) fn strategy_name(settings: &Settings) -> String {
    match (settings.consumer_strategy.as_str(), settings.strategy_old) {
        ("", 0) => "DispatchToSingle".to_owned(),
        ("", 1) => "RoundRobin".to_owned(),
        ("", 2) => "Pinned".to_owned(),
        ("", unknown) => unknown.to_string(),
        (name, _) => name.to_owned(),
    }
}

/// Returns true when the server has this strategy.
pub(crate) fn is_strategy(name: &str) -> bool {
    ["DispatchToSingle", "RoundRobin", "Pinned", "PinnedByCorrelation"].contains(&name)
}

pub(crate) fn message_timeout_ms(settings: &Settings) -> i32 {
    match settings.message_timeout {
        Some(MessageTimeout::MessageTimeoutMs(millis)) => millis,
        Some(MessageTimeout::MessageTimeoutTicks(ticks)) => from_ticks(ticks),
        None => 0,
    }
}

/// The interval of checkpoints; none for zero, which means that time does not matter.
pub(super) fn checkpoint_after(settings: &Settings) -> Option<Duration> {
    Some(millis(checkpoint_after_ms(settings))).filter(|after| !after.is_zero())
}

pub(crate) fn checkpoint_after_ms(settings: &Settings) -> i32 {
    match settings.checkpoint_after {
        Some(CheckpointAfter::CheckpointAfterMs(millis)) => millis,
        Some(CheckpointAfter::CheckpointAfterTicks(ticks)) => from_ticks(ticks),
        None => 0,
    }
}

/// Milliseconds of a time that an older client gives in units of 100 ns.
fn from_ticks(ticks: i64) -> i32 {
    i32::try_from(ticks / 10_000).unwrap_or(i32::MAX)
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

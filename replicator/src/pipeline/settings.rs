//! Limits and choices of a pipeline, as plain data, with their keys in the configuration.

use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};

use crate::config::kinds::{
    DAY, GIGA, HOUR, MILLISECOND, SECOND, milliseconds, number, span, span_or_never, word,
};
use crate::config::table::settings;
use crate::{Error, Result};

/// The order in which a lane writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOrder {
    /// Order of arrival over all streams of the lane, one write at a time. Only adjacent events of
    /// one stream share a write.
    Arrival,
    /// Order within each stream. The waiting events of a stream go into one write, and several
    /// streams are written at once.
    PerStream,
}

/// Behaviour of a lane's other streams while a failing event blocks one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbours {
    /// The other streams continue.
    GoOn,
    /// The other streams wait, so that the lane keeps the order of arrival.
    Wait,
}

/// Behaviour of a stream after one of its events was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// Later events are parked too: with exact revisions they cannot be written, and replaying the
    /// parked events keeps the order.
    Park,
    /// Later events are written. Parked events that are replayed come after them.
    GoOn,
}

/// Reaction to a different event at the same number at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// Park the event with the reason.
    Park,
    /// Skip the event and count it.
    Skip,
    /// Stop the subscription with an error.
    Stop,
}

/// The owner of the parking lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parking {
    /// The source: a persistent group has a parking lot of its own.
    Source,
    /// The replicator's own parking lot.
    Own,
}

settings! {
    /// Settings of one pipeline.
    PipelineSettings {
        /// Pause after each written event, per subscription; 0 for none. With a pause, events are
        /// written one by one.
        throttle: Duration = Duration::ZERO, "ReplicationThrottleInterval",
            milliseconds(86_400_000);
        /// Reaction to a different event at an event's number at the destination.
        conflict_policy: ConflictPolicy = ConflictPolicy::Park, "ConflictPolicy", word();
        /// Lanes, which write at the same time. A stream is always in the same lane. With one lane,
        /// the order across streams is kept, as Ditto keeps it.
        lane_count: usize = 1, "Lanes", number(1, 256);
        /// Order in which a lane writes. `arrival` writes a lane's events in the order in which
        /// they came, one write at a time; `stream` keeps only the order within each stream, and is
        /// faster.
        lane_order: LaneOrder = LaneOrder::Arrival, "LaneOrder", word();
        /// Largest number of simultaneous writes in a lane, with `LaneOrder=stream`.
        lane_writes_max: usize = 4, "LaneWritesMax", number(1, 1024);
        /// Behaviour of the other streams of a lane while one stream waits for its failing event.
        /// `wait` writes one stream at a time, which is slow.
        neighbours: Neighbours = Neighbours::GoOn, "WhenBlocked", word();
        /// Largest number of events in one write; 1 writes events one by one. A write to an event
        /// store has the events of several streams, which are appended at the same time (except
        /// with `SkipVersionCheck`).
        batch_count_max: usize = 256, "BatchEventsMax", number(1, 10_000);
        /// Largest size of one append in bytes; a single larger event goes alone.
        batch_bytes_max: usize = 512 * 1024, "BatchBytesMax", number(1024, GIGA);
        /// True when a write may contain events of several streams. Depends on the sink.
        mixes_streams: bool = false;
        /// Largest number of events that arrived and are not settled; at this number, reading
        /// pauses.
        held_count_max: usize = 8192, "HeldEventsMax", number(1, 10_000_000);
        /// Largest number of events that wait behind failing ones. Above it the stream with the
        /// most events is given up: its failing event is parked early, so that a bad stream cannot
        /// fill the whole buffer for long.
        blocked_count_max: usize = 4096, "BlockedEventsMax", number(1, 10_000_000);
        /// Time for which an event must have been failing before its stream can be given up.
        blocked_wait_max: Duration = SECOND * 5, "BlockedWaitMax", span(MILLISECOND, DAY);
        /// Tries of an event that the sink refused for now, before it is parked.
        retry_count_max: u32 = 10;
        /// The first delay before a retry; it doubles with each.
        retry_delay: Duration = MILLISECOND * 50;
        /// The longest delay before a retry.
        retry_delay_max: Duration = SECOND * 5;
        /// Longest wait of an event for the events before it to appear at the destination. Then the
        /// event is parked.
        missing_wait_max: Duration = SECOND * 30, "MissingWaitMax", span(MILLISECOND, DAY);
        /// Handling of the later events of a stream with a parked event. With the version check,
        /// they cannot be written without the parked event.
        followers: Followers = Followers::Park, "AfterParked", word();
        /// The owner of the parking lot.
        parking: Parking = Parking::Own;
        /// Largest number of streams remembered for a parked event. Above it the oldest entry is
        /// forgotten, and the next event of that stream is tried again.
        broken_count_max: usize = 100_000, "ParkedStreamsMax", number(1, 10_000_000);
        /// Time for which such a stream is remembered. Then one of its events is tried again.
        broken_memory: Duration = SECOND * 60, "ParkedStreamsMemory", span(MILLISECOND, DAY);
        /// Waiting time after which an event is handed back to its group and asked for again; 0 is
        /// never. Must be below the group's message timeout.
        renew_after: Option<Duration> = None, "RenewAfter", span_or_never(DAY);
        /// Longest wait for an event that was handed back. Then its stream continues without it
        /// (another consumer has it).
        redelivery_wait_max: Duration = SECOND * 60, "RedeliveryWaitMax", span(MILLISECOND, DAY);
        /// Downtime of the destination after which a group is left, so that its messages do not use
        /// up their retries; 0 is never.
        suspend_after: Option<Duration> = None, "SuspendAfter", span_or_never(DAY);
        /// Longest time between two checkpoints of a catch-up while events come.
        checkpoint_interval: Duration = SECOND * 5, "Checkpoint:Interval",
            span(MILLISECOND * 10, HOUR);
        /// Number of finished events after which the checkpoint is saved earlier.
        checkpoint_event_count: u64 = 1000, "Checkpoint:EventsMax", number(1, 100_000_000);
        /// True when the source settles. Then no checkpoint is kept here.
        source_settles: bool = false;
        /// The first delay before a lost source is opened again. It doubles with each failure.
        reopen_delay: Duration = MILLISECOND * 100, "ReopenDelay", span(MILLISECOND, DAY);
        /// The longest delay before a lost source is opened again.
        reopen_delay_max: Duration = SECOND * 5, "ReopenDelayMax", span(MILLISECOND, DAY);
    }
}

impl PipelineSettings {
    /// Checks the ranges that the pipeline relies on.
    ///
    /// # Errors
    /// `Rejected`, naming the setting.
    pub fn validate(&self) -> Result<()> {
        let at_least_one = [
            ("lane_count", self.lane_count),
            ("lane_writes_max", self.lane_writes_max),
            ("batch_count_max", self.batch_count_max),
            ("batch_bytes_max", self.batch_bytes_max),
            ("held_count_max", self.held_count_max),
            ("blocked_count_max", self.blocked_count_max),
            ("broken_count_max", self.broken_count_max),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(Error::rejected(format!(
                    "setting `{name}`: expected at least 1, actual 0"
                )));
            }
        }
        if self.parking == Parking::Source && !self.source_settles {
            return Err(Error::rejected(
                "setting `parking`: expected the own parking lot, actual the source's, but only a persistent group has one",
            ));
        }
        Ok(())
    }

    pub(super) fn lane_writes(&self) -> usize {
        let one_by_one = self.lane_order == LaneOrder::Arrival || !self.throttle.is_zero();
        if one_by_one { 1 } else { self.lane_writes_max }
    }

    pub(super) fn batch_count(&self) -> usize {
        if self.throttle.is_zero() { self.batch_count_max } else { 1 }
    }

    /// The delay before try number `attempt + 1`: doubled per attempt up to the maximum, then
    /// shortened by up to half (`jitter` in thousandths of that half).
    pub(super) fn retry_delay_of(&self, attempt: u32, jitter: u16) -> Duration {
        let backoff = Backoff::new(self.retry_delay, self.retry_delay_max);
        backoff.delay(attempt, Jitter::thousandths(jitter))
    }

    pub(super) fn reopen_delay_of(&self, attempt: u32, jitter: u16) -> Duration {
        let backoff = Backoff::new(self.reopen_delay, self.reopen_delay_max);
        backoff.delay(attempt, Jitter::thousandths(jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_jitter_shortens_it_by_at_most_half() {
        let settings = PipelineSettings::default();
        let delays = [1, 2, 3, 8, 40].map(|attempt| settings.retry_delay_of(attempt, 0));
        assert_eq!(delays.map(|delay| delay.as_millis()), [50, 100, 200, 5000, 5000]);
        assert_eq!(settings.retry_delay_of(1, 1000), Duration::from_millis(25));
    }

    #[test]
    fn a_zero_bound_is_refused_by_name() {
        let settings = PipelineSettings { lane_count: 0, ..PipelineSettings::default() };
        assert_eq!(
            settings.validate().unwrap_err().to_string(),
            "setting `lane_count`: expected at least 1, actual 0"
        );
    }
}

//! Limits and choices of a pipeline, as plain data.

use std::time::Duration;

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

/// Settings of one pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineSettings {
    /// Lanes, at least one. A stream is always in the same lane.
    pub lane_count: usize,
    /// The order within a lane.
    pub lane_order: LaneOrder,
    /// Effect of a blocked stream on the others of its lane.
    pub neighbours: Neighbours,
    /// Largest number of simultaneous writes in a lane; one for the order [`LaneOrder::Arrival`].
    pub lane_writes_max: usize,
    /// Largest number of events in one write.
    pub batch_count_max: usize,
    /// Largest size of one write in bytes. A single event may be larger.
    pub batch_bytes_max: usize,
    /// True when a write may contain events of several streams. Depends on the sink.
    pub mixes_streams: bool,
    /// Largest number of events held at once. The shell stops reading at this number.
    pub held_count_max: usize,
    /// Largest number of events that wait behind failing ones. Above it the stream with the most
    /// events is given up: its failing event is parked early, so that a bad stream cannot fill the
    /// whole buffer for long.
    pub blocked_count_max: usize,
    /// Time for which an event must have been failing before its stream can be given up.
    pub blocked_wait_max: Duration,
    /// Tries of an event that the sink refused for now, before it is parked.
    pub retry_count_max: u32,
    /// The first delay before a retry; it doubles with each.
    pub retry_delay: Duration,
    /// The longest delay before a retry.
    pub retry_delay_max: Duration,
    /// Longest wait of an event for the events before it to appear at the destination. Then the
    /// event is parked.
    pub missing_wait_max: Duration,
    /// Reaction to a different event at the same number.
    pub conflict_policy: ConflictPolicy,
    /// Behaviour of a stream after one of its events was parked.
    pub followers: Followers,
    /// The owner of the parking lot.
    pub parking: Parking,
    /// Time in which the followers of a parked event are parked without a try. Then one of them is
    /// tried again.
    pub broken_memory: Duration,
    /// Largest number of streams remembered for a parked event. Above it the oldest entry is
    /// forgotten, and the next event of that stream is tried again.
    pub broken_count_max: usize,
    /// Pause after each written event; zero for none. With a pause, events are written one by one.
    pub throttle: Duration,
    /// Waiting time after which an event is handed back to a source that settles, to be delivered
    /// again. None for never. Must be below the group's message timeout.
    pub renew_after: Option<Duration>,
    /// Longest wait for an event that was handed back. Then its stream continues without it
    /// (another consumer has it).
    pub redelivery_wait_max: Duration,
    /// Downtime of the sink after which a source that settles is closed, so that its messages do
    /// not use up their retries. None for never.
    pub suspend_after: Option<Duration>,
    /// Interval at which the checkpoint is saved.
    pub checkpoint_interval: Duration,
    /// Number of finished events after which the checkpoint is saved earlier.
    pub checkpoint_event_count: u64,
    /// True when the source settles. Then no checkpoint is kept here.
    pub source_settles: bool,
    /// The first delay before a lost source is opened again. It doubles with each failure.
    pub reopen_delay: Duration,
    /// The longest delay before a lost source is opened again.
    pub reopen_delay_max: Duration,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            lane_count: 1,
            lane_order: LaneOrder::Arrival,
            neighbours: Neighbours::GoOn,
            lane_writes_max: 4,
            batch_count_max: 256,
            batch_bytes_max: 512 * 1024,
            mixes_streams: false,
            held_count_max: 8192,
            blocked_count_max: 4096,
            blocked_wait_max: Duration::from_secs(5),
            retry_count_max: 10,
            retry_delay: Duration::from_millis(50),
            retry_delay_max: Duration::from_secs(5),
            missing_wait_max: Duration::from_secs(30),
            conflict_policy: ConflictPolicy::Park,
            followers: Followers::Park,
            parking: Parking::Own,
            broken_memory: Duration::from_secs(60),
            broken_count_max: 100_000,
            throttle: Duration::ZERO,
            renew_after: None,
            redelivery_wait_max: Duration::from_secs(60),
            suspend_after: None,
            checkpoint_interval: Duration::from_secs(5),
            checkpoint_event_count: 1000,
            source_settles: false,
            reopen_delay: Duration::from_millis(100),
            reopen_delay_max: Duration::from_secs(5),
        }
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
        backoff(self.retry_delay, self.retry_delay_max, attempt, jitter)
    }

    pub(super) fn reopen_delay_of(&self, attempt: u32, jitter: u16) -> Duration {
        backoff(self.reopen_delay, self.reopen_delay_max, attempt, jitter)
    }
}

fn backoff(first: Duration, max: Duration, attempt: u32, jitter: u16) -> Duration {
    let doubled = first.saturating_mul(1_u32 << attempt.saturating_sub(1).min(20)).min(max);
    doubled - doubled.saturating_mul(u32::from(jitter.min(1000))) / 2000
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

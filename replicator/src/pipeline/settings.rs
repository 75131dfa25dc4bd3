//! The bounds and choices of a pipeline. Plain data.

use std::time::Duration;

use crate::{Error, Result};

/// In which order a lane writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOrder {
    /// In the order of arrival, over all streams of the lane, one write at a time; only neighbours of one stream share a write.
    Arrival,
    /// In order within each stream; what waits of a stream goes in one write, and several streams are written at once.
    PerStream,
}

/// What the other streams of a lane do while one of its streams is blocked by a failing event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbours {
    /// They go on.
    GoOn,
    /// They wait, so that the order of the lane stays the order of arrival.
    Wait,
}

/// What happens to the later events of a stream when one was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// They are parked as well: with exact revisions they cannot be written, and replaying the parked one keeps the order.
    Park,
    /// They are written: parked events that are replayed later come after them.
    GoOn,
}

/// What to do with an event at whose number the destination has another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// Put it aside with the reason.
    Park,
    /// Pass over it, counted.
    Skip,
    /// Stop the subscription with an error.
    Stop,
}

/// Who keeps parked events.
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
    /// Whether a blocked stream stops the others of its lane.
    pub neighbours: Neighbours,
    /// Writes under way at once in a lane; one when the order is [`LaneOrder::Arrival`].
    pub lane_writes_max: usize,
    /// Events in one write at most.
    pub batch_count_max: usize,
    /// Bytes in one write at most; a single event may be larger.
    pub batch_bytes_max: usize,
    /// Whether a write may carry events of several streams: as the sink says.
    pub mixes_streams: bool,
    /// Events that may be held at once; the shell stops reading when so many are.
    pub held_count_max: usize,
    /// Events that may wait behind failing ones. Above it the stream with the most is given up: its failing event is parked early, so that a
    /// bad stream can never fill the whole buffer for long.
    pub blocked_count_max: usize,
    /// How long an event must have been failing before it can be given up early.
    pub blocked_wait_max: Duration,
    /// Tries of an event that the sink refused for now, before it is parked.
    pub retry_count_max: u32,
    /// The first delay before a retry; it doubles with each.
    pub retry_delay: Duration,
    /// The longest delay before a retry.
    pub retry_delay_max: Duration,
    /// How long an event waits for the ones before it to appear at the destination, before it is parked.
    pub missing_wait_max: Duration,
    /// What a different event at the same number leads to.
    pub conflict_policy: ConflictPolicy,
    /// What happens to the followers of a parked event.
    pub followers: Followers,
    /// Who parks.
    pub parking: Parking,
    /// How long the followers of a parked event are parked unseen; then one of them is tried again.
    pub broken_memory: Duration,
    /// Streams with a parked event that are remembered; above it the oldest is forgotten, whose followers then find out themselves.
    pub broken_count_max: usize,
    /// A pause after each event that was written; zero for none. With one, events go one by one.
    pub throttle: Duration,
    /// After how long an event that still waits is handed back to a source which settles, and asked for again; none for never. Below the
    /// group's message timeout.
    pub renew_after: Option<Duration>,
    /// How long a handed back event is waited for, before its stream goes on without it (another consumer has it).
    pub redelivery_wait_max: Duration,
    /// How long the sink may be away before a source which settles is closed, so that its messages do not use up their retries; none for never.
    pub suspend_after: Option<Duration>,
    /// How often the checkpoint is saved.
    pub checkpoint_interval: Duration,
    /// It is saved earlier when so many events are done.
    pub checkpoint_event_count: u64,
    /// Whether the source settles, and so keeps no checkpoint here.
    pub source_settles: bool,
    /// The first delay before a lost source is opened again; it doubles.
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
    /// Checks what the pipeline relies on.
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

    /// The delay before try number `attempt + 1`: capped doubling, of which the upper half is shortened by `jitter` thousandths.
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

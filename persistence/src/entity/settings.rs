//! The limits of entities.

use std::time::Duration;

use antiphon_base::bounds::{self, HOUR, YEAR};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits of the entities of one type. Plain values; the defaults fit most entities.
///
/// ```
/// use antiphon_persistence::entity::EntitySettings;
///
/// let settings = EntitySettings { snapshot_every: 100, ..EntitySettings::default() };
/// assert!(settings.validate().is_ok());
///
/// let wrong = EntitySettings { append_events_max: 10, ..settings };
/// let error = wrong.validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`append_events_max`: expected at least `command_events_max` (1000), actual 10"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntitySettings {
    /// Most commands of one entity that are not answered yet: they wait, are handled, or wait for
    /// the disk. Beyond, a command is refused with `Overloaded`. Stashed commands do not count: a
    /// full stash keeps no command out. Commands that are unstashed count again, without a limit.
    pub mailbox_max: usize,
    /// Most commands in the stash, which are kept in addition to those of `mailbox_max`. Beyond, a
    /// command is refused with `Overloaded`, after the commands whose askers have given up were
    /// dropped.
    pub stash_max: usize,
    /// Most commands of one entity that wait for events which their sessions have seen; they count
    /// in `mailbox_max`. Beyond, a command is refused with `Overloaded`, after the commands whose
    /// askers have given up were dropped, and counted in `behind_overflows`.
    pub behind_max: usize,
    /// Longest wait of such a command, also when its asker waits longer or without a limit. Then it
    /// is answered with `Behind`.
    #[serde(with = "antiphon_base::time::text")]
    pub behind_wait_max: Duration,
    /// Most events of one append.
    pub append_events_max: usize,
    /// Most events that are applied and not durable. Beyond, commands and pulls wait.
    pub unpersisted_events_max: usize,
    /// Most encoded bytes of events that are applied and not durable. Beyond, commands and pulls
    /// wait.
    pub unpersisted_bytes_max: usize,
    /// Most events of one command, stored together or not at all. Beyond, the command is rejected.
    pub command_events_max: usize,
    /// Most events of other replicas that wait for their causes. Beyond, events are dropped and
    /// read again.
    pub waiting_events_max: usize,
    /// Most events of other replicas that are under way to the entity within the node, and most
    /// that are kept while it recovers. Beyond, events are dropped and read again.
    pub arrivals_max: usize,
    /// Most events of one read during recovery.
    pub replay_events_max: usize,
    /// Most events of one read of another replica's journal.
    pub pull_events_max: usize,
    /// True when an entity reads the other replicas' journals at its start; otherwise it waits for
    /// the journal loop.
    pub pull_at_start: bool,
    /// First wait before a failed read of another replica's journal is repeated; doubles up to
    /// `pull_retry_max`.
    #[serde(with = "antiphon_base::time::text")]
    pub pull_retry_min: Duration,
    /// Longest wait before such a read is repeated.
    #[serde(with = "antiphon_base::time::text")]
    pub pull_retry_max: Duration,
    /// Longest wait of commands for the other replicas' journals when the own journal may have gone
    /// back. After this time, or a failed read, commands are refused with `Unavailable` until the
    /// other journals were read.
    #[serde(with = "antiphon_base::time::text")]
    pub reclaim_wait: Duration,
    /// First wait before an event that is held back is tried again; doubles up to `held_retry_max`.
    #[serde(with = "antiphon_base::time::text")]
    pub held_retry_min: Duration,
    /// Longest wait before an event that is held back is tried again.
    #[serde(with = "antiphon_base::time::text")]
    pub held_retry_max: Duration,
    /// Most time that an event of another replica may be ahead of this node's time of day, so that
    /// own times follow it. The time of an event that is further ahead is that of a wrong clock:
    /// direct replication does not take the event, the journal brings it, and it is applied without
    /// its time being taken over.
    #[serde(with = "antiphon_base::time::text")]
    pub time_skew_max: Duration,
    /// Longest run of the future of an asynchronous effect. After this time the future is dropped,
    /// and the entity goes on without it.
    #[serde(with = "antiphon_base::time::text")]
    pub asynchronous_timeout: Duration,
    /// Most futures of `then_asynchronous` of one entity that are under way, or whose commands
    /// wait. Beyond, a future is not begun, and its command is made of `TooMany`.
    pub asynchronous_max: usize,
    /// Most timers of one entity that run at the same time, without the receive timeout. A command
    /// that would start more is rejected, and counted in `timers_refused`.
    pub timers_max: usize,
    /// Most appends of this type at a node that a listener may be behind. The events of older ones
    /// are missed, and counted in `listener_appends_missed`. They are kept only while somebody
    /// listens.
    pub listener_appends_max: usize,
    /// Most bytes of events that are kept for the slowest listener of this type at a node. Beyond,
    /// the oldest are missed as well.
    pub listener_bytes_max: usize,
    /// Most reminders of one entity that wait for their time. A command that would set more is
    /// rejected, and counted in `reminders_refused`. Reminders of other replicas are always taken.
    pub reminders_max: usize,
    /// Most requests of one entity that are remembered: the commands with a request id that have
    /// stored events. The oldest ones are forgotten beyond, and counted in `requests_forgotten`; a
    /// repetition of a forgotten one is handled anew. Zero: commands with a request id are
    /// rejected.
    pub requests_max: usize,
    /// Shortest time for which a request is remembered. While the oldest of `requests_max` requests
    /// is younger, a command with a new request id is refused with `Overloaded`, and counted in
    /// `requests_refused`. At most 1 h, and at most `requests_age`.
    #[serde(with = "antiphon_base::time::text")]
    pub requests_kept_min: Duration,
    /// Time after which a request is forgotten, when a new one comes at this replica.
    #[serde(with = "antiphon_base::time::text")]
    pub requests_age: Duration,
    /// Most bytes of the encoded answer of a request, which is kept for repetitions. A repetition
    /// gets `Done` in place of a larger one, which is counted in `answers_unkept`. Times
    /// `requests_max` at most 32 MiB.
    pub request_answer_bytes_max: usize,
    /// First wait before a failed entity restarts; doubles up to `restart_max`, and begins anew
    /// when the entity has stored something since, or has worked for `restart_max`.
    #[serde(with = "antiphon_base::time::text")]
    pub restart_min: Duration,
    /// Longest wait before a failed entity restarts.
    #[serde(with = "antiphon_base::time::text")]
    pub restart_max: Duration,
    /// Most entities of this type at a node that recover at the same time; others wait for a
    /// permit.
    pub recoveries_max: usize,
    /// The number of events after which a snapshot is taken, counted over all lives of the entity;
    /// zero: no snapshots by count.
    pub snapshot_every: u64,
    /// The number of events that a recovery replays without taking a snapshot at its end, which the
    /// next recovery begins with; zero: a recovery takes none.
    pub snapshot_after_replay: u64,
    /// The time after a snapshot, or after the first event, at which the next one is taken, with
    /// the next event or at the next start; zero: no snapshots by age.
    #[serde(with = "antiphon_base::time::text")]
    pub snapshot_after_age: Duration,
    /// The number of snapshots that are kept, at least one.
    pub snapshots_keep: u64,
    /// True when, after a snapshot, events up to the oldest kept snapshot are deleted if every
    /// replica is known to have them.
    pub delete_events: bool,
    /// True when commands are handled while an append is under way (output commit). False: one
    /// append per command, for comparison only.
    pub pipelined: bool,
}

impl Default for EntitySettings {
    fn default() -> Self {
        Self {
            mailbox_max: 1000,
            stash_max: 1000,
            behind_max: 100,
            behind_wait_max: Duration::from_secs(60),
            append_events_max: 1000,
            unpersisted_events_max: 4000,
            unpersisted_bytes_max: 32 << 20,
            command_events_max: 1000,
            waiting_events_max: 1000,
            arrivals_max: 4000,
            replay_events_max: 1000,
            pull_events_max: 1000,
            pull_at_start: true,
            pull_retry_min: Duration::from_millis(200),
            pull_retry_max: Duration::from_secs(10),
            reclaim_wait: Duration::from_secs(2),
            held_retry_min: Duration::from_secs(1),
            held_retry_max: Duration::from_secs(10),
            time_skew_max: Duration::from_secs(60),
            asynchronous_timeout: Duration::from_secs(30),
            asynchronous_max: 100,
            timers_max: 100,
            listener_appends_max: 1024,
            listener_bytes_max: 64 << 20,
            reminders_max: 100,
            requests_max: 1000,
            requests_kept_min: Duration::from_secs(60),
            requests_age: Duration::from_secs(24 * 3600),
            request_answer_bytes_max: 1024,
            restart_min: Duration::from_millis(200),
            restart_max: Duration::from_secs(10),
            recoveries_max: 64,
            snapshot_every: 0,
            snapshot_after_replay: 1000,
            snapshot_after_age: Duration::ZERO,
            snapshots_keep: 2,
            delete_events: false,
            pipelined: true,
        }
    }
}

/// Most bytes of the answers that one entity keeps.
const REQUEST_BYTES_MAX: usize = 32 << 20;

impl EntitySettings {
    /// Checks every value, and that the values fit each other.
    ///
    /// # Errors
    /// `Rejected`, with the setting, its value and the expected range.
    pub fn validate(&self) -> Result<()> {
        const MOST: usize = 1 << 24;
        bounds::count("mailbox_max", self.mailbox_max, 1..=MOST)?;
        bounds::count("stash_max", self.stash_max, 0..=MOST)?;
        bounds::count("behind_max", self.behind_max, 0..=1 << 16)?;
        bounds::count("append_events_max", self.append_events_max, 1..=MOST)?;
        bounds::count("unpersisted_events_max", self.unpersisted_events_max, 1..=MOST)?;
        bounds::count("unpersisted_bytes_max", self.unpersisted_bytes_max, 1..=1 << 32)?;
        bounds::count("command_events_max", self.command_events_max, 1..=MOST)?;
        bounds::count("waiting_events_max", self.waiting_events_max, 0..=MOST)?;
        bounds::count("arrivals_max", self.arrivals_max, 0..=MOST)?;
        bounds::count("replay_events_max", self.replay_events_max, 1..=MOST)?;
        bounds::count("pull_events_max", self.pull_events_max, 1..=MOST)?;
        bounds::count("asynchronous_max", self.asynchronous_max, 0..=1 << 16)?;
        bounds::count("timers_max", self.timers_max, 0..=1 << 16)?;
        bounds::count("listener_appends_max", self.listener_appends_max, 1..=1 << 20)?;
        bounds::count("listener_bytes_max", self.listener_bytes_max, 1..=1 << 32)?;
        bounds::count("reminders_max", self.reminders_max, 0..=10_000)?;
        bounds::count("requests_max", self.requests_max, 0..=10_000)?;
        bounds::count("request_answer_bytes_max", self.request_answer_bytes_max, 0..=16 << 10)?;
        self.check_answers()?;
        let kept_min = self.requests_kept_min;
        bounds::duration("requests_kept_min", kept_min, Duration::ZERO..=HOUR)?;
        let least = kept_min.max(Duration::from_millis(1));
        bounds::duration("requests_age", self.requests_age, least..=YEAR)?;
        bounds::count("recoveries_max", self.recoveries_max, 1..=1 << 16)?;
        for (name, actual) in [
            ("behind_wait_max", self.behind_wait_max),
            ("pull_retry_min", self.pull_retry_min),
            ("pull_retry_max", self.pull_retry_max),
            ("reclaim_wait", self.reclaim_wait),
            ("held_retry_min", self.held_retry_min),
            ("held_retry_max", self.held_retry_max),
            ("asynchronous_timeout", self.asynchronous_timeout),
            ("restart_min", self.restart_min),
            ("restart_max", self.restart_max),
        ] {
            bounds::duration(name, actual, Duration::from_millis(1)..=HOUR)?;
        }
        bounds::number("snapshot_after_replay", self.snapshot_after_replay, 0..=1 << 48)?;
        let ages = Duration::ZERO..=YEAR;
        bounds::duration("snapshot_after_age", self.snapshot_after_age, ages)?;
        bounds::duration("time_skew_max", self.time_skew_max, Duration::ZERO..=YEAR)?;
        for (name, actual, limit_name, limit) in [
            (
                "append_events_max",
                self.append_events_max,
                "command_events_max",
                self.command_events_max,
            ),
            (
                "unpersisted_events_max",
                self.unpersisted_events_max,
                "append_events_max",
                self.append_events_max,
            ),
        ] {
            if actual < limit {
                return Err(Error::rejected(format!(
                    "`{name}`: expected at least `{limit_name}` ({limit}), actual {actual}"
                )));
            }
        }
        let held_retry_min = (self.held_retry_min, "`held_retry_min`");
        bounds::at_least(("held_retry_max", self.held_retry_max), held_retry_min)?;
        let pull_retry_min = (self.pull_retry_min, "`pull_retry_min`");
        bounds::at_least(("pull_retry_max", self.pull_retry_max), pull_retry_min)?;
        let restart_min = (self.restart_min, "`restart_min`");
        bounds::at_least(("restart_max", self.restart_max), restart_min)?;
        bounds::number("snapshot_every", self.snapshot_every, 0..=1 << 48)?;
        bounds::number("snapshots_keep", self.snapshots_keep, 1..=1 << 20)
    }

    /// Checks the bytes of all answers that an entity may keep.
    fn check_answers(&self) -> Result<()> {
        let (requests, bytes) = (self.requests_max, self.request_answer_bytes_max);
        if requests * bytes > REQUEST_BYTES_MAX {
            return Err(Error::rejected(format!(
                "`requests_max` {requests} times `request_answer_bytes_max` {bytes}: expected at most {REQUEST_BYTES_MAX} bytes, which one entity and each of its snapshots have: lower one of them"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_answers_of_an_entity_have_a_bound_together() {
        let settings = |requests_max, request_answer_bytes_max| EntitySettings {
            requests_max,
            request_answer_bytes_max,
            ..EntitySettings::default()
        };
        settings(10_000, 3000).validate().unwrap();
        settings(2000, 16 << 10).validate().unwrap();
        let error = settings(10_000, 16 << 10).validate().unwrap_err().to_string();
        assert!(error.contains("`requests_max` 10000 times"), "{error}");
    }
}

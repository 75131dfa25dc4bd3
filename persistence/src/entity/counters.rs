//! Counters of the entities of one type at one node, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of all entities that share a runtime; each only grows.
        #[derive(Debug, Default)]
        pub struct EntityCounters {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl EntityCounters {
            /// Names and values, for metrics.
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Commands that a handler has taken.
    commands_handled,
    /// Commands refused because the mailbox was full (`mailbox_max`).
    commands_refused,
    /// Commands that no handler wanted.
    commands_unhandled,
    /// Commands dropped because the stash was full (`stash_max`).
    stash_overflows,
    /// Application code that panicked.
    handler_panics,
    /// Commands that were void when their turn came: their askers had given up.
    commands_expired,
    /// Commands with the id of a request that was done, which got the answer of the first one.
    commands_repeated,
    /// Commands with a request id that waited for the end of an earlier command with the same id.
    commands_joined,
    /// Requests that were forgotten before `requests_age`, because newer ones came
    /// (`requests_max`).
    requests_forgotten,
    /// Requests that were forgotten because they were older than `requests_age`.
    requests_aged,
    /// Commands with a new request id that were refused, since each of `requests_max` requests was
    /// younger than `requests_kept_min`.
    requests_refused,
    /// Answers that are not kept for repetitions: they were larger than
    /// `request_answer_bytes_max`, or did not fit the event.
    answers_unkept,
    /// Events with a request that could not be read, of a newer version or of another program. Such
    /// events were applied, and their requests are not remembered.
    requests_unread,
    /// Commands refused because they would have waited for themselves: their entity held up its
    /// commands for an answer that waited for them.
    commands_in_circles,
    /// Commands that waited for events which their sessions have seen.
    commands_behind,
    /// Commands that waited so, and were answered with `Behind`.
    commands_left_behind,
    /// Commands that were refused because too many waited so (`behind_max`).
    behind_overflows,
    /// Futures of asynchronous effects that were dropped after `asynchronous_timeout`.
    asynchronous_timeouts,
    /// Futures of asynchronous effects that were not begun, because too many of the entity were
    /// under way (`asynchronous_max`).
    asynchronous_overflows,
    /// Commands of timers and receive timeouts that came to their turn.
    timers_fired,
    /// Commands that were rejected because they would have started too many timers (`timers_max`),
    /// or a timer with a time that is out of range.
    timers_refused,
    /// Timers that ended with their entity: it was passivated, moved, or started again.
    timers_lost,
    /// Reminders whose handler was called.
    reminders_fired,
    /// Reminders whose handler panicked, or whose effect was refused; they are due again later.
    reminders_failed,
    /// Reminders that fired in a behaviour without `on_reminder`.
    reminders_unhandled,
    /// Commands that were rejected because of a reminder: too many (`reminders_max`), out of range,
    /// or without an event.
    reminders_refused,
    /// Due rows without a reminder: it was cancelled, replaced, or its event was never stored. The
    /// rows were removed.
    reminders_stale,
    /// Rows of reminders that could not be put or removed; they are put or removed when they are
    /// due.
    reminders_unstored,
    /// Rows of reminders that were missing after a recovery, and were put again.
    reminders_mended,
    /// Events with a reminder that could not be read, of a newer version or of another program.
    /// Such events were applied without it, and their entities take no snapshots.
    reminders_unread,
    /// Reactions to events of other replicas (`on_replicated`).
    reactions,
    /// Reactions that panicked, or whose effect was refused; they are not repeated.
    reactions_failed,
    /// Origins that an entity began to hold back, because an event of that origin cannot be applied
    /// here.
    origins_held,
    /// Origins that an entity held back and takes again.
    origins_freed,
    /// Events that were skipped by an operator's order.
    events_skipped,
    /// Appends whose events a listener has missed, because it was behind by more than
    /// `listener_appends_max` or `listener_bytes_max`, or because the append had begun before.
    listener_appends_missed,
    /// Events of this replica that were persisted.
    events_persisted,
    /// Events of other replicas that came by direct replication and were persisted.
    events_direct,
    /// Events of other replicas that were read from a journal and persisted.
    events_pulled,
    /// Events of other replicas whose time was more than `time_skew_max` ahead of this node's time
    /// of day. They were applied, and own times do not follow them.
    events_ahead,
    /// Events of this replica that the journal had lost and that were taken back from other
    /// replicas.
    events_reclaimed,
    /// Events of this replica with a number under which another replica has a different event; the
    /// replicas differ for ever.
    events_forked,
    /// Commands refused because the journal may have gone back and a replica could not be asked
    /// yet.
    commands_doubted,
    /// Events dropped because they were applied before, or waited already.
    events_duplicate,
    /// Events dropped because too many waited for their causes (`waiting_events_max`), or because
    /// they waited for more than three seconds; they are read again.
    waiting_overflows,
    /// Events dropped because too many were on their way to the entity, or came while it recovered
    /// (`arrivals_max`), or because it recovered for more than three seconds; they are read again.
    arrival_overflows,
    /// Appends that were stored.
    appends,
    /// Appends that failed.
    appends_failed,
    /// Reads of other replicas' journals.
    pulls,
    /// Reads of other replicas' journals that failed.
    pulls_failed,
    /// Recoveries that completed.
    recoveries,
    /// Restarts of entities: after a failed recovery, a failed append, or a panic of `on_event`.
    restarts,
    /// Entities that could not be started: the application's factory failed, or the shapes of its
    /// types were not accepted.
    starts_failed,
    /// Entities that were stopped because their engine was in a state that cannot be: a bug.
    engines_broken,
    /// Snapshots that were stored.
    snapshots_saved,
    /// Snapshots that could not be stored, or that could not have been read again.
    snapshots_failed,
    /// Snapshots that a recovery could not use; an older one, or the events, were read instead.
    snapshots_passed_over,
    /// Own events that were refused before they were stored, because they could not have been read
    /// again.
    events_rejected,
    /// Entities that stopped because another writer owned their stream.
    fenced,
    /// Answers that were held back because the node was not live.
    answers_withheld,
}

impl EntityCounters {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

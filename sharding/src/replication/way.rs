//! Notices when direct replication to one shard of another replica may have lost events, and tells
//! its home to read this replica's feed as soon as the way is open.
//!
//! Direct replication never sends twice. Events that found no home, a full queue or a broken link
//! are left to the journal loop of the receiver, whose next read may be seconds away. The opening
//! of the way is the signal to read now.
//!
//! ```text
//!            sent                       another home or connection, dropped
//!   quiet ----------> used ----------------------------------------------------> missed
//!     ^                |                                                           |
//!     +----------------+-------- connected, loop_wake_interval since the last: Tell -------+
//! ```
//!
//! Invariant: after an event that may not have arrived, the home is told once it can be reached, at
//! most once in each `loop_wake_interval`, however often the link flaps.

use std::time::Duration;

use antiphon_runtime::NodeId;
use tokio::time::Instant;

/// The home of a shard and the connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The home.
    pub node: NodeId,
    /// The number of the connection, from [`antiphon_runtime::Gate::connection`].
    pub number: u64,
}

/// A fact for the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Events were handed to the link.
    Sent,
    /// Events could not be sent.
    Dropped,
    /// The node became the home of the shard that writes the events; its last home may not have
    /// sent the last events.
    Began,
    /// The connection to the home, if there is one now.
    Look(Option<Connection>),
    /// The home could not be told.
    NotTold,
}

/// A request of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the home that it should read the feed now; answered by `NotTold` if that fails.
    Tell(NodeId),
}

/// The way of direct replication to one shard of another replica.
#[derive(Debug)]
pub struct Way {
    loop_wake_interval: Duration,
    connection: Option<Connection>,
    /// True when events were sent over this connection, and may be lost with it.
    is_used: bool,
    missed: bool,
    told_at: Option<Instant>,
}

impl Way {
    /// A way on which nothing was sent. `loop_wake_interval` is the shortest time between two
    /// signals.
    pub fn new(loop_wake_interval: Duration) -> Self {
        let (connection, told_at) = (None, None);
        Self { loop_wake_interval, connection, is_used: false, missed: false, told_at }
    }

    /// Advances the way by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Option<Effect> {
        let effect = match input {
            Input::Sent => {
                self.is_used = true;
                // the connection that the events went over is not known
                self.missed |= self.connection.is_none();
                None
            }
            Input::Dropped | Input::Began | Input::NotTold => {
                self.missed = true;
                None
            }
            Input::Look(connection) => self.look(now, connection),
        };
        self.check();
        effect
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        assert!(
            !self.is_used || self.connection.is_some() || self.missed,
            "events were sent over an unknown connection, and their loss would not be noticed"
        );
    }

    fn look(&mut self, now: Instant, connection: Option<Connection>) -> Option<Effect> {
        if connection != self.connection {
            self.missed |= std::mem::take(&mut self.is_used);
            self.connection = connection;
        }
        let node = self.connection.as_ref()?.node.clone();
        let is_early = self.told_at.is_some_and(|at| now < at + self.loop_wake_interval);
        if !self.missed || is_early {
            return None;
        }
        self.missed = false;
        self.told_at = Some(now);
        Some(Effect::Tell(node))
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn way() -> (Way, Instant) {
        (Way::new(INTERVAL), SystemClock.now())
    }

    fn look(name: &str, number: u64) -> Input {
        Input::Look(Some(Connection { node: node(name), number }))
    }

    fn node(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    fn tell(name: &str) -> Option<Effect> {
        Some(Effect::Tell(node(name)))
    }

    #[test]
    fn a_way_that_nothing_was_lost_on_tells_nothing() {
        let (mut way, t0) = way();
        for number in 1..4 {
            assert_eq!(way.step(t0, look("b", number)), None);
            assert_eq!(way.step(t0, Input::Look(None)), None);
        }
        way.step(t0, look("b", 4));
        assert_eq!(way.step(t0, Input::Sent), None);
        assert_eq!(way.step(t0 + 9 * INTERVAL, look("b", 4)), None, "the same connection");
    }

    #[test]
    fn events_without_a_home_or_over_a_full_queue_are_told_of_when_there_is_one() {
        let (mut way, t0) = way();
        way.step(t0, Input::Dropped);
        assert_eq!(way.step(t0, Input::Look(None)), None);
        assert_eq!(way.step(t0, look("b", 1)), tell("b"));
        assert_eq!(way.step(t0 + INTERVAL, look("b", 1)), None, "told once");
        way.step(t0, Input::Dropped);
        assert_eq!(way.step(t0 + INTERVAL, look("b", 1)), tell("b"), "the queue has drained");
    }

    #[test]
    fn events_over_a_connection_that_is_gone_are_told_of_over_the_next_one() {
        let (mut way, t0) = way();
        way.step(t0, look("b", 1));
        way.step(t0, Input::Sent);
        assert_eq!(way.step(t0, look("b", 2)), tell("b"), "the link is back");
        way.step(t0, Input::Sent);
        assert_eq!(way.step(t0 + INTERVAL, look("c", 3)), tell("c"), "a new home");
    }

    #[test]
    fn a_new_home_of_the_writer_tells_the_other_replicas() {
        let (mut way, t0) = way();
        way.step(t0, look("b", 1));
        way.step(t0, Input::Began);
        assert_eq!(way.step(t0, look("b", 1)), tell("b"));
    }

    #[test]
    fn a_link_that_flaps_is_told_of_once_each_interval() {
        let (mut way, t0) = way();
        let mut told = 0;
        for step in 0..1000u32 {
            let now = t0 + step * INTERVAL / 100;
            way.step(now, Input::Sent);
            told += usize::from(way.step(now, look("b", u64::from(step))).is_some());
        }
        assert_eq!(told, 10);
    }

    #[test]
    fn a_signal_that_could_not_be_sent_is_sent_again() {
        let (mut way, t0) = way();
        way.step(t0, Input::Dropped);
        assert_eq!(way.step(t0, look("b", 1)), tell("b"));
        way.step(t0, Input::NotTold);
        assert_eq!(way.step(t0, look("b", 1)), None, "not at once");
        assert_eq!(way.step(t0 + INTERVAL, look("b", 1)), tell("b"));
    }
}

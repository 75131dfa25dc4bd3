//! Decides which sessions should exist: one with each member that is there and answers probes.
//!
//! ```text
//!                 (dialling side)               stream opened, or taken
//!   waiting -----------------------> opening ---------------------------> open
//!      ^  retry is due                  | failed                            | ended, frozen, gone
//!      +--------------------------------+-----------------------------------+
//! ```
//!
//! The node with the smaller id opens; the other one waits for its streams.
//!
//! Invariants:
//! - a session that is open is with a member that is not frozen, and there is one with each;
//! - after the goodbye there is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_runtime::NodeId;
use tokio::time::Instant;

/// The number of a stream, and of the session over it. Each has another one.
pub(crate) type SessionNumber = u64;

/// A fact about members, streams and sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// The other members that are not dead, with their addresses.
    Members(BTreeMap<NodeId, Arc<str>>),
    /// The member does not answer probes (true), or answers again.
    Frozen(NodeId, bool),
    /// A member has opened a stream.
    Taken(NodeId, SessionNumber),
    /// A stream was opened.
    Opened(NodeId, SessionNumber),
    /// A stream could not be opened.
    NotOpened(NodeId),
    /// Both sides of the session know the actors and groups of each other.
    Ready(SessionNumber),
    /// The session, or its stream, has ended.
    Ended(SessionNumber),
    /// This node leaves the cluster.
    Goodbye,
    /// Time has passed.
    Tick,
}

/// The reason why a session ends, or does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// This node has said goodbye.
    Goodbye,
    /// The other node is no member, or none yet.
    NoMember,
    /// The member does not answer probes.
    Frozen,
    /// A newer stream takes its place.
    Replaced,
    /// The session was not ready in time: the other side greets too slowly, or not at all.
    Stalled,
}

impl Why {
    /// A short constant text for metrics.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::NoMember => "no_member",
            Self::Frozen => "frozen",
            Self::Replaced => "replaced",
            Self::Stalled => "stalled",
        }
    }
}

/// A request of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Open a stream to the member at this address; answered by `Opened` or `NotOpened`.
    Open(NodeId, Arc<str>),
    /// Begin the session over this stream.
    Begin(SessionNumber),
    /// End the session, or the stream without one.
    End(SessionNumber, Why),
}

/// Limits, from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreSettings {
    /// First wait before a stream is opened again.
    pub(crate) retry_min: Duration,
    /// Longest wait, and the time that a session must last so that the waits begin anew.
    pub(crate) retry_max: Duration,
    /// Longest time until a session is ready.
    pub(crate) ready_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Waiting { until: Instant },
    Opening,
    Open { session: SessionNumber, since: Instant, is_ready: bool },
}

#[derive(Debug)]
struct Other {
    address: Arc<str>,
    is_frozen: bool,
    way: Way,
    failures: u32,
}

/// The sessions of one node.
#[derive(Debug)]
pub(crate) struct Core {
    me: NodeId,
    settings: CoreSettings,
    others: BTreeMap<NodeId, Other>,
    has_left: bool,
}

impl Core {
    /// No sessions, and no members yet.
    pub(crate) fn new(me: NodeId, settings: CoreSettings) -> Self {
        Self { me, settings, others: BTreeMap::new(), has_left: false }
    }

    /// Advances by one input.
    pub(crate) fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Members(members) => self.members(now, members, &mut effects),
            Input::Frozen(node, is_frozen) => self.frozen(now, &node, is_frozen, &mut effects),
            Input::Taken(node, session) | Input::Opened(node, session) => {
                self.begin(now, &node, session, &mut effects);
            }
            Input::NotOpened(node) => {
                let other = self.others.get_mut(&node);
                if let Some(other) = other.filter(|other| other.way == Way::Opening) {
                    other.fail(now, self.settings);
                }
            }
            Input::Ended(session) => {
                if let Some(other) = self.others.values_mut().find(|other| other.has(session)) {
                    other.fail(now, self.settings);
                }
            }
            Input::Ready(number) => {
                for other in self.others.values_mut() {
                    if let Way::Open { session, is_ready, .. } = &mut other.way {
                        *is_ready |= *session == number;
                    }
                }
            }
            Input::Goodbye => {
                self.has_left = true;
                for other in std::mem::take(&mut self.others).into_values() {
                    effects.extend(other.end(Why::Goodbye));
                }
            }
            Input::Tick => {}
        }
        self.end_stalled(now, &mut effects);
        self.open_due(now, &mut effects);
        if cfg!(debug_assertions) {
            self.check();
        }
        effects
    }

    fn members(
        &mut self,
        now: Instant,
        mut members: BTreeMap<NodeId, Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        if self.has_left {
            return;
        }
        members.remove(&self.me);
        self.others.retain(|node, other| {
            let is_member = members.contains_key(node);
            effects.extend(other.end(Why::NoMember).filter(|_| !is_member));
            is_member
        });
        for (node, address) in members {
            let way = Way::Waiting { until: now };
            let new = Other { address: address.clone(), is_frozen: false, way, failures: 0 };
            self.others.entry(node).or_insert(new).address = address;
        }
    }

    fn frozen(&mut self, now: Instant, node: &NodeId, is_frozen: bool, effects: &mut Vec<Effect>) {
        let Some(other) = self.others.get_mut(node) else { return };
        other.is_frozen = is_frozen;
        if is_frozen && let Some(end) = other.end(Why::Frozen) {
            effects.push(end);
            other.fail(now, self.settings);
        }
    }

    fn begin(
        &mut self,
        now: Instant,
        node: &NodeId,
        session: SessionNumber,
        effects: &mut Vec<Effect>,
    ) {
        let refused = match self.others.get_mut(node) {
            None if self.has_left => Why::Goodbye,
            None => Why::NoMember,
            Some(other) if other.is_frozen => {
                other.fail(now, self.settings);
                Why::Frozen
            }
            Some(other) => {
                effects.extend(other.end(Why::Replaced));
                other.way = Way::Open { session, since: now, is_ready: false };
                effects.push(Effect::Begin(session));
                return;
            }
        };
        effects.push(Effect::End(session, refused));
    }

    /// Ends the sessions that were not ready in time.
    fn end_stalled(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Self { settings, others, .. } = self;
        for other in others.values_mut() {
            if let Way::Open { since, is_ready: false, .. } = other.way
                && now.duration_since(since) >= settings.ready_timeout
            {
                effects.extend(other.end(Why::Stalled));
                other.fail(now, *settings);
            }
        }
    }

    /// Opens the streams that are due, to members with larger ids.
    fn open_due(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for (node, other) in self.others.range_mut(self.me.clone()..) {
            let is_due = matches!(other.way, Way::Waiting { until } if until <= now);
            if is_due && !other.is_frozen {
                other.way = Way::Opening;
                effects.push(Effect::Open(node.clone(), other.address.clone()));
            }
        }
    }

    /// Asserts the invariants.
    pub(crate) fn check(&self) {
        assert!(!self.others.contains_key(&self.me), "a session with this node itself");
        assert!(!self.has_left || self.others.is_empty(), "a session after the goodbye");
        let mut sessions = Vec::new();
        for (node, other) in &self.others {
            match other.way {
                Way::Open { session, .. } => {
                    assert!(!other.is_frozen, "`{node}` is frozen, and has a session");
                    sessions.push(session);
                }
                Way::Opening => assert!(self.me < *node, "`{node}` opens the streams"),
                Way::Waiting { .. } => {}
            }
        }
        let count = sessions.len();
        sessions.sort_unstable();
        sessions.dedup();
        assert_eq!(sessions.len(), count, "one session with two members");
    }
}

impl Other {
    fn has(&self, number: SessionNumber) -> bool {
        matches!(self.way, Way::Open { session, .. } if session == number)
    }

    fn end(&self, why: Why) -> Option<Effect> {
        match self.way {
            Way::Open { session, .. } => Some(Effect::End(session, why)),
            Way::Opening | Way::Waiting { .. } => None,
        }
    }

    /// Waits after the end of a session or of a try, with longer waits each time until a session
    /// has lasted.
    fn fail(&mut self, now: Instant, settings: CoreSettings) {
        let has_lasted = matches!(
            self.way,
            Way::Open { since, is_ready: true, .. }
                if now.duration_since(since) >= settings.retry_max
        );
        self.failures = if has_lasted { 1 } else { self.failures.saturating_add(1) };
        let backoff = Backoff::new(settings.retry_min, settings.retry_max);
        self.way = Way::Waiting { until: now + backoff.delay(self.failures, Jitter::NONE) };
    }
}

#[cfg(test)]
mod tests;

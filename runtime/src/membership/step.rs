//! The inputs and effects of the core.

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use antiphon_persistence::store::RowVersion;

use super::row::{MemberRow, Versioned};
use super::verdict::{Verdict, Verdicts};
use super::view::MemberReplicas;
use crate::NodeId;

/// The purpose of a change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Renew the own row.
    Renew,
    /// Write dead and sealed into the own row.
    End,
    /// Declare another member dead.
    Declare,
    /// Write into the row of another member that it is sealed.
    Sealed,
    /// Delete an old row.
    Clean,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Stored; the new version.
    Applied(RowVersion),
    /// Not stored: the row has another version, with its content, or is gone.
    Conflict(Option<Versioned>),
    /// Unknown.
    Failed,
}

/// A fact for the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed. The value is the time of day.
    Tick(Timestamp),
    /// The table, or `None` when it could not be read.
    Scanned(Option<Vec<Versioned>>),
    /// The verdicts in the row of the lease.
    Verdicts(Verdicts),
    /// A change has ended.
    Changed(NodeId, Purpose, Outcome),
    /// The member has answered a probe.
    Reached(NodeId),
    /// The member does not answer its probes (true), or answers again (false).
    Suspect(NodeId, bool),
    /// The sealing of a dead node's writer, or of the own one, has ended; true when sealed.
    SealDone(NodeId, bool),
    /// True when this node holds the coordinator lease.
    Lease(bool),
    /// The number of shards that this node hosts.
    Hosted(u32),
    /// The replicas of the entity types that this node has started.
    Replicas(Arc<MemberReplicas>),
    /// Read the table at once: a node that it may name is not known yet.
    Look,
    /// Show in the own row that this node leaves.
    Leave,
    /// The own writer is sealed: write dead and sealed into the own row.
    End,
    /// End this node for a reason outside of membership: it does nothing any more, and its silence
    /// tells the other members.
    Stop,
}

/// A request of the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the table, and the row of the lease before it.
    Scan,
    /// Change a row that has this version; no new row means that it is deleted.
    Change(NodeId, Purpose, RowVersion, Option<Box<MemberRow>>),
    /// Add the verdict to the row of the lease, if it has this version.
    Condemn(Verdict, Option<RowVersion>),
    /// Seal the writer of a dead node, or the own one.
    Seal(NodeId),
    /// The members, their states or their cuts have changed.
    Publish,
    /// The node answers nothing any more, for this reason; `Fenced` follows when it is out.
    Retire(String),
    /// The node is out for ever, for this reason.
    Fenced(String),
    /// The own row says dead and sealed.
    Ended,
}

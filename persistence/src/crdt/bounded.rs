//! A number that never goes below a limit, whichever replicas lower it at the same time.
//!
//! An escrow (after Balegas et al., "Extending Eventually Consistent Cloud Databases for Enforcing
//! Numeric Invariants", 2015). The distance to the limit is divided into *rights*. An increase
//! gives its replica rights, a decrease uses rights of its replica, and a replica that has more
//! than it needs transfers some to another one. So each replica decides alone, and never takes what
//! another one may have taken.
//!
//! Invariants, at every replica and after every operation:
//! - no replica has used or given away more than it was given;
//! - so the value is at least the limit.
//!
//! An operation says how many rights its replica had received by then; the other entries of its
//! account change only in the replica's own order. So every replica decides alike whether there
//! were rights for the operation. One without them has no effect: the second of two decreases that
//! were prepared from the same state, when there were rights for one only. (An operation that lies
//! about the rights that it had received may be taken at one replica and not at another; the limit
//! holds at both.)

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use super::replicated::Replicated;
use crate::identity::ReplicaId;

/// A number that starts at its limit and never goes below it.
///
/// For a number that never goes *above* a limit, count what is left.
///
/// ```
/// use antiphon_persistence::crdt::{BoundedCounter, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut pieces = BoundedCounter::default();
/// pieces.apply(&pieces.increment(5), &StandaloneContext::new(a.clone(), 1));
/// let missing = pieces.decrement(2, &b).unwrap_err();
/// assert_eq!((missing.missing, missing.elsewhere[&a]), (2, 5));
///
/// pieces.apply(&pieces.transfer(3, &a, b.clone())?, &StandaloneContext::new(a.clone(), 2));
/// pieces.apply(&pieces.decrement(2, &b)?, &StandaloneContext::new(b.clone(), 1));
/// assert_eq!((pieces.value(), pieces.rights(&a), pieces.rights(&b)), (3, 2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A command that makes two operations prepares the second one from a draft:
///
/// ```
/// # use antiphon_persistence::crdt::{BoundedCounter, Replicated, StandaloneContext};
/// # use antiphon_persistence::identity::ReplicaId;
/// # let here = ReplicaId::new("DC-A")?;
/// # let mut pieces = BoundedCounter::default();
/// # pieces.apply(&pieces.increment(5), &StandaloneContext::new(here.clone(), 1));
/// let first = pieces.decrement(3, &here)?;
/// let mut draft = pieces.clone();
/// draft.apply(&first, &StandaloneContext::new(here.clone(), 0));
/// assert_eq!(draft.decrement(3, &here).unwrap_err().missing, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundedCounter {
    limit: i64,
    accounts: BTreeMap<ReplicaId, Account>,
}

/// The rights of one replica: what came in, and what went out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    increased: u128,
    received: u128,
    decreased: u128,
    sent: u128,
}

impl Account {
    /// The rights when `received` were received.
    fn rights(&self, received: u128) -> u128 {
        let came_in = self.increased.saturating_add(received.min(self.received));
        came_in.saturating_sub(self.decreased.saturating_add(self.sent))
    }
}

/// The operation of a [`BoundedCounter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoundedOp {
    /// Raises the number, and gives the rights to the origin.
    Increased {
        /// The number that is added.
        amount: u64,
    },
    /// Lowers the number by rights of the origin.
    Decreased {
        /// The number that is taken away.
        amount: u64,
        /// All rights that the origin had received from others.
        received: u128,
    },
    /// Gives rights of the origin to another replica; the number stays.
    Transferred {
        /// The replica that gets them.
        to: ReplicaId,
        /// Their number.
        amount: u64,
        /// All rights that the origin had received from others.
        received: u128,
    },
}

/// The refusal of a decrease or a transfer: the replica has too few rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRights {
    /// The rights that are missing here, above zero.
    pub missing: u64,
    /// The rights that other replicas have, as seen here; they may have used them meanwhile. A
    /// command to one of them can transfer some.
    pub elsewhere: BTreeMap<ReplicaId, u64>,
}

impl fmt::Display for MissingRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rights are missing here;", self.missing)?;
        if self.elsewhere.is_empty() {
            return f.write_str(" no other replica has any");
        }
        let mut separator = " others have";
        for (replica, rights) in &self.elsewhere {
            write!(f, "{separator} {rights} at `{replica}`")?;
            separator = ",";
        }
        Ok(())
    }
}

impl std::error::Error for MissingRights {}

impl BoundedCounter {
    /// A counter that starts at `limit`. An entity makes it in `initial_state`: the limit must be
    /// the same at every replica.
    pub fn new(limit: i64) -> Self {
        Self { limit, accounts: BTreeMap::new() }
    }

    /// The least value.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// The value, at least the limit.
    pub fn value(&self) -> i128 {
        let sum =
            |of: fn(&Account) -> u128| self.accounts.values().map(of).fold(0, u128::saturating_add);
        let above =
            sum(|account| account.increased).saturating_sub(sum(|account| account.decreased));
        i128::try_from(above).unwrap_or(i128::MAX).saturating_add(i128::from(self.limit))
    }

    /// The number by which `replica` may lower the value without asking anybody, as seen here;
    /// at that replica, exactly.
    pub fn rights(&self, replica: &ReplicaId) -> u64 {
        let rights = self.accounts.get(replica).map_or(0, |account| account.rights(u128::MAX));
        u64::try_from(rights).unwrap_or(u64::MAX)
    }

    /// The operation that adds `amount`.
    pub fn increment(&self, amount: u64) -> BoundedOp {
        BoundedOp::Increased { amount }
    }

    /// The operation that takes `amount` away, at the replica `here`.
    ///
    /// # Errors
    /// The rights that are missing, and the replicas that have some.
    pub fn decrement(&self, amount: u64, here: &ReplicaId) -> Result<BoundedOp, MissingRights> {
        let received = self.received(amount, here)?;
        Ok(BoundedOp::Decreased { amount, received })
    }

    /// The operation that gives `amount` rights of the replica `here` to the replica `to`.
    ///
    /// # Errors
    /// The rights that are missing, and the replicas that have some.
    pub fn transfer(
        &self,
        amount: u64,
        here: &ReplicaId,
        to: ReplicaId,
    ) -> Result<BoundedOp, MissingRights> {
        let received = self.received(amount, here)?;
        Ok(BoundedOp::Transferred { to, amount, received })
    }

    /// The rights that `here` has received, if it has `amount` of them left.
    fn received(&self, amount: u64, here: &ReplicaId) -> Result<u128, MissingRights> {
        let missing = amount.saturating_sub(self.rights(here));
        if missing == 0 {
            return Ok(self.accounts.get(here).map_or(0, |account| account.received));
        }
        let others = self.accounts.keys().filter(|replica| *replica != here);
        let rights = others.map(|replica| (replica.clone(), self.rights(replica)));
        Err(MissingRights { missing, elsewhere: rights.filter(|(_, count)| *count > 0).collect() })
    }

    /// The account of the origin, if it had these rights when it had received those. Nothing is
    /// paid with an amount of zero.
    fn payer(&mut self, origin: &ReplicaId, amount: u64, received: u128) -> Option<&mut Account> {
        let account = self.accounts.get_mut(origin)?;
        let has_them = amount > 0 && account.rights(received) >= u128::from(amount);
        has_them.then_some(account)
    }

    fn account(&mut self, replica: &ReplicaId) -> &mut Account {
        self.accounts.entry(replica.clone()).or_default()
    }
}

impl Replicated for BoundedCounter {
    type Operation = BoundedOp;

    fn apply(&mut self, operation: &BoundedOp, context: &dyn OperationContext) {
        let origin = context.origin();
        match operation {
            BoundedOp::Increased { amount } => {
                let increased = &mut self.account(origin).increased;
                *increased = increased.saturating_add(u128::from(*amount));
            }
            BoundedOp::Decreased { amount, received } => {
                if let Some(account) = self.payer(origin, *amount, *received) {
                    account.decreased = account.decreased.saturating_add(u128::from(*amount));
                }
            }
            BoundedOp::Transferred { to, amount, received } => {
                if let Some(account) = self.payer(origin, *amount, *received) {
                    account.sent = account.sent.saturating_add(u128::from(*amount));
                    let received = &mut self.account(to).received;
                    *received = received.saturating_add(u128::from(*amount));
                }
            }
        }
    }

    /// None: rights that are taken back could be in use.
    fn reset(&self) -> Option<BoundedOp> {
        None
    }

    fn is_initial(&self) -> bool {
        self.accounts.is_empty()
    }
}

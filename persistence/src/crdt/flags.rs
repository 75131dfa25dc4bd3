//! Flags: of a concurrent enable and disable, one of the two wins.
//!
//! The winner of a flag leaves a mark with its number; the other one names the marks that its
//! replica had seen and takes away those alone, so that a concurrent mark stays.

use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use super::observed::Observed;
use super::replicated::Replicated;

/// A flag that begins disabled; of a concurrent enable and disable, the enable wins.
///
/// ```
/// use antiphon_persistence::crdt::{EnableWinsFlag, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut wanted = EnableWinsFlag::default();
/// wanted.apply(&wanted.enable(), &StandaloneContext::new(a.clone(), 1));
/// let (disable, enable) = (wanted.disable(), wanted.enable());
/// wanted.apply(&disable, &StandaloneContext::new(a, 2));
/// assert!(!wanted.is_enabled());
/// wanted.apply(&enable, &StandaloneContext::new(b, 1));
/// assert!(wanted.is_enabled(), "the disable has not seen this enable");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableWinsFlag {
    enables: Observed,
}

/// The operation of an [`EnableWinsFlag`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnableWinsOp {
    /// Enables the flag.
    Enabled,
    /// Takes away the enables that were seen.
    Disabled {
        /// The enables that were seen.
        seen: Observed,
    },
}

impl EnableWinsFlag {
    /// Returns whether the flag is enabled.
    pub fn is_enabled(&self) -> bool {
        !self.enables.is_empty()
    }

    /// The operation that enables the flag.
    pub fn enable(&self) -> EnableWinsOp {
        EnableWinsOp::Enabled
    }

    /// The operation that disables the flag, as far as it is seen here.
    pub fn disable(&self) -> EnableWinsOp {
        EnableWinsOp::Disabled { seen: self.enables.clone() }
    }
}

impl Replicated for EnableWinsFlag {
    type Operation = EnableWinsOp;

    fn apply(&mut self, operation: &EnableWinsOp, context: &dyn OperationContext) {
        match operation {
            EnableWinsOp::Enabled => self.enables.note(context),
            EnableWinsOp::Disabled { seen } => self.enables.take_back(seen),
        }
    }

    fn reset(&self) -> Option<EnableWinsOp> {
        Some(self.disable())
    }

    fn is_initial(&self) -> bool {
        self.enables.is_empty()
    }
}

/// A flag that begins enabled; of a concurrent enable and disable, the disable wins.
///
/// ```
/// use antiphon_persistence::crdt::{DisableWinsFlag, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut open = DisableWinsFlag::default();
/// assert!(open.is_enabled());
/// open.apply(&open.disable(), &StandaloneContext::new(a.clone(), 1));
/// let (enable, disable) = (open.enable(), open.disable());
/// open.apply(&enable, &StandaloneContext::new(a, 2));
/// assert!(open.is_enabled());
/// open.apply(&disable, &StandaloneContext::new(b, 1));
/// assert!(!open.is_enabled(), "the enable has not seen this disable");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisableWinsFlag {
    disables: Observed,
}

/// The operation of a [`DisableWinsFlag`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisableWinsOp {
    /// Takes away the disables that were seen.
    Enabled {
        /// The disables that were seen.
        seen: Observed,
    },
    /// Disables the flag.
    Disabled,
}

impl DisableWinsFlag {
    /// Returns whether the flag is enabled.
    pub fn is_enabled(&self) -> bool {
        self.disables.is_empty()
    }

    /// The operation that enables the flag, as far as it is seen here.
    pub fn enable(&self) -> DisableWinsOp {
        DisableWinsOp::Enabled { seen: self.disables.clone() }
    }

    /// The operation that disables the flag.
    pub fn disable(&self) -> DisableWinsOp {
        DisableWinsOp::Disabled
    }
}

impl Replicated for DisableWinsFlag {
    type Operation = DisableWinsOp;

    fn apply(&mut self, operation: &DisableWinsOp, context: &dyn OperationContext) {
        match operation {
            DisableWinsOp::Enabled { seen } => self.disables.take_back(seen),
            DisableWinsOp::Disabled => self.disables.note(context),
        }
    }

    fn reset(&self) -> Option<DisableWinsOp> {
        Some(self.enable())
    }

    fn is_initial(&self) -> bool {
        self.disables.is_empty()
    }
}

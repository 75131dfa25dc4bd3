//! The inputs of the driver's task.

use tokio::sync::oneshot;

use super::core::Input;

/// An input of the driver's task.
pub(in crate::node) enum Control {
    /// An input of the core: the result of a call, or the wish to leave.
    Input(Box<Input>),
    /// Give the lease back; answered afterwards.
    Release(oneshot::Sender<()>),
    /// The own writer is sealed: make the row say so; answered afterwards.
    End(oneshot::Sender<()>),
}

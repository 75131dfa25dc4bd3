//! The one place that starts a background task, so that each has a name.

use std::future::Future;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Starts `future` as a task of the current tokio runtime, inside a span that carries `name`.
///
/// Dropping the handle lets the task go on; abort it to stop it.
#[expect(clippy::disallowed_methods, reason = "this is the place that names tasks")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.instrument(tracing::debug_span!("task", name)))
}

/// Runs a long computation inside a task. On a runtime with several threads the other tasks go on meanwhile, those too that wait
/// for the network: the worker thread that watches the sockets may be the one that computes.
pub fn long_computation<R>(compute: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(compute),
        Ok(_) | Err(_) => compute(),
    }
}

//! The start of background tasks, so that each has a name.

use std::future::Future;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Starts `future` as a task of the current tokio runtime, inside a span that carries `name`.
///
/// Dropping the handle lets the task go on; abort it to stop it.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let sum = antiphon_base::task::spawn("sum", async { 2 + 3 });
/// assert_eq!(sum.await.unwrap(), 5);
/// # });
/// ```
#[expect(clippy::disallowed_methods, reason = "this is the place that names tasks")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.instrument(tracing::debug_span!("task", name)))
}

/// Runs a long computation inside a task. On a runtime with several threads the other tasks
/// continue meanwhile. Tasks that wait for the network continue too, although the computing worker
/// thread may be the one that watches the sockets.
pub fn long_computation<R>(compute: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(compute),
        Ok(_) | Err(_) => compute(),
    }
}

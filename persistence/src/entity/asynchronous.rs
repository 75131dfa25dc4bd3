//! Futures of asynchronous effects.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use antiphon_base::guard::Guarded;

use crate::reply::{ReplyError, refuse};

/// The future of an asynchronous effect, which yields the command to handle next.
pub(super) type CommandFuture<C> = Pin<Box<dyn Future<Output = C> + Send>>;

/// Makes a command of a failure.
pub(super) type OnFailure<C> = Box<dyn FnOnce(AsynchronousFailure) -> C + Send>;

/// The reason why an asynchronous effect has no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsynchronousFailure {
    /// The future has not ended in time (`asynchronous_timeout`) and was dropped; it may have
    /// acted.
    TimedOut,
    /// The future panicked; it may have acted before.
    Panicked,
}

impl fmt::Display for AsynchronousFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => {
                "an asynchronous effect has not ended in time (`asynchronous_timeout`)"
            }
            Self::Panicked => "an asynchronous effect panicked",
        })
    }
}

/// Waits for the future of an asynchronous effect, at most for `limit`. A call that is cancelled
/// drops the future where it waits.
pub(super) async fn wait<C>(
    mut future: Guarded<dyn Future<Output = C> + Send>,
    limit: Duration,
) -> Result<C, AsynchronousFailure> {
    match tokio::time::timeout(limit, &mut future).await {
        Ok(Ok(command)) => Ok(command),
        Ok(Err(_)) => Err(AsynchronousFailure::Panicked),
        Err(_) => {
            let failure = AsynchronousFailure::TimedOut;
            // an asker that waits for an answer from the future gets the reason
            refuse(future, ReplyError::Unanswered(failure.to_string()));
            Err(failure)
        }
    }
}

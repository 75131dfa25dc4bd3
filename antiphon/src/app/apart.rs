//! Code of the application that may block: it runs apart from the tasks of the node, so that
//! signals are heard and links go on meanwhile.

use std::time::Duration;

use crate::base::guard;
use crate::prelude::*;

/// Least time that the code has, also with a shorter `start_timeout`.
const LEAST: Duration = Duration::from_secs(1);

/// Runs the code on a thread of its own, under the guard. `subject` is the entity type or the node
/// to which it belongs; `limit` is `start_timeout`. Code that is late goes on without a use for it:
/// no thread can be ended from outside.
///
/// # Errors
/// The error of the code; `Bug` when it panics; `Timeout` when it has not returned within the
/// limit.
pub(super) async fn apart<T: Send + 'static>(
    what: &'static str,
    subject: &str,
    limit: Duration,
    code: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    within(what, subject, limit.max(LEAST), code).await
}

async fn within<T: Send + 'static>(
    what: &'static str,
    subject: &str,
    limit: Duration,
    code: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let of = subject.to_owned();
    let running = tokio::task::spawn_blocking(move || guard::call(what, &of, code));
    let Ok(ended) = tokio::time::timeout(limit, running).await else {
        return Err(Error::timeout(format!(
            "`{subject}`: {what}: expected an end within {limit:?} (`start_timeout`), actual none: it waits or computes too long"
        )));
    };
    let called = ended.map_err(|error| Error::bug(format!("`{subject}`: {what}: {error}")))?;
    called.map_err(|failure| Error::bug(format!("`{subject}`: {failure}")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn code_that_panics_or_fails_is_an_error_and_code_may_use_the_runtime() {
        let run = |code: fn() -> Result<u8>| apart("the code", "x", LEAST, code);
        assert_eq!(run(|| Ok(1)).await.unwrap(), 1);
        let waits = || tokio::runtime::Handle::current().block_on(async { Ok(2) });
        assert_eq!(run(waits).await.unwrap(), 2);
        let refused = run(|| Err(Error::rejected("no"))).await.unwrap_err();
        assert_eq!(refused.to_string(), Error::rejected("no").to_string());
        let panicked = run(|| panic!("the test wants it")).await.unwrap_err();
        assert!(panicked.to_string().contains("`the code` panicked"), "{panicked}");
    }

    #[tokio::test]
    async fn code_that_does_not_return_is_named_with_the_setting() {
        let (back, waits) = std::sync::mpsc::channel::<()>();
        let late = within("the code", "x", Duration::from_millis(5), move || {
            let _ = waits.recv();
            Ok(())
        });
        let message = late.await.unwrap_err().to_string();
        assert!(message.contains("5ms (`start_timeout`)") && message.contains("`x`"), "{message}");
        drop(back);
    }
}

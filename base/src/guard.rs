//! The guard around application code: a panic there becomes a [`UserFailure`] for every caller.
//!
//! Every handler, codec implementation, closure, factory, future and destructor of an application
//! runs inside [`call`] (or [`Guarded`], for futures). `docs/user-code.md` says for each kind of
//! code which actions it may take, and which consequences its failure has. The text of a panic
//! comes from the application and may contain foreign input: it is made fit to be shown
//! ([`foreign`]), and goes to the log only.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::text::foreign;

/// Application code has panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFailure {
    /// The name of the code, as an application developer calls it.
    pub what: &'static str,
    /// The panic's text, escaped and cut.
    pub text: String,
}

impl fmt::Display for UserFailure {
    /// Leaves the panic's text out, so that the message can be sent to others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` panicked", self.what)
    }
}

/// Calls application code. A panic is logged with `subject`, the entity or type that the code
/// serves.
///
/// # Errors
/// [`UserFailure`] when the code panicked. Values that it had borrowed mutably may be half-changed
/// then.
///
/// ```
/// use antiphon_base::guard;
///
/// assert_eq!(guard::call("price", &"cart c-1", || 2 + 3), Ok(5));
/// let failure = guard::call("price", &"cart c-1", || -> i64 { panic!("no price") }).unwrap_err();
/// assert_eq!(failure.to_string(), "`price` panicked");
/// assert_eq!(failure.text, "no price");
/// ```
#[inline]
pub fn call<T>(
    what: &'static str,
    subject: &dyn fmt::Display,
    code: impl FnOnce() -> T,
) -> Result<T, UserFailure> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| failure(what, subject, payload))
}

/// Drops values of an application one by one: a destructor that panics is logged, and the other
/// destructors run. Dropping the whole collection would abort the process at the second panic.
pub fn drop_each<T>(
    what: &'static str,
    subject: &dyn fmt::Display,
    values: impl IntoIterator<Item = T>,
) {
    for value in values {
        let _ = call(what, subject, || drop(value));
    }
}

#[cold]
fn failure(
    what: &'static str,
    subject: &dyn fmt::Display,
    payload: Box<dyn std::any::Any + Send>,
) -> UserFailure {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = foreign(text.unwrap_or("a panic without a text")).to_string();
    // the payload is the application's too, and so is its destructor
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    tracing::error!(%subject, %text, "`{what}` panicked");
    UserFailure { what, text }
}

/// A future of an application: each poll is guarded, and after a panic it is not polled again.
pub struct Guarded<F: ?Sized> {
    what: &'static str,
    subject: String,
    future: Option<Pin<Box<F>>>,
}

impl<F: ?Sized> Guarded<F> {
    /// Guards `future`; the log names `subject`.
    pub fn new(what: &'static str, subject: String, future: Pin<Box<F>>) -> Self {
        Self { what, subject, future: Some(future) }
    }
}

impl<F: ?Sized> Guarded<F> {
    fn let_go(&mut self) {
        if let Some(future) = self.future.take() {
            let _ = call(self.what, &self.subject, || drop(future));
        }
    }
}

impl<F: Future + ?Sized> Future for Guarded<F> {
    type Output = Result<F::Output, UserFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { what, subject, future: Some(future) } = &mut *self else {
            return Poll::Pending;
        };
        let polled = call(what, subject, || future.as_mut().poll(context));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                self.let_go();
                Poll::Ready(Ok(output))
            }
            Err(failure) => {
                self.let_go();
                Poll::Ready(Err(failure))
            }
        }
    }
}

impl<F: ?Sized> Drop for Guarded<F> {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_whose_text_is_escaped_and_cut() {
        let failure = call("on_command", &"c-1", || panic!("a\n\x1b[31mb {}", "x".repeat(1000)));
        let failure: UserFailure = failure.unwrap_err();
        assert!(failure.text.starts_with(r"a\u{a}\u{1b}[31mb xxx"), "{}", failure.text);
        assert!(failure.text.len() < 600, "{}", failure.text.len());
        assert_eq!(failure.to_string(), "`on_command` panicked");
    }

    #[test]
    fn a_payload_whose_destructor_panics_too_ends_here() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let failure = call("on_event", &"c-1", || std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(failure.text, "a panic without a text");
    }

    #[tokio::test]
    async fn a_future_that_panics_ends_with_a_failure() {
        let future = Box::pin(async {
            tokio::task::yield_now().await;
            panic!("the test wants it");
        });
        let ended: Result<(), _> = Guarded::new("asynchronous", "c-1".into(), future).await;
        assert_eq!(ended.unwrap_err().text, "the test wants it");
    }
}

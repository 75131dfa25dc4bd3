//! The ground floor of Antiphon: the modules that every other crate stands on, and that know
//! nothing of events, stores or clusters.
//!
//! - [`Error`]: the failure, and the action that its caller should take ([`ErrorKind`]).
//! - [`task`]: the start of background tasks, so that each has a name.
//! - [`time`]: the clock seam, timestamps and the hybrid logical clock; durations as text.
//! - [`backoff`]: the wait before a failed operation is tried again.
//! - [`bounds`]: the bounds of settings.
//! - [`guard`]: the guard around every call of application code.
//! - [`lasting`]: the log of a fault that lasts.
//! - [`text`]: text from outside, made fit for logs and errors.
//! - [`secret`]: texts that must not be shown.

pub mod backoff;
pub mod bounds;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod guard;
pub mod lasting;
pub mod secret;
pub mod task;
pub mod text;
pub mod time;

pub use error::{Error, ErrorKind, Result};

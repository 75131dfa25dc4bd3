//! Changes to an event right before it is written: the rules of [`filter`](crate::filter), then an
//! HTTP hook if there is one.
//!
//! Both are one [`Sink`](crate::sink::Sink) around the real one. So the pipeline, its lanes and the
//! parking lot know only the events of the source.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hook;
mod sink;
#[cfg(test)]
mod tests;
mod wire;

pub use hook::{Answer, Hook, HookFailure};
pub use sink::ShapingSink;

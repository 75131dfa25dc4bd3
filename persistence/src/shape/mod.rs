//! The shape of events and states, so that a changed type is noticed before it reads what an earlier one wrote.
//!
//! bincode stores no names: a release in which two variants have changed places reads a deposit as a withdrawal, without an error. So the
//! shape of each kind of event is written into the place's store when the first one is stored, under its entity type, manifest and version;
//! the state's under the version of snapshots. A release whose types have another shape under the same version is refused when the type
//! starts, with the difference.
//!
//! - `form`: what a shape is.
//! - `tracer`: finds it out, by letting a type be read from made-up values.
//! - `compare`: what may differ.
//! - `samples`: examples that a later release must read.
//! - `kinds`: the shapes and examples of a behaviour's events and state.
//! - `union`: what several releases have stored.
//! - `row`: a shape with its examples, as the store has it.
//! - `book`: the shapes in the store.
//!
//! What cannot be found out (a type that refuses the made-up values, or takes values of any type) is not compared.

mod book;
mod compare;
mod form;
mod kinds;
mod row;
mod samples;
mod tracer;
mod union;

pub use book::{SHAPES, ShapeBook};
pub use kinds::{Kind, Kinds, kinds};
pub(crate) use tracer::samples;

#[cfg(test)]
mod tests;

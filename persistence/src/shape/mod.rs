//! The shape of events and states, so that a changed type is noticed before it reads values of an
//! earlier release.
//!
//! bincode stores no names: a release in which two variants have changed places reads a deposit as
//! a withdrawal, without an error. So the shape of each kind of event is written into the place's
//! store when the first one is stored, under its entity type, manifest and version; the state's
//! under the version of snapshots. A release whose types have another shape under the same version
//! is refused when the type starts, with the difference.
//!
//! - `form`: the structure of a shape.
//! - `tracer`: finds out a shape, by letting a type be read from made-up values.
//! - `compare`: the allowed differences.
//! - `samples`: examples that a later release must read.
//! - `kinds`: the shapes and examples of a behaviour's events and state.
//! - `types`: the shapes of one type, and the types that an adapter stores.
//! - `union`: the union of the shapes of several releases.
//! - `row`: a shape with its examples, as the store has it.
//! - `book`: the shapes in the store.
//! - `stored`: the kinds that the store has, and the bound on them.
//!
//! Types that cannot be traced (they refuse the made-up values, or take values of any type) are not
//! compared.

mod book;
mod compare;
mod form;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod kinds;
mod row;
mod samples;
mod stored;
mod tracer;
mod types;
mod union;

pub use book::{SHAPES, ShapeBook};
pub use kinds::{Kind, Kinds, kinds};
pub use stored::EVENT_KINDS_MAX;
pub(crate) use tracer::samples;
pub use types::StoredTypes;

#[cfg(test)]
mod tests;

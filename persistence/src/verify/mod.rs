//! Looking at a whole store for damage: what is reported, and what must hold within a stream. Each
//! backend brings its own walk.

mod report;
mod stream;

pub use report::{DAMAGE_COUNT_MAX, Damage, Report};
pub use stream::StreamCheck;

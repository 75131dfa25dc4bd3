//! The search of a whole store for damage: the report, and the rules within a stream. Each backend
//! brings its own walk.

mod reminders;
mod report;
mod stream;

pub use reminders::ReminderCheck;
pub use report::{DAMAGE_COUNT_MAX, Damage, Report};
pub use stream::StreamCheck;

//! The scanner of a test.

use std::time::Duration;

use antiphon_base::time::Timestamp;

use super::world::World;
use crate::entity::engine::{Input, Slot};

/// Lets the time of day pass, and hands the rows that are due to their replicas, as a scanner
/// does. Returns their names.
pub(super) fn scan(world: &mut World, time: Duration) -> Vec<String> {
    world.wall += u64::try_from(time.as_micros()).unwrap();
    let now = Timestamp::from_micros(world.wall);
    let mut due = Vec::new();
    for name in world.replicas.keys().copied().collect::<Vec<_>>() {
        for row in world.replica(name).rows.clone() {
            if row.due <= now {
                due.push(row.name.to_string());
                world.feed(name, Input::ReminderDue(Box::new(row), Slot::default()));
            }
        }
    }
    due
}

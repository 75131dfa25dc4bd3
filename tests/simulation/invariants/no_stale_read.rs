//! Reads of one replica never go back, and see every line that was acknowledged before they began:
//! no zombie answers.

use crate::clients::History;

pub(crate) fn check(history: &History) -> Result<(), String> {
    match history.stale.first() {
        Some(stale) => Err(format!("no_stale_read: {stale}")),
        None => Ok(()),
    }
}

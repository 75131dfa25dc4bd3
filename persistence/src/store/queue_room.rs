//! Room for the bytes of the appends that wait in a store: a queue has a bound of bytes besides its
//! bound of entries.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Result};

/// Room for the bytes of appends that wait.
#[derive(Debug)]
pub struct QueueRoom {
    units: Arc<Semaphore>,
    unit_count: u32,
}

impl QueueRoom {
    /// Room for `queue_bytes_max` bytes, in units of 1024.
    pub fn new(queue_bytes_max: usize) -> Self {
        let units = (queue_bytes_max / ROOM_UNIT).clamp(1, ROOM_MAX);
        assert!(units > 0, "a room without a unit gives no append its turn");
        let unit_count = u32::try_from(units).expect("the constant is below 2^32");
        Self { units: Arc::new(Semaphore::new(units)), unit_count }
    }

    /// Waits for room for `bytes`, first come, first served. A number above the whole room takes
    /// the whole room. A cancelled call takes none.
    ///
    /// # Errors
    /// `Bug` when the room was closed.
    pub async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
        let units = units.clamp(1, self.unit_count);
        let taken = self.units.clone().acquire_many_owned(units).await;
        let taken = taken.map_err(|_| Error::bug("the room for appends that wait is closed"))?;
        assert_eq!(taken.num_permits(), units as usize, "the room that an append takes");
        Ok(taken)
    }
}

/// Checks the setting `queue_bytes_max` of a store.
///
/// # Errors
/// `Rejected` when one append of the largest size would never find room.
pub fn check_queue_bytes_max(actual: usize, append_bytes_max: usize) -> Result<()> {
    if (append_bytes_max + ROOM_UNIT..=ROOM_MAX * ROOM_UNIT).contains(&actual) {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "`queue_bytes_max`: expected at least `append_bytes_max` ({append_bytes_max}) and {ROOM_UNIT}, and at most {}, actual {actual}",
        ROOM_MAX * ROOM_UNIT
    )))
}

const ROOM_UNIT: usize = 1024;
const ROOM_MAX: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn appends_wait_for_room_by_their_bytes() {
        let room = QueueRoom::new(10 * ROOM_UNIT);
        let large = room.take(9 * ROOM_UNIT).await.unwrap();
        let small = room.take(1).await.unwrap();
        let next = room.take(2 * ROOM_UNIT);
        tokio::pin!(next);
        tokio::select! {
            biased;
            _ = &mut next => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
        drop(large);
        let next = next.await.unwrap();
        assert_eq!(room.units.available_permits(), 7);
        drop((small, next));
        let all = room.take(usize::MAX).await.unwrap();
        assert_eq!(room.units.available_permits(), 0, "more than there is counts as all of it");
        drop(all);
    }

    #[test]
    fn a_room_without_place_for_the_largest_append_is_refused() {
        let limit = 8 << 20;
        assert!(check_queue_bytes_max(limit, limit).is_err(), "no room for the largest append");
        assert!(check_queue_bytes_max(2 * limit, limit).is_ok());
        assert!(check_queue_bytes_max(usize::MAX, limit).is_err());
    }
}

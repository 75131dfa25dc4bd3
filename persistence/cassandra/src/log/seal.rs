//! The end of a writer: seals its lanes one by one, then copies the rest of its log after the
//! watermark.
//!
//! The [walk](super::walk) along a lane goes from the part of its watermark to the open part. A
//! part is sealed only if it is not closed, and closed only if it is not sealed. Both are
//! conditional writes, so the walk and the lane cannot pass each other.

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};

use super::copy::Copying;
use super::walk::{LaneReader, Next, Read, after_seal};
use crate::tables::{LaneId, WriterRow};

/// Ends a writer. After the return, no append of the writer takes effect, and all its events are
/// in the streams' own partitions. A cancelled call leaves some lanes sealed, or some rounds not
/// copied: the writer may still write in its other lanes, and the next call goes on.
///
/// # Errors
/// - `Unavailable` or `Timeout` when the server does not answer; the writer may be sealed or not.
/// - `Corrupt` when a round is damaged or lost.
pub(crate) async fn seal(copying: &Copying<'_>, writer: &str) -> Result<()> {
    let tables = copying.tables;
    let unopened =
        WriterRow { writer: writer.into(), lanes: 0, sealed: true, copied: true, ended_at: 0 };
    let Some(row) = tables.insert_writer(&unopened).await? else { return Ok(()) };
    if row.copied {
        return Ok(());
    }
    let lanes: Vec<LaneId> =
        (0..row.lanes).map(|lane| LaneId { writer: row.writer.clone(), lane }).collect();
    if !row.sealed {
        for lane in &lanes {
            seal_lane(copying, lane).await?;
        }
        tables.end_writer(writer, None).await?;
    }
    for lane in &lanes {
        copy_rest(copying, lane).await?;
    }
    tables.end_writer(writer, Some(SystemClock.wall().as_micros())).await?;
    Ok(())
}

async fn seal_lane(copying: &Copying<'_>, lane: &LaneId) -> Result<()> {
    let mut part = copying.tables.lane_state(lane).await?.copied.part;
    loop {
        let state = copying.tables.seal_part(lane, part).await?;
        match after_seal(lane, part, state)? {
            Some(next) => part = next,
            None => return Ok(()),
        }
    }
}

/// Copies page by page, so that a long rest needs no more memory than a short one.
async fn copy_rest(copying: &Copying<'_>, lane: &LaneId) -> Result<()> {
    let copied = copying.tables.lane_state(lane).await?.copied;
    let mut reader = LaneReader::new(&**copying.tables, lane, copied);
    loop {
        let (rounds, next) = match reader.page().await? {
            Read::Rounds(rounds, next) => (rounds, next),
            // another process has sealed the writer as well, and its parts were removed
            Read::Gone(state) => {
                reader.jump(state.copied);
                continue;
            }
        };
        if let Some((copied, _)) = rounds.last() {
            let copied = *copied;
            copying.copy(rounds.iter().flat_map(|(_, entries)| entries.iter().cloned())).await?;
            copying.mark_copied(lane, copied).await;
        }
        match next {
            Next::Page => {}
            Next::Sealed => return Ok(()),
            // an older read: rounds may be missing, too
            Next::Open => {
                return Err(Error::unavailable(format!(
                    "lane {} of writer `{writer}` is sealed, and a read of part {} does not show it yet: seal the writer again",
                    lane.lane,
                    reader.at().part,
                    writer = lane.writer
                )));
            }
        }
    }
}

//! A page of the feed from its entries, by the rule of every store.

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::store::{ChangesPage, ChangesQuery, FeedPage, Room};

use super::entry::Entry;
use crate::position::Position;

/// The page of the entries after a position. `more` says whether the file has further rows.
pub(super) fn page<'a>(
    query: &ChangesQuery,
    after: Position,
    entries: impl Iterator<Item = &'a Entry>,
    more: bool,
) -> ChangesPage {
    let mut page = FeedPage::new(query);
    let mut covered = after;
    for entry in entries {
        let Entry { ordinal, checksum, stream, last, seen } = entry;
        assert!(*ordinal > covered.ordinal, "batch {ordinal} after {}", covered.ordinal);
        let id = || stream.persistence_id();
        let last = SequenceNr::new(last.unsigned_abs());
        if query.wants(stream) && page.add(&**stream, id, last, seen) == Room::Full {
            break;
        }
        covered = Position { ordinal: *ordinal, checksum: Some(*checksum) };
    }
    page.finish(covered.offset(), more)
}

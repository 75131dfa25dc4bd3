//! Parked messages of a group: links in a stream of their own, which a replay truncates.

use antiphon_eventstore::{ExpectedRevision, NewEvent, Result};

use super::append::Store;
use super::entry::now_ticks;
use super::group_record::GroupRecord;
use super::links::LINK;
use super::read::{Found, StreamPage};

impl Store {
    /// Parks a message, as a link to it.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn park(
        &mut self,
        record: &GroupRecord,
        stream: &str,
        revision: u64,
        reason: &str,
    ) -> Result<()> {
        let seconds = now_ticks() / 10_000_000;
        let metadata = serde_json::json!({ "added": seconds, "reason": reason }).to_string();
        let link = NewEvent::binary(LINK, format!("{revision}@{stream}")).with_metadata(metadata);
        self.append(&record.parked_stream(), ExpectedRevision::Any, vec![link]).map(|_| ())
    }

    /// Takes the oldest parked messages out of the parking lot. Those that are gone are left out.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn take_parked(
        &mut self,
        record: &GroupRecord,
        count_max: usize,
        resolve: bool,
    ) -> Result<Vec<Found>> {
        let name = record.parked_stream();
        let StreamPage::Page { found, .. } =
            self.log().read_stream(&name, true, 0, count_max, false)
        else {
            return Ok(Vec::new());
        };
        let Some(last) = found.last() else { return Ok(Vec::new()) };
        self.truncate(&name, last.revision + 1)?;
        let links = found.iter().filter_map(|parked| parked.event.as_ref());
        let places = links.filter_map(|link| self.log().place_of(&link.data));
        Ok(places.filter_map(|place| self.log().found(place, resolve)).collect())
    }

    /// Number of parked messages of a group.
    pub(crate) fn parked_count(&self, record: &GroupRecord) -> u64 {
        self.log()
            .visible(&record.parked_stream())
            .map_or(0, |visible| (visible.end() + 1).saturating_sub(*visible.start()))
    }
}

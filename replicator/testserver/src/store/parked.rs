//! Parked messages of a group: links in a stream of their own, which a replay truncates.

use antiphon_eventstore::{ExpectedRevision, NewEvent, Result};

use super::append::Store;
use super::delete::Deletion;
use super::entry::now_ticks;
use super::group_record::GroupRecord;
use super::links::LINK;
use super::read::{Found, StreamPage};

impl Store {
    /// Parks a message: a link to its event, or a copy of a link that leads nowhere.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn park(&mut self, record: &GroupRecord, found: &Found, reason: &str) -> Result<()> {
        let Some(original) = found.original() else { return Ok(()) };
        let data = match &found.event {
            Some(event) => {
                let name = event.stream.as_ref().map(|stream| stream.name.clone());
                let name = name.unwrap_or_default();
                format!("{}@{}", event.revision, String::from_utf8_lossy(&name)).into()
            }
            None => original.data.clone(),
        };
        let metadata = serde_json::json!({
            "added": shown(now_ticks()),
            "reason": reason,
            "subscriptionEventNumber": original.revision,
        });
        let link = NewEvent::binary(LINK, data).with_metadata(metadata.to_string());
        self.append(&record.parked_stream(), ExpectedRevision::Any, vec![link]).map(|_| ())
    }

    /// Takes parked messages out of the parking lot: all, or those with a number below `before`.
    /// Those that are gone are left out.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn take_parked(
        &mut self,
        record: &GroupRecord,
        before: Option<u64>,
    ) -> Result<Vec<Found>> {
        let name = record.parked_stream();
        let page = self.log().read_stream(&name, true, 0, usize::MAX, true);
        let StreamPage::Page { mut found, first, last, .. } = page else { return Ok(Vec::new()) };
        let before = before.unwrap_or(u64::MAX).min(last + 1);
        if before > first {
            self.truncate(&name, before)?;
        }
        found.retain(|parked| parked.revision < before && parked.event.is_some());
        Ok(found)
    }

    /// Removes the parking lot of a group that is deleted.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn remove_parked(&mut self, record: &GroupRecord) -> Result<()> {
        // a group that parked nothing has none
        let any = ExpectedRevision::Any;
        self.delete(&record.parked_stream(), any, Deletion::Soft).map(|_| ())
    }

    /// Number of parked messages of a group.
    pub(crate) fn parked_count(&self, record: &GroupRecord) -> u64 {
        self.log()
            .visible(&record.parked_stream())
            .map_or(0, |visible| (visible.end() + 1).saturating_sub(*visible.start()))
    }
}

/// A time as the server's JSON has it: `2026-01-31T12:00:00.0000000+00:00`.
fn shown(ticks: u64) -> String {
    let (seconds, part) = (ticks / 10_000_000, ticks % 10_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{part:07}+00:00")
}

/// The date of a number of days since 1970, by years that begin in March, so that the leap day is
/// their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_a_date() {
        assert_eq!(shown(0), "1970-01-01T00:00:00.0000000+00:00");
        // the leap day of a century, and the last tick of a year
        assert_eq!(shown(951_782_400 * 10_000_000), "2000-02-29T00:00:00.0000000+00:00");
        assert_eq!(shown(1_798_761_600 * 10_000_000 - 1), "2026-12-31T23:59:59.9999999+00:00");
    }
}

//! Times as .NET writes them in JSON: `2017-07-14T02:40:00.1234567Z`.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// A time in UTC with at most seven digits after the second, zeros at the end left out.
pub fn iso_timestamp(time: SystemTime) -> String {
    let time = utc(time);
    // .NET counts units of 100 nanoseconds
    let ticks = time.subsec_nanosecond() / 100;
    let time = time.with().subsec_nanosecond(ticks * 100).build();
    format!("{}Z", time.expect("fewer nanoseconds are in range"))
}

/// The time of day in UTC, for lines that a person reads.
pub(super) fn time_of_day(time: SystemTime) -> String {
    let time = utc(time);
    format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

/// A time outside the years -9999 to 9999 becomes the first or last one inside.
fn utc(time: SystemTime) -> DateTime {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let since = SignedDuration::system_until(UNIX_EPOCH, time).unwrap_or(SignedDuration::MAX);
    epoch.saturating_add(since)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_in_utc_with_seven_digits_at_most() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_500_000_000, 123_456_789, "2017-07-14T02:40:00.1234567Z"),
            (951_782_400, 500_000_000, "2000-02-29T00:00:00.5Z"),
            (4_107_542_399, 99, "2100-02-28T23:59:59Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
            // the last time of .NET
            (253_402_300_800, 0, "9999-12-31T23:59:59.9999999Z"),
        ] {
            assert_eq!(iso_timestamp(UNIX_EPOCH + Duration::new(seconds, nanos)), text);
        }
    }

    #[test]
    fn times_before_the_epoch_are_written_too() {
        let before = UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(iso_timestamp(before), "1969-12-31T23:59:59.5Z");
        let leap = UNIX_EPOCH - Duration::from_secs(86_400 * 365);
        assert_eq!(iso_timestamp(leap), "1969-01-01T00:00:00Z");
    }
}

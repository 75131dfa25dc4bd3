//! Times as .NET writes them in JSON: `2017-07-14T02:40:00.1234567Z`.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time in UTC with at most seven digits after the second, zeros at the end left out.
pub fn iso_timestamp(time: SystemTime) -> String {
    let (date, [hour, minute, second], ticks) = parts(time);
    let (year, month, day) = date;
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if ticks > 0 {
        text += format!(".{ticks:07}").trim_end_matches('0');
    }
    text.push('Z');
    text
}

/// The time of day in UTC, for lines that a person reads.
pub(super) fn time_of_day(time: SystemTime) -> String {
    let (_, [hour, minute, second], _) = parts(time);
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// The date, the time of day, and the rest in units of 100 nanoseconds.
fn parts(time: SystemTime) -> ((i64, u32, u32), [u32; 3], u32) {
    let (mut seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-whole, 0),
                nanos => (-whole - 1, 1_000_000_000 - nanos),
            }
        }
    };
    // years of four digits are enough, and no addition below overflows
    seconds = seconds.clamp(-62_167_219_200, 253_402_300_799);
    let of_day = u32::try_from(seconds.rem_euclid(86_400)).unwrap_or_default();
    let clock = [of_day / 3600, of_day % 3600 / 60, of_day % 60];
    (civil(seconds.div_euclid(86_400)), clock, nanos / 100)
}

/// The date of a number of days since 1970-01-01, by the calendar of 400 years that begins on 1
/// March (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
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
            (253_402_300_800, 0, "9999-12-31T23:59:59Z"),
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

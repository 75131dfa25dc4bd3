//! Durations as .NET writes them: `[d.]hh:mm[:ss[.fffffff]]`, or a bare number, which is a number
//! of days.
//!
//! Ditto's settings are bound by .NET, so that `00:01:00` is a minute and `7` is a week; both are
//! kept. Negative durations have no use here and are refused.

use std::time::Duration;

/// The form of a duration, for messages.
pub const EXPECTED: &str =
    "a TimeSpan `[d.]hh:mm:ss[.f]` such as `00:00:30` or `7.00:00:00` (a bare number is days)";

/// Reads a duration; `None` for another text, a negative duration, or a part out of its range.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.contains(':') {
        return from_parts(number(text)?, 0, 0, 0, 0);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (days, hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (None, hours, minutes, "0"),
        [hours, minutes, seconds] => (None, hours, minutes, seconds),
        [days, hours, minutes, seconds] => (Some(days), hours, minutes, seconds),
        _ => return None,
    };
    let (days, hours) = match (days, hours.split_once('.')) {
        (None, Some((days, hours))) => (number(days)?, hours),
        (None, None) => (0, hours),
        (Some(days), None) => (number(days)?, hours),
        (Some(_), Some(_)) => return None,
    };
    let (seconds, nanos) = match seconds.split_once('.') {
        Some((seconds, fraction)) => (seconds, fraction_nanos(fraction)?),
        None => (seconds, 0),
    };
    from_parts(days, below(hours, 24)?, below(minutes, 60)?, below(seconds, 60)?, nanos)
}

/// Writes a duration so that [`parse`] reads the same again, down to 100 nanoseconds.
pub fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut text = if days == 0 { String::new() } else { format!("{days}.") };
    text += &format!("{:02}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60);
    let ticks = duration.subsec_nanos() / 100;
    if ticks > 0 {
        text += format!(".{ticks:07}").trim_end_matches('0');
    }
    text
}

fn from_parts(days: u64, hours: u64, minutes: u64, seconds: u64, nanos: u32) -> Option<Duration> {
    let whole = days.checked_mul(86_400)?.checked_add(hours * 3600 + minutes * 60 + seconds)?;
    // .NET counts ticks of 100 ns in a signed 64 bit number; beyond that it refuses too
    (whole <= i64::MAX.unsigned_abs() / 10_000_000).then(|| Duration::new(whole, nanos))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn below(text: &str, limit: u64) -> Option<u64> {
    number(text).filter(|number| *number < limit)
}

fn fraction_nanos(text: &str) -> Option<u32> {
    if text.len() > 7 {
        return None;
    }
    let ticks = number(&format!("{text:0<7}")).filter(|_| !text.is_empty())?;
    u32::try_from(ticks * 100).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_dot_net_is_read() {
        for (text, seconds) in [
            ("00:01:00", 60.0),
            ("7", 604_800.0),
            ("1.02:03:04", 93_784.0),
            ("1:02:03:04", 93_784.0),
            ("00:00:00.25", 0.25),
            ("0:30", 1800.0),
            (" 00:00:05 ", 5.0),
            ("1.00:00", 86_400.0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_dot_net_refuses_is_refused() {
        for text in [
            "",
            "-1",
            "24:00:00",
            "00:60:00",
            "00:00:60",
            "1.5",
            "5s",
            "00:00:01.12345678",
            "1:2:3:4:5",
            "00:00:01.",
            "99999999999",
            "1.1:02:03:04",
            "::",
            "+1",
            "00:00:0x",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ticks in 0..10_000_000_000_000_000_u64) {
            let duration = Duration::new(ticks / 10_000_000, u32::try_from(ticks % 10_000_000).unwrap() * 100);
            prop_assert_eq!(parse(&format(duration)), Some(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = parse(&text);
        }
    }
}

//! The bounds of settings: checks of a number or a duration, with one form of error.
//!
//! Each setting has a lower and an upper bound. The upper bound is far above every sensible value
//! and far below the values at which the arithmetic of times and sizes overflows.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{Error, Result};

/// One hour: the upper bound of every wait within a cluster.
pub const HOUR: Duration = Duration::from_secs(3600);

/// One year: the upper bound of every time for which data are kept.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Checks a number.
///
/// # Errors
/// `Rejected`, naming the setting, the bound that its value is beyond, and the value.
///
/// ```
/// use antiphon_base::bounds;
///
/// assert!(bounds::count("mailbox_max", 10, 1..=1000).is_ok());
/// let error = bounds::count("mailbox_max", 0, 1..=1000).unwrap_err();
/// assert_eq!(error.to_string(), "`mailbox_max`: expected at least 1, actual 0");
/// ```
pub fn count(name: &str, actual: usize, bounds: RangeInclusive<usize>) -> Result<()> {
    let as_u64 = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    number(name, as_u64(actual), as_u64(*bounds.start())..=as_u64(*bounds.end()))
}

/// Checks a number of 64 bits.
///
/// # Errors
/// As [`count`].
pub fn number(name: &str, actual: u64, bounds: RangeInclusive<u64>) -> Result<()> {
    let (least, most) = bounds.into_inner();
    if actual < least {
        return Err(Error::rejected(format!(
            "`{name}`: expected at least {least}, actual {actual}"
        )));
    }
    if actual > most {
        return Err(Error::rejected(format!("`{name}`: expected at most {most}, actual {actual}")));
    }
    Ok(())
}

/// Checks a duration.
///
/// # Errors
/// As [`count`].
pub fn duration(name: &str, actual: Duration, bounds: RangeInclusive<Duration>) -> Result<()> {
    let (least, most) = bounds.into_inner();
    if actual < least {
        return Err(Error::rejected(format!(
            "`{name}`: expected at least {least:?}, actual {actual:?}"
        )));
    }
    if actual > most {
        return Err(Error::rejected(format!(
            "`{name}`: expected at most {most:?}, actual {actual:?}"
        )));
    }
    Ok(())
}

/// Checks that one setting is not below the minimum that another one requires.
///
/// # Errors
/// `Rejected`, naming both settings and both values. `least` is the minimum; `other` names its
/// origin in words such as "`renew_interval` twice".
pub fn at_least((name, actual): (&str, Duration), (least, other): (Duration, &str)) -> Result<()> {
    if actual < least {
        return Err(Error::rejected(format!(
            "`{name}`: expected at least {other} ({least:?}), actual {actual:?}"
        )));
    }
    Ok(())
}

/// Checks that one setting is below another one.
///
/// # Errors
/// `Rejected`, naming both settings and both values.
pub fn below((name, actual): (&str, Duration), (other, limit): (&str, Duration)) -> Result<()> {
    if actual >= limit {
        return Err(Error::rejected(format!(
            "`{name}`: expected less than `{other}` ({limit:?}), actual {actual:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_the_bounds_are_taken_and_nothing_beyond() {
        let second = Duration::from_secs(1);
        for (actual, is_taken) in [(0, false), (1, true), (8, true), (9, false)] {
            assert_eq!(count("x_max", actual, 1..=8).is_ok(), is_taken, "{actual}");
            assert_eq!(number("x_max", actual as u64, 1..=8).is_ok(), is_taken, "{actual}");
            let actual = second * actual as u32;
            assert_eq!(duration("x", actual, second..=second * 8).is_ok(), is_taken, "{actual:?}");
        }
        let message = count("x_max", usize::MAX, 1..=8).unwrap_err().to_string();
        assert_eq!(message, format!("`x_max`: expected at most 8, actual {}", usize::MAX));
    }

    #[test]
    fn a_rule_between_two_settings_names_both_and_both_values() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        let message = below(("a", two), ("b", one)).unwrap_err().to_string();
        assert_eq!(message, "`a`: expected less than `b` (1s), actual 2s");
        below(("a", one), ("b", two)).unwrap();
        let message = at_least(("a", one), (two, "`b` twice")).unwrap_err().to_string();
        assert_eq!(message, "`a`: expected at least `b` twice (2s), actual 1s");
        at_least(("a", two), (two, "`b` twice")).unwrap();
    }
}

//! The kinds of values: how each is written, and its bounds.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::choice::Choice;
use super::timespan;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const GIGA: u64 = 1024 * 1024 * 1024;

type Parse<T> = Box<dyn Fn(&str) -> Option<T>>;
type Bounds<T> = Box<dyn Fn(&T) -> Option<String>>;

/// A kind of value that stands under one key.
pub(crate) struct Kind<T> {
    /// The accepted values, for the page.
    pub(crate) takes: String,
    /// The accepted values, for a message about a text that `parse` refuses.
    pub(crate) expected: String,
    pub(crate) parse: Parse<T>,
    /// The text of a value, for messages, for `check-config` and for the page.
    pub(crate) show: Box<dyn Fn(&T) -> String>,
    /// The expected value, when a value is out of bounds.
    pub(crate) bounds: Bounds<T>,
    /// The key whose value is the default, if it is another key's.
    pub(crate) default_from: Option<&'static str>,
}

impl<T: 'static> Kind<T> {
    pub(crate) fn new(
        (takes, expected): (impl Into<String>, impl Into<String>),
        parse: impl Fn(&str) -> Option<T> + 'static,
        show: impl Fn(&T) -> String + 'static,
        bounds: impl Fn(&T) -> Option<String> + 'static,
    ) -> Self {
        Self {
            takes: takes.into(),
            expected: expected.into(),
            parse: Box::new(parse),
            show: Box::new(show),
            bounds: Box::new(bounds),
            default_from: None,
        }
    }

    /// The kind with another key's value as its default.
    pub(crate) fn default_from(self, key: &'static str) -> Self {
        Self { default_from: Some(key), ..self }
    }
}

/// A whole number; both ends are inclusive.
pub(crate) fn number<N>(min: u64, max: u64) -> Kind<N>
where
    N: FromStr + Display + Copy + TryInto<u64> + 'static,
{
    Kind::new(
        (format!("{min} to {max}"), format!("a number from {min} to {max}")),
        |text| text.trim().parse().ok(),
        N::to_string,
        move |value| {
            let fits = (min..=max).contains(&(*value).try_into().unwrap_or(u64::MAX));
            (!fits).then(|| format!("a number from {min} to {max}"))
        },
    )
}

/// A duration that is written as a number of milliseconds.
pub(crate) fn milliseconds(max: u32) -> Kind<Duration> {
    Kind::new(
        (format!("milliseconds, 0 to {max}"), format!("a number from 0 to {max}")),
        |text| text.trim().parse().ok().map(|number: u32| Duration::from_millis(number.into())),
        |value| value.as_millis().to_string(),
        move |value| {
            let fits = value.as_millis() <= u128::from(max);
            (!fits).then(|| format!("a number from 0 to {max}"))
        },
    )
}

/// A TimeSpan; both ends are inclusive.
pub(crate) fn span(min: Duration, max: Duration) -> Kind<Duration> {
    Kind::new(
        (format!("TimeSpan, {} to {}", words(min), words(max)), timespan::EXPECTED),
        timespan::parse,
        |value| timespan::format(*value),
        move |value| {
            let (first, last) = (timespan::format(min), timespan::format(max));
            let fits = (min..=max).contains(value);
            (!fits).then(|| format!("a TimeSpan from `{first}` to `{last}`"))
        },
    )
}

/// A TimeSpan up to `max`; zero is never.
pub(crate) fn span_or_never(max: Duration) -> Kind<Option<Duration>> {
    let Kind { takes, expected, parse, show, bounds, .. } = span(Duration::ZERO, max);
    Kind::new(
        (takes, expected),
        move |text| parse(text).map(|span| Some(span).filter(|span| !span.is_zero())),
        move |value| show(&value.unwrap_or_default()),
        move |value| bounds(&value.unwrap_or_default()),
    )
}

/// A duration in the largest unit that has no rest: `90 seconds`.
fn words(duration: Duration) -> String {
    let units = [(DAY, "day"), (HOUR, "hour"), (SECOND * 60, "minute"), (SECOND, "second")];
    let millis = duration.as_millis();
    let fits = |unit: &&(Duration, &str)| millis > 0 && millis.is_multiple_of(unit.0.as_millis());
    match units.iter().find(fits) {
        Some((unit, name)) => {
            let count = millis / unit.as_millis();
            format!("{count} {name}{}", if count == 1 { "" } else { "s" })
        }
        None if millis == 0 => "0".to_owned(),
        None => format!("{millis} ms"),
    }
}

/// `true` or `false`.
pub(crate) fn flag() -> Kind<bool> {
    let parse = |text: &str| text.trim().to_ascii_lowercase().parse().ok();
    Kind::new(("true, false", "`true` or `false`"), parse, bool::to_string, |_| None)
}

/// A word of a [`Choice`], compared without case.
pub(crate) fn word<C: Choice>() -> Kind<C> {
    let all = |quote: &str| {
        let words = C::ALL.iter().map(|one| format!("{quote}{}{quote}", one.word()));
        words.collect::<Vec<_>>().join(", ")
    };
    let find = |text: &str| {
        let is_meant = |one: &&C| one.word().eq_ignore_ascii_case(text.trim());
        C::ALL.iter().find(is_meant).copied()
    };
    let expected = format!("one of {}", all("`"));
    Kind::new((all(""), expected), find, |value| value.word().to_owned(), |_| None)
}

/// Any text; `takes` says on the page what it means.
pub(crate) fn text<T: From<String> + Display + 'static>(takes: &str) -> Kind<T> {
    Kind::new((takes, "a text"), |text| Some(text.to_owned().into()), T::to_string, |_| None)
}

/// A value that may be absent.
pub(crate) fn optional<T: 'static>(kind: Kind<T>) -> Kind<Option<T>> {
    let Kind { takes, expected, parse, show, bounds, .. } = kind;
    Kind::new(
        (takes, expected),
        move |text| parse(text).map(Some),
        move |value| value.as_ref().map_or_else(String::new, &show),
        move |value| value.as_ref().and_then(&bounds),
    )
}

//! Collects the problems of settings: each problem names the key, the value and the expected value.

use std::time::Duration;

use super::timespan;
use crate::{Error, Result};

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn push(&mut self, problem: String) {
        self.0.push(problem);
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = String>) {
        self.0.extend(problems);
    }

    pub(super) fn expected(&mut self, key: &str, actual: &str, expected: &str) {
        self.0.push(format!("`{key}`: expected {expected}, actual `{actual}`"));
    }

    pub(super) fn required(&mut self, key: &str, actual: &str, expected: &str) {
        if actual.is_empty() {
            self.0.push(format!("`{key}`: expected {expected}, actual none"));
        }
    }

    /// Both ends are inclusive.
    pub(super) fn number(&mut self, key: &str, actual: u64, min: u64, max: u64) {
        if !(min..=max).contains(&actual) {
            self.expected(key, &actual.to_string(), &format!("a number from {min} to {max}"));
        }
    }

    /// Both ends are inclusive.
    pub(super) fn span(&mut self, key: &str, actual: Duration, min: Duration, max: Duration) {
        if !(min..=max).contains(&actual) {
            let (min, max) = (timespan::format(min), timespan::format(max));
            let expected = format!("a TimeSpan from `{min}` to `{max}`");
            self.expected(key, &timespan::format(actual), &expected);
        }
    }

    /// `Ok` without problems.
    ///
    /// # Errors
    /// `Rejected` with a line per problem.
    pub(super) fn into_result(self) -> Result<()> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(Error::rejected(format!("configuration: {}", self.0[0]))),
            count => Err(Error::rejected(format!(
                "configuration: {count} problems\n  {}",
                self.0.join("\n  ")
            ))),
        }
    }
}

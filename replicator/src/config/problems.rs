//! Collects the problems of settings: each problem names the key, the value and the expected value.

use crate::{Error, Result};

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self(problems)
    }

    pub(crate) fn push(&mut self, problem: String) {
        self.0.push(problem);
    }

    pub(crate) fn expected(&mut self, key: &str, actual: &str, expected: &str) {
        self.0.push(format!("`{key}`: expected {expected}, actual `{actual}`"));
    }

    pub(crate) fn required(&mut self, key: &str, actual: &str, expected: &str) {
        if actual.is_empty() {
            self.0.push(format!("`{key}`: expected {expected}, actual none"));
        }
    }

    /// `Ok` without problems.
    ///
    /// # Errors
    /// `Rejected` with a line per problem.
    pub(crate) fn into_result(self) -> Result<()> {
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

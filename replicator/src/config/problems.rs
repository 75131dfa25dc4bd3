//! Collects the problems of settings: each problem names the key, the value and the expected value.

use crate::{Error, Result};

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self(problems)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
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

    /// `Ok` without problems. The answer has the warnings too: an unknown key is often the reason
    /// for a missing one.
    ///
    /// # Errors
    /// `Rejected` with a line per problem and per warning.
    pub(crate) fn into_result(self, warnings: &[String]) -> Result<()> {
        let warnings = warnings.iter().map(|warning| format!("\n  warning: {warning}"));
        let warnings: String = warnings.collect();
        match self.0.len() {
            0 => Ok(()),
            1 => Err(Error::rejected(format!("configuration: {}{warnings}", self.0[0]))),
            count => Err(Error::rejected(format!(
                "configuration: {count} problems\n  {}{warnings}",
                self.0.join("\n  ")
            ))),
        }
    }
}

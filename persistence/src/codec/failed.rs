//! The reason why a value cannot be written or read.

use std::fmt;

/// The reason why a value cannot be written or read.
#[derive(Debug)]
pub(super) struct Failed(Box<str>);

impl Failed {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into().into_boxed_str())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl serde::ser::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl serde::de::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

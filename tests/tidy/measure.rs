//! A figure of the house beside its limit.

/// A measured figure of the house and its limit.
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) limit: &'static str,
    pub(crate) holds: bool,
    /// Number of things that were looked at: a rule without any has lost its object.
    pub(crate) counted: usize,
}

impl Measure {
    pub(crate) fn new(
        name: impl Into<String>,
        value: impl ToString,
        limit: &'static str,
        holds: bool,
    ) -> Self {
        Self { name: name.into(), value: value.to_string(), limit, holds, counted: 0 }
    }

    pub(crate) fn of(mut self, counted: usize) -> Self {
        self.counted = counted;
        self
    }
}

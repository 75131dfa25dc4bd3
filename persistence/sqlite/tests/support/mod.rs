//! Helpers that tests share.

pub(crate) mod flip;

//! What the figures stand beside: the same work without Antiphon.

pub(crate) mod file;
pub(crate) mod sqlite;

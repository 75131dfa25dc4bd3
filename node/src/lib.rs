//! node of Antiphon.

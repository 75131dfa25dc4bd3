//! watch-list of Antiphon.

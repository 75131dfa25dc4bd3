//! sqlite of Antiphon.

//! counter of Antiphon.

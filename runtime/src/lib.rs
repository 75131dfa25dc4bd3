//! runtime of Antiphon.

//! auction of Antiphon.

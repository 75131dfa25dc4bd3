//! tck of Antiphon.

//! antiphon of Antiphon.

//! sharding of Antiphon.

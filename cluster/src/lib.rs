//! Plain ractor actors on an Antiphon cluster.

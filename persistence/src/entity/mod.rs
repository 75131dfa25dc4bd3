//! Event-sourced entities.

//! Real node processes on SQLite.

//! Event store to event store replication.

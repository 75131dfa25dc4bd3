//! An in-memory event store server for tests, with faults on demand.

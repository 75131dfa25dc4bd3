//! A thin gRPC client of EventStoreDB and KurrentDB.

pub mod wire;

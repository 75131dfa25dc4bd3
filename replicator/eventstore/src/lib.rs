//! A thin gRPC client of EventStoreDB and KurrentDB.

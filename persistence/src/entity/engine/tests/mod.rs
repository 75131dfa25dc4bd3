//! The engine by its actions: what it persists when, what it answers when, and what it asks for.

mod failure;
mod limits;
mod reclaim;
mod recovery;
mod replication;
mod world;
mod writing;

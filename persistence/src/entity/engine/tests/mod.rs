//! The engine by its actions: what it persists when, what it answers when, and what it asks for.

mod destructors;
mod failure;
mod holding;
mod limits;
mod log;
mod reclaim;
mod recovery;
mod replication;
mod true_answers;
mod user_code;
mod world;
mod writing;

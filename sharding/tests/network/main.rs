//! Nodes on a network, in memory or of real connections, with hostile messages, cuts and new homes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod liars;
mod messages;
mod metadata;
mod placement;
mod sessions;
mod strangers;
mod tcp;
mod typeless;
mod world;

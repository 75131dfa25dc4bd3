//! Sessions of ractor_cluster between the members, over streams of the runtime.
//!
//! ```text
//!   members, probes --> core --> open, begin, end
//!                                  |
//!   actor <--> NodeSession <--> outbound, inbound <--> stream of the runtime <--> other member
//! ```
//!
//! - `core`: which sessions should exist;
//! - `shell`: the task that runs its effects, and the probes;
//! - `server`: the actor under which the sessions run, in the place of ractor_cluster's
//!   `NodeServer`: it has no listener, so that nobody reaches a session but through a stream;
//! - `outbound`: what leaves, frame by frame: sizes, the queue, names;
//! - `adapter`: the stream as ractor_cluster wants it.

mod adapter;
mod core;
mod outbound;
mod server;
mod shell;

pub(crate) use shell::{FACTS_MAX, Fact, Known, PURPOSE, Shell, ShellParts};

//! Persistent subscription groups: the rules in [`core`], and the task that reads, sends and
//! stores.

pub(crate) mod core;
mod task;

pub(crate) use task::{Answer, Command, Consumer, GroupStatus, run};

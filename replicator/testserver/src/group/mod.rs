//! Persistent subscription groups: the rules in [`core`], and the task that reads, sends and
//! stores.

mod command;
pub(crate) mod core;
mod settings;
mod task;

pub(crate) use command::{Answer, Command, Consumer, ConsumerStatus, GroupStatus, formed};
pub(crate) use settings::{checkpoint_after_ms, is_strategy, message_timeout_ms, strategy_name};
pub(crate) use task::run;

//! Tests of the engine by its actions: the time and content of its appends, answers and requests.

mod beside;
mod clocks;
mod destructors;
mod failure;
mod holding;
mod impossible;
mod labels;
mod limits;
mod log;
mod reactions;
mod reclaim;
mod reclaim_held;
mod recovery;
mod reminders;
mod replication;
mod rows;
mod scan;
mod signals;
mod stash;
mod timers;
mod true_answers;
mod user_code;
mod world;
mod writing;

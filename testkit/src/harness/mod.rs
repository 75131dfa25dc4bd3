//! The inside of both kits, and of Antiphon's own simulation (`tests/simulation`): whole nodes in
//! one process, with stores and links in memory that fail as a seed determines.
//!
//! This module is for the tests of Antiphon. It changes without notice.

pub mod clock;
pub mod cluster;
pub mod faults;
pub mod form;
pub mod panics;
pub mod place;
pub mod right_role;
pub mod single_home;
pub mod single_writer;
pub mod stores;
pub mod trace;
pub mod user_code;

//! The file of a journal: the check of its path, of its owner, and of its identity while it is
//! open.
//!
//! - `path`: refuses paths that keep nothing, such as an empty one;
//! - `owner`: tells a journal from another program's database without changing a byte of it;
//! - `unopened`: finds the reason why SQLite could not open a file;
//! - `watch`: notices that an open file was moved, deleted or replaced.

mod owner;
mod path;
mod unopened;
mod watch;

pub(crate) use owner::{Owner, is_log_alone, owner};
pub use path::check_name;
pub(crate) use path::check_path;
pub(crate) use unopened::why_not_opened;
pub(crate) use watch::{FileId, Identity, Watch};

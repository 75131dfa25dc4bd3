//! The file of a journal: the check of its path, of its owner, and of its identity while it is
//! open.
//!
//! - `access`: refuses files and folders that this user may not write;
//! - `path`: refuses paths that keep nothing, such as an empty one;
//! - `owner`: tells a journal from another program's database without changing a byte of it;
//! - `unopened`: finds the reason why SQLite could not open a file;
//! - `watch`: notices that an open file was moved, deleted or replaced.

mod access;
mod owner;
mod path;
mod unopened;
mod watch;

pub(crate) use access::check_writable;
pub(crate) use owner::{Owner, beside, immutable, is_log_alone, owner};
pub(crate) use path::check_path;
pub use path::{check_name, real_path};
pub(crate) use unopened::why_not_opened;
pub(crate) use watch::{FileId, Identity, Watch};

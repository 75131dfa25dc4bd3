//! The file as a database: its tables, the check before it is opened, and the opening.

mod check;
mod open;
mod tables;

pub use check::check_file;
pub(crate) use open::open;
pub(crate) use tables::check_version;

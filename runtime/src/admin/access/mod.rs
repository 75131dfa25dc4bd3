//! The rights of clients over HTTP.
//!
//! - `rights`: the rights, and what each includes;
//! - `token`: tokens and their hashes;
//! - `register`: the tokens file;
//! - `policy`: the decision about a request.

mod policy;
mod register;
mod rights;
mod token;

pub(crate) use policy::{Area, Policy, Verdict};
pub use policy::{Caller, EntityAccess};
pub use register::{Register, TokenEntry, check_name};
pub use rights::{Right, Rights};
pub use token::{TokenHash, new_token};

//! The commands of an operator.
//!
//! - `migration`: how far a plain entity type has become a replicated one.
//! - [`accept_loss`]: lets a place continue without the answer of another place.
//! - [`cert`]: certificates of links and of HTTP.
//! - [`token`]: tokens of HTTP clients.
//! - [`schema`]: the tables of a journal.
//! - [`skip`]: events that an operator has skipped; [`fork`]: entities that differ since a loss.
//! - [`status`]: the cluster as a node sees it.
//! - [`verify`]: checks a journal for damage.
//! - `places`: a cluster of this program on this machine.
//! - `existing`: the journal for these commands, which make none; `whole_file`: files that they
//!   write.

pub mod accept_loss;
pub mod cert;
mod existing;
pub mod fork;
pub(super) mod migration;
pub(super) mod places;
pub mod schema;
pub mod skip;
pub mod status;
pub mod token;
pub mod verify;
mod whole_file;

//! The services of the wire protocol.

pub(crate) mod about;
mod batch;
mod group_info;
mod group_record;
pub(crate) mod persistent;
mod reader;
mod request;
pub(crate) mod streams;
mod write;

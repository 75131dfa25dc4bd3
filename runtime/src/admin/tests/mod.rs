//! The HTTP interface over real sockets: tokens, certificates, their rotation, and the audit log.

mod certificates;
mod rotation;
mod support;
mod tokens;

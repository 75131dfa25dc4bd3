//! The operator's HTTP interface.

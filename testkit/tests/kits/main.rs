//! The kits do what they say, find what is planted, and refuse wrong use.

mod cluster;
mod encoding;
mod entities;
mod planted;

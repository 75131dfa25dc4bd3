//! The decoders of this crate, for the fuzzing in `fuzz`.

pub use crate::gate::fuzzing::FRAMES;
pub use crate::node::fuzzing::{PLACES, SESSIONS};
pub use crate::transport::tcp::fuzzing::GREETING;

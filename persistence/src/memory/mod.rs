//! All stores in memory.

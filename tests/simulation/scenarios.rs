//! Scenarios by their names, each with one story instead of random trouble.

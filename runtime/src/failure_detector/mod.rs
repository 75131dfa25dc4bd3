//! Probes between ring neighbours.

//! Causal, exactly-once delivery of replicated events.

//! Operation-based replicated data types.

//! Sequences, batching, sampling.

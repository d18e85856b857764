//! What the collector holds at most.

//! The engine in memory: for tests and simulations.

/// A log in memory.
#[derive(Debug, Default)]
pub struct MemoryLog {}

//! Where rows live. Placeholder signatures.

/// A store of views: rows by projector name, each with a checkpoint and a version.
pub trait ViewStore: Send + Sync + 'static {}

/// Views in memory.
#[derive(Debug, Default)]
pub struct MemoryViews {}

//! Criterion benches of the hot paths; see `docs/PERFORMANCE.md`.

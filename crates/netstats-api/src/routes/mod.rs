//! Handlers, by resource.

pub(crate) mod config;
pub(crate) mod destinations;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod metrics;

//! Files to take away, whoever asks for them: a request, or an export job by its schedule.

mod place;
mod runner;
mod wanted;

pub(crate) use place::Place;
pub(crate) use runner::{Exporter, Underway};
pub(crate) use wanted::Wish;

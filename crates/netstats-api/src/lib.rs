//! The door: REST routes, `/ws`, JSON shapes. hyper owns the network, tide is the routing table.
//!
//! ```no_run
//! use netstats_api::{Api, ApiContext};
//!
//! async fn open(context: ApiContext) -> Result<(), netstats_api::Error> {
//!     let listener = netstats_api::bind(([127, 0, 0, 1], 8080).into()).await?;
//!     Api::new(context).serve(vec![listener], std::future::pending()).await
//! }
//! ```
//!
//! # It is not
//! - a place for rules: what may be is decided in `netstats-inventory`;
//! - a store: it answers from views and from nothing else;
//! - a file server: the UI's files are embedded.

mod api;
mod app;
mod asked;
mod assets;
mod bodies;
mod browser;
mod command;
mod context;
mod csv;
mod declare;
mod door;
#[cfg(test)]
mod door_bytes;
#[cfg(test)]
mod door_tests;
mod encoding;
mod error;
mod exports;
mod exposition;
mod feed;
mod finish;
#[cfg(netstats_fuzz)]
pub mod fuzz;
mod gate;
mod guard;
mod json;
mod limits;
mod moment;
mod names;
mod nearest;
mod openapi;
mod path;
mod playback;
mod problem;
mod promql;
mod protocol;
mod repeat;
mod reply;
mod route;
mod routes;
mod secret;
mod server;
mod session;
mod socket;
mod stream;
mod throttle;
mod tls;
mod watch;
mod who;

pub use api::{Api, routes};
pub use context::{
    ApiContext, Clock, CollectorReport, Kept, LogLevel, PrivilegesReport, ProbeAsk, ProbeHook, Probed, ProblemReport,
    ReloadHook, ReloadRefused, Reloaded, Report, ReportHook,
};
pub use error::Error;
pub use json::{moment_of, update_text};
pub use limits::Limits;
pub use server::bind;
pub use tls::Tls;
pub use watch::watch;

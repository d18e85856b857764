//! The door: REST routes, `/ws`, JSON shapes. hyper owns the network, tide is the routing table.
//!
//! # It is not
//! - a place for rules: what may be is decided in `netstats-inventory`;
//! - a store: it answers from views and from nothing else;
//! - a file server: the UI's files are embedded.

#![allow(dead_code, reason = "the routes that use the rest follow")]

mod api;
mod app;
mod assets;
mod browser;
mod command;
mod context;
mod door;
#[cfg(test)]
mod door_tests;
mod error;
mod guard;
mod json;
mod limits;
mod nearest;
mod path;
mod problem;
mod protocol;
mod reply;
mod route;
mod routes;
mod server;
mod session;
mod socket;

pub use api::{Api, routes};
pub use context::{
    ApiContext, Clock, CollectorReport, PrivilegesReport, ProblemReport, ReloadHook, ReloadRefused, Reloaded, Report,
    ReportHook,
};
pub use error::Error;
pub use limits::Limits;
pub use server::{bind, check_bind};

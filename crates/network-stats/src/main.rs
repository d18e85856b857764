//! Network Stats Collector.
#![allow(dead_code, unused_imports, reason = "the wiring follows")]
mod config;
mod listen;
mod logging;
fn main() {}

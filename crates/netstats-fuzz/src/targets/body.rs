//! Bodies of every route that changes something.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_api::fuzz::body, netstats_api::fuzz::body_seeds);

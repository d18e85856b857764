//! Query strings of every route that reads.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_api::fuzz::query, netstats_api::fuzz::query_seeds);

//! What a client sends over one connection.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_api::fuzz::http, netstats_api::fuzz::http_seeds);

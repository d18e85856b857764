//! HTTP responses, and where they redirect to.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_probe::fuzz::http_response, netstats_probe::fuzz::http_response_seeds);

//! What the other end of a bandwidth test reports.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_probe::fuzz::bandwidth, netstats_probe::fuzz::bandwidth_seeds);

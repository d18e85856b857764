//! The packet that a router quotes in its error.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_probe::fuzz::quoted, netstats_probe::fuzz::quoted_seeds);

//! DNS answers.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_probe::fuzz::dns, netstats_probe::fuzz::dns_seeds);

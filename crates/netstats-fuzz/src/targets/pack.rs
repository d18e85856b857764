//! The parts of an evidence pack.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_export::fuzz::pack, netstats_export::fuzz::pack_seeds);

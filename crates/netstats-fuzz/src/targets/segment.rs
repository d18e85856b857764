//! The file of a sealed segment.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_log::fuzz::segment, netstats_log::fuzz::segment_seeds);

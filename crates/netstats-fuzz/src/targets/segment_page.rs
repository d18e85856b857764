//! One page of a sealed segment.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_log::fuzz::segment_page, netstats_log::fuzz::segment_page_seeds);

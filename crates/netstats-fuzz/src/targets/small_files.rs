//! `MANIFEST`, `witness` and `head`.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_log::fuzz::small_files, netstats_log::fuzz::small_files_seeds);

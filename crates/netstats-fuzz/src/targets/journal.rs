//! A journal of the store, as the recovery and the repair read it.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_log::fuzz::journal, netstats_log::fuzz::journal_seeds);

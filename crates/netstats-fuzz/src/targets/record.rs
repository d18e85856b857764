//! A record of the log: header, checksum, payload.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_event::fuzz::record, netstats_event::fuzz::record_seeds);

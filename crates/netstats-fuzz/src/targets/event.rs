//! Kind and payload of an event.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_event::fuzz::event, netstats_event::fuzz::event_seeds);

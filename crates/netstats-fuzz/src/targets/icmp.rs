//! ICMP messages, with and without their IP header, and the buffer of the Windows helper.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_probe::fuzz::icmp, netstats_probe::fuzz::icmp_seeds);

//! What a client says on a WebSocket.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_api::fuzz::ws, netstats_api::fuzz::ws_seeds);

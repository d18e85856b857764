//! The web interface, built by `build.rs` from `ui/` (Svelte, TypeScript, Vite), compressed beforehand and embedded.
//!
//! ```
//! let page = netstats_web::find("/").expect("there is always a page");
//! assert_eq!(page.content_type, "text/html; charset=utf-8");
//!
//! let body = page.negotiate(Some("gzip, br"));
//! assert!(body.etag.starts_with('"'));
//! // -> 200 with `body.bytes`, Content-Encoding `body.encoding`, ETag `body.etag`, Vary: Accept-Encoding;
//! //    or 304 when `netstats_web::etag_matches(if_none_match, body.etag)`.
//! ```
//!
//! # It is not
//! - A web server: the door (`netstats-api`) answers requests and sets the headers named here.
//! - Aware of the API: what the page asks for and where is settled in `ui/src/lib/api.ts`.
//! - Reading files: everything is in the program, and nothing is asked of another host.

mod asset;
mod table;

pub use asset::{Asset, Body, etag_matches};
pub use table::{CONTENT_SECURITY_POLICY, HAS_UI, PAGES, assets, find};

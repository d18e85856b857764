//! The table that `build.rs` made, and how a path finds its file.

use crate::{Asset, Body};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// True if the whole interface is embedded; false without the feature `ui`.
pub const HAS_UI: bool = cfg!(feature = "ui");

/// The first path segments that are pages of the interface: each is answered with the one page there is, which reads
/// the rest of the address itself. A test compares the list with `ui/src/lib/route.ts`.
pub const PAGES: &[&str] = &["destinations", "jobs", "analytics", "history", "reports", "settings", "login"];

/// Value for `Content-Security-Policy` on every reply with an asset: nothing inline, nothing from another host.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// All assets, by path.
#[must_use]
pub fn assets() -> &'static [Asset] {
    ASSETS
}

/// The asset of a decoded URL path without its query; the page itself for `/` and for the paths of its pages. None
/// is a 404.
#[must_use]
pub fn find(path: &str) -> Option<&'static Asset> {
    let exact = |path: &str| ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok().map(|at| &ASSETS[at]);
    exact(path).or_else(|| {
        let first = path.strip_prefix('/')?.split('/').next()?;
        (first.is_empty() && path == "/" || PAGES.contains(&first)).then(|| exact("/index.html"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_asset_is_found_by_its_path() {
        assert!(ASSETS.windows(2).all(|pair| pair[0].path < pair[1].path));
        for asset in ASSETS {
            assert_eq!(find(asset.path).map(|found| found.path), Some(asset.path));
            assert!(!asset.plain.bytes.is_empty(), "{} is empty", asset.path);
        }
    }

    #[test]
    fn pages_of_the_interface_are_the_one_page_and_nothing_else_is() {
        let page = |path: &str| find(path).map(|asset| asset.path);
        for path in ["/", "/index.html", "/destinations", "/destinations/gateway", "/jobs/1/edit", "/history"] {
            assert_eq!(page(path), Some("/index.html"), "{path}");
        }
        for path in ["", "//", "/api", "/ws", "/destination", "destinations", "/assets", "/../x", "/no.js", "//jobs"] {
            assert_eq!(page(path), None, "{path}");
        }
    }

    #[test]
    fn the_page_obeys_its_own_policy_and_asks_no_other_host() {
        let html = std::str::from_utf8(find("/").expect("page").plain.bytes).expect("UTF-8");
        assert!(!html.contains("<style"), "inline style");
        assert!(!html.contains(" style="), "style attribute");
        assert!(!html.contains("://"), "address of another host");
        for script in html.split("<script").skip(1) {
            assert!(script.split('>').next().is_some_and(|tag| tag.contains("src=\"/")), "inline script");
        }
    }

    #[test]
    fn each_encoding_has_an_etag_of_its_own_and_is_smaller() {
        for asset in ASSETS {
            for (body, encoding) in [(asset.gzip, "gzip"), (asset.brotli, "br")] {
                let Some(body) = body else { continue };
                assert_eq!(body.encoding, Some(encoding));
                assert_ne!(body.etag, asset.plain.etag);
                assert!(body.bytes.len() < asset.plain.bytes.len(), "{}", asset.path);
            }
        }
    }

    #[cfg(feature = "ui")]
    #[test]
    fn the_first_load_is_at_most_120_kib_of_javascript() {
        let html = std::str::from_utf8(find("/").expect("page").plain.bytes).expect("UTF-8");
        let first: usize = ASSETS
            .iter()
            .filter(|asset| asset.path.ends_with(".js") && html.contains(asset.path))
            .map(|asset| asset.gzip.map_or(asset.plain.bytes.len(), |body| body.bytes.len()))
            .sum();
        assert!(first > 0, "the page loads no script");
        assert!(first <= 120 * 1024, "{first} bytes of gzipped JavaScript");
    }

    #[cfg(feature = "ui")]
    #[test]
    fn the_service_worker_is_always_asked_for_anew_and_keeps_all_that_a_page_needs() {
        let worker = find("/sw.js").expect("a service worker");
        assert!(!worker.immutable && worker.content_type.starts_with("text/javascript"));
        let source = std::str::from_utf8(worker.plain.bytes).expect("UTF-8");
        for asset in ASSETS.iter().filter(|asset| !["/sw.js", "/index.html"].contains(&asset.path)) {
            assert!(source.contains(&format!("\"{}\"", asset.path)), "{} is not kept", asset.path);
        }
    }

    #[cfg(feature = "ui")]
    #[test]
    fn the_pages_are_those_of_the_interface() {
        let source = include_str!("../ui/src/lib/route.ts");
        let list = source.split("export const PAGES = [").nth(1).and_then(|rest| rest.split(']').next());
        let names: Vec<&str> =
            list.expect("PAGES in route.ts").split(',').map(|name| name.trim().trim_matches('\'')).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        assert_eq!(names, PAGES);
    }
}

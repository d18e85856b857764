//! Every route against every way a page elsewhere may come at it.

mod support;

use support::start;

#[tokio::test]
async fn every_route_is_closed_to_other_sites_and_open_to_scripts() {
    let server = start().await;
    server.furnish().await;
    let own = format!("http://{}", server.address);
    for (method, path) in netstats_api::routes().chain([("GET", "/ws")]) {
        let path = path.replace(":id", "1");
        let has_body = matches!(method, "POST" | "PUT" | "PATCH");
        let ask = |headers: Vec<(&'static str, String)>| {
            let (path, server) = (path.clone(), &server);
            async move {
                let mut headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
                if has_body {
                    headers.push(("content-type", "application/json"));
                }
                let answer = server.ask(method, &path, &headers, has_body.then_some(&b"[]"[..])).await;
                answer.status
            }
        };
        let port = server.address.port();
        for (name, headers, is_let_in) in [
            ("a script", vec![], true),
            ("our page", vec![("origin", own.clone()), ("sec-fetch-site", "same-origin".to_owned())], true),
            ("typed by the user", vec![("sec-fetch-site", "none".to_owned())], true),
            ("another origin", vec![("origin", "http://evil.test".to_owned())], false),
            ("another port", vec![("origin", format!("http://127.0.0.1:{}", port ^ 1))], false),
            ("another scheme", vec![("origin", format!("https://{}", server.address))], false),
            ("another name for us", vec![("origin", format!("http://localhost:{port}"))], false),
            ("no origin to speak of", vec![("origin", "null".to_owned())], false),
            ("a name pointed at us", vec![("host", format!("evil.test:{port}"))], false),
            ("our name without the port", vec![("host", "127.0.0.1".to_owned())], false),
            ("our name with another port", vec![("host", format!("127.0.0.1:{}", port ^ 1))], false),
            (
                "a name pointed at us, with its own origin",
                vec![("host", format!("evil.test:{port}")), ("origin", format!("http://evil.test:{port}"))],
                false,
            ),
            ("an image on a page elsewhere", vec![("sec-fetch-site", "cross-site".to_owned())], false),
            ("a page on another port of this machine", vec![("sec-fetch-site", "same-site".to_owned())], false),
            (
                "a link from elsewhere",
                vec![
                    ("sec-fetch-site", "cross-site".to_owned()),
                    ("sec-fetch-mode", "navigate".to_owned()),
                    ("sec-fetch-dest", "document".to_owned()),
                ],
                false,
            ),
        ] {
            let status = ask(headers).await;
            let is_in = !matches!(status, 403 | 421);
            assert_eq!(is_in, is_let_in, "{method} {path} by {name}: {status}");
        }
    }
    server.stop().await;
}

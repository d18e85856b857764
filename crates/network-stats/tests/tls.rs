//! The command line asks a product that speaks TLS, and one that knows users: whom it trusts, and with what it comes in.
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use std::path::Path;

use serde_json::json;
use support::{Product, run, said};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn commands_speak_tls_with_whom_they_are_told_to_trust_and_with_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (certs, others) = (folder.path().join("tls"), folder.path().join("others"));
    let made = run(&["cert", "self-signed", "--out", text(&certs), "--name", "localhost", "--name", "127.0.0.1"]);
    assert!(made.status.success(), "{}", said(&made));
    let made_said = said(&made);
    let fingerprint = made_said.lines().find_map(|line| line.strip_prefix("BLAKE3")).unwrap().trim().to_owned();
    assert!(run(&["cert", "self-signed", "--out", text(&others), "--name", "127.0.0.1"]).status.success());
    let file = folder.path().join("x.ron");
    std::fs::write(
        &file,
        r#"(
            server: (tls: (cert: "tls/cert.pem", key: "tls/key.pem")),
            starter: (
                destinations: [(name: "here", host: "127.0.0.1")],
                jobs: [(name: "pings", interval: "60s", metrics: [ping], destinations: ["here"])],
            ),
        )"#,
    )
    .unwrap();
    let data = folder.path().join("data");
    let product = Product::start(&data, &["--config", text(&file)]);
    assert!(product.url.starts_with("https://"), "{}", product.url);
    let asks = |arguments: &[&str]| run(&[arguments, &["--data-dir", text(&data)]].concat());
    let by_config = asks(&["stop", "pings", "--config", text(&file)]);
    assert!(by_config.status.success(), "{}", said(&by_config));
    // Without the config file nobody is known; then one is named, by file or by digest.
    let plain = folder.path().join("plain.ron");
    std::fs::write(&plain, "()").unwrap();
    let unknown = asks(&["stop", "pings", "--config", text(&plain)]);
    assert!(!unknown.status.success() && said(&unknown).contains("--fingerprint"), "{}", said(&unknown));
    let cert = certs.join("cert.pem");
    for trust in [["--ca", text(&cert)], ["--fingerprint", &fingerprint]] {
        let trusted = asks(&[&["start", "pings", "--config", text(&plain)], &trust[..]].concat());
        assert!(trusted.status.success(), "{trust:?}: {}", said(&trusted));
    }
    let (other, zeros) = (others.join("cert.pem"), "00".repeat(32));
    for trust in [["--ca", text(&other)], ["--fingerprint", &zeros]] {
        let refused = asks(&[&["start", "pings", "--config", text(&plain)], &trust[..]].concat());
        assert!(!refused.status.success(), "{trust:?}");
        assert!(said(&refused).contains("can be trusted"), "{}", said(&refused));
    }
    let replayed = asks(&["replay", "--kinds", "job_added", "--config", text(&file)]);
    assert!(replayed.status.success() && said(&replayed).contains("\"job_added\""), "{}", said(&replayed));
    let (status, _) = product.stop();
    assert!(status.success());
}

#[test]
fn a_replay_comes_in_where_users_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let product = Product::start(folder.path(), &[]);
    let user = json!({"name": "ada", "role": "admin", "password": "correct horse battery"});
    let (status, made) = product.ask("POST", "/api/users", Some(&user)).unwrap();
    assert_eq!(status, 201, "{made}");
    assert_eq!(product.ask("GET", "/api/jobs", None).unwrap().0, 401, "from here on everybody needs credentials");
    let replayed = run(&["replay", "--kinds", "user_added", "--data-dir", text(folder.path())]);
    assert!(replayed.status.success() && said(&replayed).contains("\"user_added\""), "{}", said(&replayed));
    product.kill();
}
